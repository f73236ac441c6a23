"""Images and image files made for tests."""

import io
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Pixels = NDArray[np.uint8]

RED = (250, 10, 20)
GREEN = (0, 100, 0)

PORTRAIT_BOX = np.array([[77, 62, 173, 180]], np.float32)
"""The face of `portrait`."""


def marked(width: int = 24, height: int = 16) -> Pixels:
    """Make a green image with a red block in its upper left, which no symmetry maps onto itself."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = GREEN
    image[: height // 2, : width // 3] = RED
    return image


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    """Make an image of independent random pixels, with all frequencies."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Pixels | Pillow.Image, file_format: str, **options: Any) -> bytes:
    """Encode an image with Pillow."""
    pillow = image if isinstance(image, Pillow.Image) else Pillow.fromarray(image)
    stream = io.BytesIO()
    pillow.save(stream, file_format, **options)
    return stream.getvalue()


def decoded(data: bytes) -> Pixels:
    """Decode a file to RGB with Pillow."""
    return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))


def png_chunk(kind: bytes, content: bytes, *, length: int | None = None) -> bytes:
    """Make a chunk with a valid checksum; ``length`` is what it claims, by default the truth."""
    claimed = len(content) if length is None else length
    return (
        struct.pack(">I", claimed) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    colour: int = 2,
    interlaced: bool = False,
) -> bytes:
    """Make a PNG file of filtered ``rows``."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def unfiltered(rows: Iterable[NDArray[Any]]) -> bytes:
    """PNG scan lines, each with filter type 0."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def png_16_bit(image: Pixels) -> bytes:
    height, width, _ = image.shape
    return png(width, height, unfiltered(image.astype(">u2") * 257), depth=16)


def png_interlaced(image: Pixels) -> bytes:
    """Adam7: seven passes over ever finer grids."""
    height, width, _ = image.shape
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2))
    grids = [image[y::dy, x::dx] for y, dy, x, dx in (*passes, (1, 2, 0, 1))]
    rows = b"".join(unfiltered(grid) for grid in grids if grid.size)
    return png(width, height, rows, interlaced=True)


@cache
def portrait() -> Pixels:
    """Return 300 x 300 pixels with one face of some 90 pixels."""
    # Imported late because it takes a second, and few tests need it.
    from skimage import data

    image: Pixels = data.astronaut()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(image[:300, 100:400])


def rotated_portrait(turn: int) -> tuple[Pixels, NDArray[np.float32]]:
    """The portrait rotated clockwise, and the box of its face."""
    image = np.ascontiguousarray(np.rot90(portrait(), -turn))
    x1, y1, x2, y2 = PORTRAIT_BOX[0]
    box = [
        (x1, y1, x2, y2),
        (300 - y2, x1, 300 - y1, x2),
        (300 - x2, 300 - y2, 300 - x1, 300 - y1),
        (y1, 300 - x2, y2, 300 - x1),
    ][turn]
    return image, np.array([box], np.float32)


def png_of(side: int, *chunks: bytes) -> bytes:
    """Make a PNG file that claims a square of RGB pixels, with these chunks for them."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header), *chunks, png_chunk(b"IEND", b"")]
    )


def bmp_file(side: int, bits: int, coding: int, pixels: bytes) -> bytes:
    """Make a BMP file that claims a square, with these bytes for its pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, coding, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(pixels), 0, 0, 62) + header + bytes(8) + pixels
