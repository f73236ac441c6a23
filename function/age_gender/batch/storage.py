"""Where pictures are and results go: what a bucket and a folder have in common.

Our own interface and not fsspec. What makes a result appear once and whole are a write that never
overwrites, a read of one generation, and telling "gone" from "not available now"; fsspec's
interface has none of these, so code above it would still have to know which store it talks to,
and gcsfs would bring an asynchronous stack into every cold start. Six methods over the official
client (``bucket_store``) and over the file system (``folder_store``) are less.

Names are relative to the store, with ``/`` between their parts, and listed in the order of their
UTF-8 bytes, as Cloud Storage does.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

from age_gender.errors import AgeGenderError

MARK = "age-gender-estimation"
"""Metadata key of objects that we wrote; its value is our version."""


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


def gone() -> ObjectGone:
    """Give the error for a version that cannot be read any more."""
    return ObjectGone("this version of the object was deleted or replaced before it was read")


def shortened(text: str, most: int) -> str:
    """Cut ``text`` to at most ``most`` bytes of UTF-8.

    A text that is cut ends with ``~`` and a hash of the whole, so that two never become one.
    """
    data = text.encode()
    if len(data) <= most:
        return text
    ending = f"~{hashlib.blake2b(data, digest_size=16).hexdigest()}"
    return data[: most - len(ending)].decode(errors="ignore") + ending
