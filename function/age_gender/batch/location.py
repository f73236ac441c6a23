"""Places of images and results, and the rule that results must never become inputs."""

from dataclasses import dataclass
from pathlib import Path

from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.folder_store import FolderStore
from age_gender.batch.storage import Store
from age_gender.errors import SettingsError


@dataclass(frozen=True)
class Location:
    """A store, and the prefix of the names in it."""

    store: Store
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.store}/{self.prefix}"

    def overlaps(self, other: "Location") -> bool:
        """Whether an object in one can also be in the other."""
        a, b = self.store, other.store
        if isinstance(a, FolderStore) and isinstance(b, FolderStore):
            return a.root.is_relative_to(b.root) or b.root.is_relative_to(a.root)
        if isinstance(a, BucketStore) and isinstance(b, BucketStore):
            return a.label == b.label and prefixes_overlap(self.prefix, other.prefix)
        return False


def prefixes_overlap(one: str, other: str) -> bool:
    """Whether a name can start with both."""
    return one.startswith(other) or other.startswith(one)


def locate(address: str, timeout: float) -> Location:
    """Parse ``gs://bucket``, ``gs://bucket/folder`` or the path of a folder.

    Args:
        address: the part after the bucket is a folder, with or without a trailing slash.
        timeout: seconds for one operation with its retries (buckets only).

    Raises:
        SettingsError: the address has no bucket.
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
    """Refuse places where results would become inputs.

    Raises:
        SettingsError: they would.
    """
    if source.overlaps(out):
        raise SettingsError(
            f"results in {out} would be taken for new pictures in {source}, without end: "
            "write to another bucket or folder, or set INPUT_PREFIX and OUTPUT_PREFIX so that "
            "neither starts with the other"
        )
