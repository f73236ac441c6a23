"""Walks the chunks of PNG files."""

import struct

from age_gender.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_STILL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})


def read_size(data: bytes) -> tuple[int, int]:
    """Read width and height.

    Raises:
        ImageError: the file does not start with a header chunk.
        struct.error: the data ends within it.
    """
    if data[12:16] != b"IHDR":
        raise ImageError("the PNG file is damaged: its header chunk is missing")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def still_image(data: bytes) -> bytes:
    """Drop all chunks that a still image does not need, and check that the rest is complete.

    OpenCV allocates as much memory as a chunk claims to need, gigabytes for a file of a hundred
    bytes, and its animation reader crashes the process on some damaged files.

    Raises:
        ImageError: a chunk is cut off, or the end chunk is missing.
    """
    kept = [data[: len(SIGNATURE)]]
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            break
        if kind in _STILL_CHUNKS:
            kept.append(data[position:end])
        if kind == b"IEND":
            return b"".join(kept)
        position = end
    raise ImageError("the PNG file is damaged or incomplete")
