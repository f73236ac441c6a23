"""Walks the marker segments of JPEG files (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

from age_gender.errors import ImageError

Coding = Literal["sequential", "progressive"]

START_OF_SCAN = b"\xff\xda"
END_OF_IMAGE = b"\xff\xd9"
MAX_SEGMENTS = 10_000
"""Markers before the frame header; real files have dozens."""

_CODINGS: dict[int, Coding] = {0xC0: "sequential", 0xC1: "sequential", 0xC2: "progressive"}
"""Huffman-coded DCT frames by their marker (T.81, table B.1)."""
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""Any marker except those inside image data (stuffed zeros and restarts)."""
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff]")
"""What decoders take for the next marker: they skip anything else, FF 00 included."""


class Frame(NamedTuple):
    """A frame header; ``coding`` is None for lossless, hierarchical and arithmetic coding."""

    width: int
    height: int
    coding: Coding | None


def read_frame(data: bytes) -> Frame:
    """Walk to the frame header and read it.

    Raises:
        ImageError: the segments are damaged or lead to no frame header.
        IndexError, struct.error: the data ends before it.
    """
    for marker, start, _ in segments(data):
        if _is_frame(marker):
            height, width = struct.unpack_from(">HH", data, start + 1)
            return Frame(width, height, _CODINGS.get(marker))
        # Decoders stop at these, or skip them in ways of their own, so a frame could hide there.
        if marker < 0xC0 or marker in (0xD8, 0xD9, 0xDA):
            break
    raise ImageError("the JPEG file is damaged: it has no frame header; use the original file")


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment's content up to the first scan, in order.

    Bytes between two segments are skipped, as decoders do: cameras and editors leave some.

    Raises:
        ImageError: there are more markers than any file has.
        struct.error: the data ends within a segment's length.
    """
    position = 2
    for _ in range(MAX_SEGMENTS):
        match = _NEXT_MARKER.search(data, position)
        if match is None:
            raise struct.error("no further marker")
        position = match.end()
        marker = data[position - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a segment
            continue
        if marker < 0xC0 or marker in (0xD8, 0xD9):
            yield marker, position, position
            return
        (length,) = struct.unpack_from(">H", data, position)
        end = position + max(length, 2)
        yield marker, position + 2, end
        if marker == 0xDA:
            return
        position = end
    raise ImageError("the JPEG file is damaged: it has too many segments before its frame header")


def count_scans(data: bytes) -> int:
    """Count the scans up to the end-of-image marker, skipping damage as decoders do."""
    scans, position = 0, 2
    while match := _MARKER.search(data, position):
        position = match.end()
        marker = data[position - 1]
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        # Decoders skip two bytes after an invalid marker and read on inside its apparent segment.
        if marker >= 0xC0 and marker != 0xD8:
            position += int.from_bytes(data[position : position + 2], "big")
    return scans


def _is_frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
