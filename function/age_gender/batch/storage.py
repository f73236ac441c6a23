"""The interface of a store: a bucket (``bucket_store``) or a folder (``folder_store``).

Not fsspec: results that appear once and complete need a write that never overwrites, a read of one
generation, and errors that separate "gone" from "unavailable". fsspec has none of these, and gcsfs
would add an asynchronous stack to every cold start.

Names are relative to the store, with ``/`` between their parts, and listed in the order of their
UTF-8 bytes, as in Cloud Storage.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

from age_gender.errors import AgeGenderError

MARK = "age-gender-estimation"
"""Metadata key of the objects that we write; its value is our version."""


MAX_RESULT_BYTES = 16 << 20
"""Of a result that is read again; those for 300 faces have a hundredth of it."""


class ObjectGone(AgeGenderError):
    """The object, or this generation of it, no longer exists."""

    code = "object-gone"


class ObjectTooLong(AgeGenderError):
    """The object has more bytes than its description says."""

    code = "object-too-long"


class StorageUnavailable(AgeGenderError):
    """The storage failed; a retry may succeed."""

    code = "storage-unavailable"


class Unreadable(StorageUnavailable):
    """This one object cannot be read, while the storage works; a retry may succeed."""

    code = "unreadable"


@dataclass(frozen=True)
class StoredObject:
    """One version of an object.

    Attributes:
        name: within its store.
        generation: number of this version; grows with each overwrite. Of a file: its modification
            time in microseconds, as in Cloud Storage.
        size: bytes.
        created: time at which this version was stored, UTC.
        ours: whether it carries our mark; files cannot.
    """

    name: str
    generation: int
    size: int
    created: datetime
    ours: bool = False


Unlisted = Callable[[str, str], None]
"""Takes the name of what cannot be listed as a picture, printable, and why."""


def ignore(_name: str, _why: str) -> None:
    """Be an `Unlisted` that does nothing."""


class Store(Protocol):
    """A bucket or a folder. Thread-safe.

    All methods raise `StorageUnavailable` when the storage fails, after the client's retries.
    """

    label: str
    """Name of the bucket or folder, without its path."""

    def list(self, prefix: str, unlisted: Unlisted = ignore) -> Iterator[StoredObject]:
        """Yield the objects whose names start with ``prefix``, in order, page by page.

        Args:
            prefix: start of their names.
            unlisted: called with what cannot be read; the rest is listed all the same.
        """
        ...

    def stat(self, name: str, generation: int) -> StoredObject:
        """Describe one version; raises `ObjectGone`."""
        ...

    def read(self, stored: StoredObject) -> bytes:
        """Return the content of exactly this version.

        Raises:
            ObjectGone: it does not exist any more.
            ObjectTooLong: it has more than ``stored.size`` bytes.
        """
        ...

    def find(self, name: str) -> bytes | None:
        """Return the content of the newest version, or None where there is no such object.

        Raises:
            ObjectTooLong: it has more than `MAX_RESULT_BYTES`.
        """
        ...

    def create(
        self, name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """Write a new object completely, or not at all.

        Returns:
            False if the name is taken, which changes nothing.
        """
        ...

    def replacing(self, name: str, content_type: str) -> AbstractContextManager[IO[bytes]]:
        """Open an object to write or replace.

        It appears when the block ends; if the block raises or the process dies, nothing changes.
        """
        ...


def gone() -> ObjectGone:
    """Return the error for a version that can no longer be read."""
    return ObjectGone("this version of the object was deleted or replaced before it was read")


def too_long() -> ObjectTooLong:
    """Return the error for content that goes on after its expected end."""
    return ObjectTooLong("the object has more bytes than its description says")


def shortened(text: str, max_bytes: int) -> str:
    """Cut ``text`` to ``max_bytes`` bytes of UTF-8.

    A text that is cut ends with ``~`` and a hash of all of it, so that two stay distinct.
    """
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    ending = f"~{hashlib.blake2b(data, digest_size=16).hexdigest()}"
    return data[: max_bytes - len(ending)].decode(errors="ignore") + ending
