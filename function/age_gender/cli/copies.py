"""Drawn or blurred copies of images in a folder, each under a name of its own."""

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from age_gender.batch.folder_store import FolderStore
from age_gender.batch.storage import shortened

MAX_NAME_BYTES = 220
"""Length of a copy's name without its suffix; file systems allow 255 in all."""


class Copies:
    """Writes copies under the names of their originals, in the same folder structure.

    A copy appears complete or not at all. It may replace a copy of an earlier run, but never an
    input of this one. Where two copies would get the same name, the second gets a number.
    """

    def __init__(self, folder: Path, suffix: str, inputs: Collection[str]):
        """Create the folder.

        Args:
            folder: where the copies go.
            suffix: end of their names, such as ``.drawn.jpg``.
            inputs: files that this run reads.

        Raises:
            OSError: the folder cannot be created or written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
        self._store = FolderStore(folder)
        self._suffix = suffix
        self._inputs = {os.path.realpath(name) for name in inputs}
        self._taken: set[str] = set()

    def write(self, stem: Path, jpeg: bytes) -> None:
        """Write one copy.

        Args:
            stem: relative to the folder, without suffix.
            jpeg: the encoded copy.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with self._store.replacing(self._free_name(stem), "image/jpeg") as file:
            file.write(jpeg)

    def reserve(self, stem: Path) -> None:
        """Leave the name for a copy of ``stem`` to an earlier run, which wrote it."""
        self._free_name(stem)

    def _free_name(self, stem: Path) -> str:
        parts = [_utf8(part) for part in stem.parts]
        plain = "/".join([*parts[:-1], shortened(parts[-1], MAX_NAME_BYTES)])
        name, number = plain + self._suffix, 2
        # Some file systems ignore case, or how accents are encoded.
        while (key := unicodedata.normalize("NFC", name).casefold()) in self._taken or (
            os.path.realpath(self._store.root / name) in self._inputs
        ):
            name, number = f"{plain}.{number}{self._suffix}", number + 1
        self._taken.add(key)
        return name


def _utf8(part: str) -> str:
    return os.fsencode(part).decode(errors="backslashreplace")
