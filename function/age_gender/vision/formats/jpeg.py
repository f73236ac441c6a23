"""Walks the marker segments of JPEG files (ITU-T T.81, annex B)."""

import re
import struct
from typing import Literal, NamedTuple

from age_gender.errors import ImageError

Coding = Literal["sequential", "progressive"]

START_OF_SCAN = b"\xff\xda"
MAX_SEGMENTS = 10_000
"""Markers before the frame header; real files have dozens."""

_CODINGS: dict[int, Coding] = {0xC0: "sequential", 0xC1: "sequential", 0xC2: "progressive"}
"""Huffman-coded DCT frames by their marker (T.81, table B.1)."""
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""Any marker except those inside image data (stuffed zeros and restarts)."""


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
    position = 2
    for _ in range(MAX_SEGMENTS):
        if data[position] != 0xFF:
            raise ImageError("the JPEG file is damaged: a marker is missing")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (0x01, *range(0xD0, 0xD9)):  # markers without a segment
            position += 2
            continue
        # Decoders skip FF 00 and read on right after it, so a frame could hide there.
        if marker < 0xC0 or marker in (0xD9, 0xDA):
            raise ImageError("the JPEG file is damaged: it has no frame header")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return Frame(width, height, _CODINGS.get(marker))
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + max(length, 2)
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
