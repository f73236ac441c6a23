"""Addresses of stores, and the rule that results must never be found as new pictures."""

from dataclasses import dataclass
from pathlib import Path

from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.folder_store import FolderStore
from age_gender.batch.storage import Store
from age_gender.errors import SettingsError


@dataclass(frozen=True)
class Location:
    """A store, and what the names in it start with."""

    store: Store
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.store}/{self.prefix}"

    def overlaps(self, other: "Location") -> bool:
        """Whether what is written to one could be found in the other."""
        mine, theirs = self.store, other.store
        if isinstance(mine, FolderStore) and isinstance(theirs, FolderStore):
            return mine.root.is_relative_to(theirs.root) or theirs.root.is_relative_to(mine.root)
        if isinstance(mine, BucketStore) and isinstance(theirs, BucketStore):
            return mine.label == theirs.label and prefixes_overlap(self.prefix, other.prefix)
        return False


def prefixes_overlap(one: str, other: str) -> bool:
    """Whether a name can start with both."""
    return one.startswith(other) or other.startswith(one)


def locate(address: str, timeout: float) -> Location:
    """Turn ``gs://bucket``, ``gs://bucket/folder`` or the path of a folder into a location.

    Args:
        address: what comes after the bucket is taken as a folder, with or without a slash at
            its end.
        timeout: seconds that one operation may take with its retries (buckets only).

    Raises:
        SettingsError: the address names no bucket.
    """
    if not address.startswith("gs://"):
        return Location(FolderStore(Path(address)))
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    if not bucket:
        raise SettingsError(f"{address!r} names no bucket: write gs://bucket or gs://bucket/folder")
    return Location(
        BucketStore(bucket, timeout), prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    )


def refuse_loop(source: Location, out: Location) -> None:
    """Refuse a pair of places in which results could be taken for pictures.

    Raises:
        SettingsError: they could.
    """
    if source.overlaps(out):
        raise SettingsError(
            f"results in {out} would be taken for new pictures of {source}, without end: "
            "write to another bucket or folder, or set INPUT_PREFIX and OUTPUT_PREFIX so that "
            "neither starts with the other"
        )
