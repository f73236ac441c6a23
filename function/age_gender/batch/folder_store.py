"""A folder of the local file system as a `Store`."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from age_gender.batch.storage import (
    MARK,
    MAX_RESULT_BYTES,
    StorageUnavailable,
    StoredObject,
    Unlisted,
    Unreadable,
    gone,
    ignore,
    shortened,
    too_long,
)

_MAX_PART_BYTES = 255
"""Maximum length of a file or folder name on common file systems."""


class FolderStore:
    """A folder of the local file system; see `Store`.

    Names are listed as they are. A part that a file cannot have (``..``, an empty part, more than
    255 bytes) is replaced, in the same way for writing and reading.
    """

    def __init__(self, root: Path):
        """Store the path.

        Args:
            root: the folder; created at the first write.
        """
        self.root = root.resolve()
        self.label = self.root.name

    def __str__(self) -> str:
        return str(self.root)

    def list(self, prefix: str, unlisted: Unlisted = ignore) -> Iterator[StoredObject]:
        """See `Store.list`.

        Not listed are links to nothing or to folders, what is no file, names that are not UTF-8,
        and folders that cannot be read.
        """
        with _file_errors():
            if not self.root.is_dir():
                raise StorageUnavailable("there is no such folder")
            for name in _walk(self.root, "", unlisted):
                if not name.startswith(prefix):
                    continue
                try:
                    stored = _stored_object(name, self._path(name))
                except OSError as error:
                    unlisted(name, _reason(error))
                    continue
                if isinstance(stored, StoredObject):
                    yield stored
                else:
                    unlisted(name, stored)

    def stat(self, name: str, generation: int) -> StoredObject:
        """See `Store.stat`."""
        with _file_errors():
            try:
                stored = _stored_object(name, self._path(name))
            except FileNotFoundError:
                raise gone() from None
        if not isinstance(stored, StoredObject) or stored.generation != generation:
            raise gone()
        return stored

    def read(self, stored: StoredObject) -> bytes:
        """See `Store.read`."""
        data = self._content(stored.name, stored.size)
        # After the read, so that a write in the meantime is noticed.
        self.stat(stored.name, stored.generation)
        if data is None:
            raise gone()
        if len(data) > stored.size:
            raise too_long()
        return data

    def find(self, name: str) -> bytes | None:
        """See `Store.find`."""
        data = self._content(name, MAX_RESULT_BYTES)
        if data is not None and len(data) > MAX_RESULT_BYTES:
            raise too_long()
        return data

    def create(
        self,
        name: str,
        data: bytes,
        content_type: str,  # noqa: ARG002
        metadata: Mapping[str, str],  # noqa: ARG002
    ) -> bool:
        """See `Store.create`; files have neither content type nor metadata."""
        with _file_errors(), self._temporary() as path:
            path.write_bytes(data)
            return _linked(path, self._created(name))

    @contextmanager
    def replacing(self, name: str, content_type: str) -> Iterator[IO[bytes]]:  # noqa: ARG002
        """See `Store.replacing`."""
        with _file_errors(), self._temporary() as path:
            with path.open("wb") as file:
                yield file
            path.replace(self._created(name))

    def _content(self, name: str, max_bytes: int) -> bytes | None:
        """Read a file up to a byte more than ``max_bytes``."""
        with _file_errors():
            try:
                with self._path(name).open("rb") as file:
                    return file.read(max_bytes + 1)
            except FileNotFoundError:
                return None
            except PermissionError as error:
                raise Unreadable(f"it cannot be read: {_reason(error)}") from error

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*(_file_part(part) for part in name.split("/")))

    def _created(self, name: str) -> Path:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Path of a temporary file on the same file system, removed afterwards."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / f".{MARK}-{secrets.token_hex(8)}.tmp"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _walk(folder: Path, before: str, unlisted: Unlisted) -> Iterator[str]:
    """Yield the names of files below ``folder`` in the order of their UTF-8 bytes.

    Folders sort with their trailing slash. Only the folders on the current path are in memory.
    """
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_utf8(entry.name):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    names.append(f"{entry.name}/" if is_folder else entry.name)
                else:
                    printable = os.fsencode(entry.name).decode(errors="backslashreplace")
                    unlisted(before + printable, "its name is not UTF-8: rename it")
    except OSError as error:
        if not before:  # the root itself
            raise
        unlisted(before, f"the folder cannot be read: {_reason(error)}")
        return
    for name in sorted(names, key=str.encode):
        if name.endswith("/"):
            yield from _walk(folder / name, before + name, unlisted)
        else:
            yield before + name


def _reason(error: OSError) -> str:
    return error.strerror or "input/output error"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stored_object(name: str, path: Path) -> StoredObject | str:
    """Describe the regular file at ``path``, or say what it is instead.

    Raises:
        FileNotFoundError: it is a link to nothing, or was deleted since it was listed.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return "it is a link to a folder, which is not followed"
    if not stat.S_ISREG(status.st_mode):
        return "it is a pipe, socket or device"
    return StoredObject(
        name=name,
        generation=status.st_mtime_ns // 1000,
        size=status.st_size,
        created=datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC),
    )


def _file_part(part: str) -> str:
    """Make a part of a name valid for a file, so that no name leads out of the folder."""
    if part in ("", ".", "..") or "\0" in part:
        return f"%{part.encode().hex()}"
    return shortened(part, _MAX_PART_BYTES)


def _linked(path: Path, target: Path) -> bool:
    """Link a finished file to its name; return False if that is taken."""
    try:
        os.link(path, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # No hard links (FAT, some network file systems). Two processes could both get here,
        # but they write the same bytes.
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
