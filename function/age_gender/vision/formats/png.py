"""Walks the chunks of PNG files, and bounds what their pixels inflate to."""

import struct
import zlib
from collections.abc import Sequence

from age_gender.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_STILL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
_FREE_CHUNKS = 10_000
_MIN_CHUNK_BYTES = 512
"""On average, beyond `_FREE_CHUNKS`; encoders write several thousand."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""First column and row, and steps across and down, of each pass of an interlaced file."""
_MAX_INFLATION = 1032
"""Bytes that one byte of deflate can stand for."""
_FREE_BYTES = 128 << 20
"""Inflating this much is too cheap to be worth a check."""
_SPARE_BYTES = 64 << 10
"""What a file may hold beyond its pixels: block headers, or a sloppy encoder's extra rows."""
_STEP_BYTES = 64 << 10


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
    bytes, and its animation reader crashes the process on some damaged files. It also inflates
    pixels beyond the image's, and warns about each repeated chunk.

    Raises:
        ImageError: a chunk is cut off, the end chunk is missing, there are too many chunks, or
            their pixels are far more than the header says.
    """
    kept = [data[: len(SIGNATURE)]]
    pixels: list[memoryview] = []
    seen: set[bytes] = set()
    position = len(SIGNATURE)
    for _ in range(_FREE_CHUNKS + len(data) // _MIN_CHUNK_BYTES):
        if position + 12 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            break
        if kind in _STILL_CHUNKS and (kind == b"IDAT" or kind not in seen):
            kept.append(data[position:end])
            seen.add(kind)
        if kind == b"IDAT":
            pixels.append(memoryview(data)[position + 8 : end - 4])
        if kind == b"IEND":
            _check_pixels(data, pixels)
            return b"".join(kept)
        position = end
    raise ImageError(
        "the PNG file is damaged or incomplete: use the original file, or save it again with an "
        "image program"
    )


def _check_pixels(data: bytes, pixels: Sequence[memoryview]) -> None:
    expected = _raster_bytes(data)
    if expected is None:
        return  # not a valid header: the decoder refuses it
    size = sum(map(len, pixels))
    if size * _MAX_INFLATION < expected:
        raise ImageError("the PNG file is incomplete: it ends within its pixels")
    most = expected + expected // 64 + _SPARE_BYTES
    if size > most or (
        size * _MAX_INFLATION > expected + _FREE_BYTES and _inflates_beyond(pixels, most)
    ):
        raise ImageError("the PNG file is damaged: it has more pixels than its header says")


def _raster_bytes(data: bytes) -> int | None:
    """Count the bytes of all rows with their filter types, as they are before compression."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        return None
    bits = _CHANNELS[colour] * depth
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns = -(-max(0, width - left) // across)
        rows = -(-max(0, height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total


def _inflates_beyond(pixels: Sequence[memoryview], most: int) -> bool:
    """Whether a file's pixels inflate to more than ``most`` bytes; nothing is kept."""
    stream = zlib.decompressobj()
    inflated = 0
    for part in pixels:
        for start in range(0, len(part), _STEP_BYTES):
            piece: bytes | memoryview = part[start : start + _STEP_BYTES]
            while len(piece):
                try:
                    inflated += len(stream.decompress(piece, _STEP_BYTES))
                except zlib.error:  # where the decoder ends, too
                    return False
                if inflated > most:
                    return True
                if stream.eof:
                    return False
                piece = stream.unconsumed_tail
    return False
