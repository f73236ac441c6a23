"""Drawn or blurred copies of pictures in a folder, each under a name of its own."""

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from age_gender.batch.folder_store import FolderStore
from age_gender.batch.storage import shortened

MAX_NAME_BYTES = 220
"""Of a copy's name without its ending; file systems take 255 with it."""


class Copies:
    """Writes copies under the names of their pictures, in the same tree of folders.

    A copy appears whole or not at all. It replaces the one of an earlier run, but never a file
    that is read in this one; where two pictures would get the same name, the second gets a number.
    """

    def __init__(self, folder: Path, ending: str, inputs: Collection[str]):
        """Make the folder.

        Args:
            folder: where the copies go.
            ending: of their names, such as ``.drawn.jpg``.
            inputs: files that are read in this run.

        Raises:
            OSError: the folder cannot be made or written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
        self._store = FolderStore(folder)
        self._ending = ending
        self._inputs = {os.path.realpath(name) for name in inputs}
        self._taken: set[str] = set()

    def write(self, stem: Path, jpeg: bytes) -> None:
        """Write one copy.

        Args:
            stem: relative to the folder, without ending.
            jpeg: its content.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with self._store.replacing(self._free_name(stem), "image/jpeg") as file:
            file.write(jpeg)

    def _free_name(self, stem: Path) -> str:
        parts = [_utf8(part) for part in stem.parts]
        plain = "/".join([*parts[:-1], shortened(parts[-1], MAX_NAME_BYTES)])
        name, number = plain + self._ending, 2
        # On some file systems names that differ in case or in their accents' encoding are one.
        while (key := unicodedata.normalize("NFC", name).casefold()) in self._taken or (
            os.path.realpath(self._store.root / name) in self._inputs
        ):
            name, number = f"{plain}.{number}{self._ending}", number + 1
        self._taken.add(key)
        return name


def _utf8(part: str) -> str:
    return os.fsencode(part).decode(errors="backslashreplace")
