"""Checks that BMP files hold their pixels."""

import struct

from age_gender.errors import ImageError

_MIN_BYTES = 30
"""Of a file with one pixel: two headers and a row."""
_CORE_HEADER_BYTES = 12
_LONG_HEADERS_BYTES = 54
_RUN_LENGTH_CODED = (1, 2)
_PIXELS_PER_RUN_BYTE = 128
"""A run of at most 255 pixels takes two bytes."""


def check_pixels(data: bytes, pixels: int) -> None:
    """Refuse a file that is much too short for its size, before the pixels' memory is taken.

    Args:
        data: the whole file.
        pixels: width times height, as the header says.

    Raises:
        ImageError: it ends within its header or its pixels.
    """
    if len(data) < _MIN_BYTES:
        raise ImageError("the BMP file ends within its header")
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == _CORE_HEADER_BYTES:
        bits, coding = struct.unpack_from("<H", data, 24)[0], 0
    elif len(data) < _LONG_HEADERS_BYTES:
        raise ImageError("the BMP file ends within its header")
    else:
        bits, coding = struct.unpack_from("<HI", data, 28)
    if coding in _RUN_LENGTH_CODED:
        complete = pixels <= _PIXELS_PER_RUN_BYTE * len(data)
    else:
        complete = pixels * bits <= 8 * len(data)
    if not complete:
        raise ImageError("the BMP file is incomplete: it ends within its pixels")
