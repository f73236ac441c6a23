"""Reads format and size of an image file from its first bytes, before anything is decoded."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from age_gender.errors import ImageError
from age_gender.vision.formats import jpeg, png

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP")
"""Accepted formats; OpenCV's other decoders never see a byte from outside."""


@dataclass(frozen=True)
class Header:
    """What an image file's header says.

    Attributes:
        format: one of `FORMATS`.
        width: pixels, before any EXIF rotation.
        height: pixels, before any EXIF rotation.
        jpeg_coding: of a JPEG that can be decoded at reduced size, else None.
    """

    format: str
    width: int
    height: int
    jpeg_coding: jpeg.Coding | None = None

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(data: bytes) -> Header:
    """Read the header of an image file.

    Raises:
        ImageError: not one of `FORMATS`, or the header is damaged or incomplete.
    """
    if not data:
        raise ImageError("the picture is empty (0 bytes)")
    name = _format_of(data)
    if name is None:
        raise ImageError(f"unsupported format: send one of {', '.join(FORMATS)}")
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError):
        raise ImageError(f"the {name} file ends within its header") from None
    if header.width <= 0 or header.height <= 0:
        raise ImageError(
            f"the {name} file has no pixels: its header says {header.width} x {header.height}"
        )
    return header


def _format_of(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM") and len(data) > 26:
        return "BMP"
    return None


def _read_jpeg(data: bytes) -> Header:
    frame = jpeg.read_frame(data)
    return Header("JPEG", frame.width, frame.height, frame.coding)


def _read_png(data: bytes) -> Header:
    return Header("PNG", *png.read_size(data))


def _read_webp(data: bytes) -> Header:
    """Read any of the three kinds of WebP (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ImageError("the WebP file is damaged: its first chunk is unknown")
    return Header("WebP", width, height)


def _read_gif(data: bytes) -> Header:
    return Header("GIF", *struct.unpack_from("<HH", data, 6))


def _read_bmp(data: bytes) -> Header:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        return Header("BMP", *struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", width, abs(height))  # negative: rows run from top to bottom


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WebP": _read_webp,
    "GIF": _read_gif,
    "BMP": _read_bmp,
}
