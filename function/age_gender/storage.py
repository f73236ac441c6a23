"""Where pictures are and results go: a bucket or a folder behind one small interface.

Our own and not fsspec. What makes a result appear once and whole are a write that never
overwrites, a read of one generation, and telling "gone" from "not available now"; fsspec's
interface has none of these, so code above it would still have to know which store it talks to,
and gcsfs would bring an asynchronous stack into every cold start. Six methods over the official
client and over the file system are less.

Names are relative to the store, with ``/`` between their parts, and listed in the order of their
UTF-8 bytes, as Cloud Storage does.
"""

import errno
import hashlib
import http.client
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from age_gender.errors import AgeGenderError, SettingsError

if TYPE_CHECKING:
    from google.cloud import storage

MARK = "age-gender-estimation"
"""Metadata key of objects that we wrote; its value is our version."""

_STREAM_CHUNK = 1024 * 1024
_MOST_CONNECTIONS = 64
_MOST_PART_BYTES = 255
"""Longest name of a file or folder that common file systems take."""


class ObjectGone(AgeGenderError):
    """The object, or this generation of it, is not there any more."""

    code = "object-gone"


class StorageUnavailable(AgeGenderError):
    """The storage cannot do it now; the same may work later."""

    code = "storage-unavailable"


@dataclass(frozen=True)
class StoredObject:
    """One version of an object.

    Attributes:
        name: within its store.
        generation: number of this version, which grows with each overwrite. Of a file: its time
            of modification in microseconds, which is what Cloud Storage's numbers look like.
        size: bytes.
        created: when this version was stored, UTC.
        ours: whether we wrote it, as far as the store can tell.
    """

    name: str
    generation: int
    size: int
    created: datetime
    ours: bool = False


class Store(Protocol):
    """A bucket or a folder. Safe to share by threads.

    All methods raise `StorageUnavailable` when the storage fails; the bucket's client has
    retried by then.
    """

    label: str
    """Name of the bucket or of the folder, without the way to it."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Give the objects whose names start with ``prefix``, in order, without loading all."""
        ...

    def stat(self, name: str, generation: int) -> StoredObject:
        """Describe one version; raises `ObjectGone`."""
        ...

    def read(self, name: str, generation: int) -> bytes:
        """Give the content of exactly this version; raises `ObjectGone`."""
        ...

    def find(self, name: str) -> bytes | None:
        """Give the content of the newest version, or None where there is no such object."""
        ...

    def create(
        self, name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """Write a new object whole, or nothing.

        Returns:
            Whether it was written: False when the name is taken, which changes nothing.
        """
        ...

    def replacing(self, name: str, content_type: str) -> AbstractContextManager[IO[bytes]]:
        """Open an object for writing of any length.

        It appears, in place of an older one, when the block ends well; if the block raises or the
        process dies, nothing appears or changes.
        """
        ...


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


class BucketStore:
    """A bucket of Google Cloud Storage; see `Store`.

    The client library and credentials are taken up at first use, so that a server may fork
    before it. ``STORAGE_EMULATOR_HOST`` leads to another server, without credentials.
    """

    def __init__(self, bucket: str, timeout: float):
        """Contact nothing yet.

        Args:
            bucket: its name.
            timeout: seconds that one operation may take with its retries.
        """
        self.label = bucket
        self._timeout = timeout

    def __str__(self) -> str:
        return f"gs://{self.label}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`."""
        with _bucket_errors():
            found = _client().list_blobs(
                self.label,
                prefix=prefix or None,
                fields="items(name,generation,size,timeCreated,metadata),nextPageToken",
                **self._patience(),
            )
            for blob in found:
                yield _described(blob)

    def stat(self, name: str, generation: int) -> StoredObject:
        """See `Store.stat`."""
        blob = self._blob(name, generation)
        with _bucket_errors():
            try:
                blob.reload(**self._patience())
            except _not_found():
                raise _gone() from None
        return _described(blob)

    def read(self, name: str, generation: int) -> bytes:
        """See `Store.read`. A compressed object is not unpacked."""
        found = self._download(self._blob(name, generation))
        if found is None:
            raise _gone()
        return found

    def find(self, name: str) -> bytes | None:
        """See `Store.find`."""
        return self._download(self._blob(name))

    def create(
        self, name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """See `Store.create`."""
        from google.api_core.exceptions import PreconditionFailed

        blob = self._blob(name)
        blob.metadata = dict(metadata)
        with _bucket_errors():
            try:
                blob.upload_from_string(
                    data, content_type=content_type, if_generation_match=0, **self._patience()
                )
            except PreconditionFailed:
                return False
        return True

    @contextmanager
    def replacing(self, name: str, content_type: str) -> Iterator[IO[bytes]]:
        """See `Store.replacing`: a resumable upload, which makes an object only at its end."""
        with _bucket_errors():
            writer = self._blob(name).open(
                "wb", chunk_size=_STREAM_CHUNK, content_type=content_type, **self._patience()
            )
            with writer as file:
                yield file

    def _blob(self, name: str, generation: int | None = None) -> "storage.Blob":
        return _client().bucket(self.label).blob(name, generation=generation)

    def _download(self, blob: "storage.Blob") -> bytes | None:
        with _bucket_errors():
            try:
                # As stored: unpacking could make gigabytes of a few kilobytes.
                data: bytes = blob.download_as_bytes(raw_download=True, **self._patience())
            except _not_found():
                return None
        return data

    def _patience(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return {"timeout": self._timeout, "retry": DEFAULT_RETRY.with_timeout(self._timeout)}


@lru_cache(maxsize=1)
def _client() -> "storage.Client":
    # Imported where it is needed: it takes longer than the rest of a cold start's imports.
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    client = storage.Client()
    # As many kept connections as threads may use the client; the default of 10 would open and
    # close the others each time.
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_maxsize=_MOST_CONNECTIONS))
    return client


def _described(blob: "storage.Blob") -> StoredObject:
    return StoredObject(
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
        created=blob.time_created,
        ours=MARK in (blob.metadata or {}),
    )


def _gone() -> ObjectGone:
    return ObjectGone("this version of the object was deleted or replaced before it was read")


def _not_found() -> type[Exception]:
    from google.api_core.exceptions import NotFound

    return NotFound


@contextmanager
def _bucket_errors() -> Iterator[None]:
    """Turn the client's many errors into one, whose text holds no address and no token."""
    import requests
    import urllib3
    from google.api_core import exceptions as api_errors
    from google.auth import exceptions as auth_errors
    from google.cloud.storage import exceptions as storage_errors

    try:
        yield
    except (api_errors.Forbidden, api_errors.Unauthorized, auth_errors.GoogleAuthError) as error:
        raise StorageUnavailable(
            "no permission: give this service's account the roles Storage Object Viewer on the "
            "bucket with the pictures and Storage Object User on the one for the results"
        ) from error
    except (
        api_errors.GoogleAPIError,
        storage_errors.InvalidResponse,
        storage_errors.DataCorruption,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as error:
        reason = getattr(error, "code", None) or type(error).__name__
        raise StorageUnavailable(f"the bucket's server failed ({reason})") from error


class FolderStore:
    """A folder of the local file system; see `Store`.

    It gives file names as they are. When it has to write a name that a file cannot have (``..``,
    an empty part, more than 255 bytes), it changes that part, and finds it again in the same way.
    """

    def __init__(self, root: Path):
        """Touch nothing yet.

        Args:
            root: the folder; made at the first write.
        """
        self.root = root.resolve()
        self.label = self.root.name

    def __str__(self) -> str:
        return str(self.root)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`. Files whose names are not UTF-8 are left out."""
        with _file_errors():
            if not self.root.is_dir():
                raise StorageUnavailable("there is no such folder")
            for name in _walk(self.root, ""):
                if name.startswith(prefix):
                    yield from _described_file(name, self._path(name))

    def stat(self, name: str, generation: int) -> StoredObject:
        """See `Store.stat`."""
        with _file_errors():
            found = next(_described_file(name, self._path(name)), None)
        if found is None or found.generation != generation:
            raise _gone()
        return found

    def read(self, name: str, generation: int) -> bytes:
        """See `Store.read`."""
        data = self.find(name)
        # Looked at after the read: what was written meanwhile shows.
        self.stat(name, generation)
        if data is None:
            raise _gone()
        return data

    def find(self, name: str) -> bytes | None:
        """See `Store.find`."""
        with _file_errors():
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                return None

    def create(
        self, name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """See `Store.create`; files have neither content type nor metadata."""
        with _file_errors(), self._temporary() as path:
            path.write_bytes(data)
            return _linked(path, self._made(name))

    @contextmanager
    def replacing(self, name: str, content_type: str) -> Iterator[IO[bytes]]:
        """See `Store.replacing`."""
        with _file_errors(), self._temporary() as path:
            with path.open("wb") as file:
                yield file
            path.replace(self._made(name))

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*(_file_part(part) for part in name.split("/")))

    def _made(self, name: str) -> Path:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Give the path of a file in the same file system, and remove what is left there."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / f".{MARK}-{secrets.token_hex(8)}.tmp"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _walk(folder: Path, before: str) -> Iterator[str]:
    """Give the names of files below ``folder`` in the order of their UTF-8 bytes.

    Folders sort as if their names ended with the slash that follows. Only the names in the
    folders on the way to the present one are in memory.
    """
    with os.scandir(folder) as found:
        names = [
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in found
            if _is_utf8(entry.name)
        ]
    for name in sorted(names, key=str.encode):
        if name.endswith("/"):
            yield from _walk(folder / name, before + name)
        else:
            yield before + name


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _described_file(name: str, path: Path) -> Iterator[StoredObject]:
    """Give the one regular file at ``path``, or none."""
    try:
        status = path.stat()
    except FileNotFoundError:  # since it was listed, or where a link leads
        return
    if stat.S_ISREG(status.st_mode):
        yield StoredObject(
            name=name,
            generation=status.st_mtime_ns // 1000,
            size=status.st_size,
            created=datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC),
        )


def _file_part(part: str) -> str:
    """A part of a name as a file can have it, and so that no name leads out of the folder."""
    if part in ("", ".", "..") or "\0" in part:
        return f"%{part.encode().hex()}"
    return shortened(part, _MOST_PART_BYTES)


def shortened(text: str, most: int) -> str:
    """Cut ``text`` to at most ``most`` bytes of UTF-8.

    A text that is cut ends with ``~`` and a hash of the whole, so that two never become one.
    """
    data = text.encode()
    if len(data) <= most:
        return text
    ending = f"~{hashlib.blake2b(data, digest_size=16).hexdigest()}"
    return data[: most - len(ending)].decode(errors="ignore") + ending


def _linked(path: Path, target: Path) -> bool:
    """Give a finished file its name unless that is taken; tell whether it got it."""
    try:
        os.link(path, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # No hard links here (FAT, some network file systems). Two processes could both get
        # here, but they would write the same bytes.
        if target.exists():
            return False
        path.replace(target)
    return True


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"the folder failed ({error.strerror})") from error
