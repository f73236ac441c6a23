"""Walks the first directory of TIFF files and of EXIF blocks (TIFF 6.0, section 2)."""

import re
import struct
from typing import NamedTuple

MAX_ENTRIES = 1_000
"""Entries of a directory that are read; cameras write dozens."""
ORIENTATION = 274
_MARK = b"Exif\0\0"
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value by its type."""
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I"}


class Entry(NamedTuple):
    """An entry of a directory: type, number of values, position of the values, their byte order."""

    kind: int
    values: int
    position: int
    order: str

    def numbers(self, data: bytes, limit: int) -> tuple[int, ...]:
        """Read up to ``limit`` whole numbers; none if they are of another type or cut off."""
        code = _NUMBERS.get(self.kind)
        count = min(self.values, limit)
        if code is None or self.position + count * _SIZES[self.kind] > len(data):
            return ()
        return struct.unpack_from(f"{self.order}{count}{code}", data, self.position)

    def content(self, data: bytes) -> bytes:
        """Return the bytes of all values, as far as they are there."""
        return data[self.position : self.position + self.values * _SIZES.get(self.kind, 0)]


class Directory(NamedTuple):
    """A file's first directory: the entries by tag, and where the number of the next one stands."""

    entries: dict[int, Entry]
    next_at: int

    def number(self, data: bytes, tag: int, default: int) -> int:
        """Return an entry's first number, or ``default`` if there is none."""
        entry = self.entries.get(tag)
        return next(iter(entry.numbers(data, 1) if entry else ()), default)


def read_directory(data: bytes) -> Directory:
    """Read the first directory.

    Raises:
        struct.error: the data ends before it.
    """
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries: dict[int, Entry] = {}
    position = start + 2
    for _ in range(min(count, MAX_ENTRIES)):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, position)
        at = position + 8
        if values * _SIZES.get(kind, 0) > 4:
            (at,) = struct.unpack_from(f"{order}I", data, at)
        entries.setdefault(tag, Entry(kind, values, at, order))
        position += 12
    return Directory(entries, start + 2 + 12 * count)


def orientation_in_xmp(data: bytes) -> int:
    """Read the orientation in an XMP packet anywhere in a file; 1 where there is none."""
    match = _XMP.search(data)
    return int(match[1]) if match else 1


def orientation_of(block: bytes) -> int:
    """Read the orientation in an EXIF block, with or without ``Exif`` in front.

    Returns:
        1 to 8; 1, which changes nothing, where it is missing or damaged.
    """
    block = block.removeprefix(_MARK)
    if not block.startswith((b"II*\0", b"MM\0*")):
        return 1
    try:
        number = read_directory(block).number(block, ORIENTATION, 1)
    except struct.error:
        return 1
    return number if 1 <= number <= 8 else 1
