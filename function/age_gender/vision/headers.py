"""Reads format and size of an image file from its first bytes, before anything is decoded."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from age_gender.errors import ImageError
from age_gender.vision.formats import bmff, exif, jpeg, kinds, metadata, png, tiff
from age_gender.vision.formats.metadata import Metadata

_MEMORY = {"AVIF": 2, "TIFF": 2}
"""Memory of a pixel, compared to that of other formats: up to 26 bytes in OpenCV's decoders."""
_MORE_MEMORY = {"HEIC": 2_000_000, "AVIF": 4_000_000, "TIFF": 4_000_000}
"""Pixels whose memory the decoder's own process takes before it starts."""


@dataclass(frozen=True)
class Header:
    """What an image file's header says.

    Attributes:
        format: one of `kinds.FORMATS`.
        width: pixels, before any rotation.
        height: pixels, before any rotation.
        jpeg_coding: of a JPEG that can be decoded at reduced size, else None.
        page: of a TIFF file, else None.
        primary: of a HEIC or AVIF file, else None.
    """

    format: str
    width: int
    height: int
    jpeg_coding: jpeg.Coding | None = None
    page: tiff.Page | None = None
    primary: bmff.Primary | None = None

    @property
    def pixels(self) -> int:
        """Width times height, or the pixels of all tiles if those are more."""
        return max(self.width * self.height, self.primary.coded_pixels if self.primary else 0)

    @property
    def memory_pixels(self) -> int:
        """Pixels whose memory the decoding takes."""
        return _MEMORY.get(self.format, 1) * self.pixels + _MORE_MEMORY.get(self.format, 0)

    def metadata(self, data: bytes) -> Metadata:
        """Read orientation and colour profile of the file that has this header."""
        if self.page is not None:
            return Metadata(self.page.orientation, self.page.profile)
        if self.primary is not None:
            return Metadata(self._orientation(self.primary, data), self.primary.profile)
        reader = _METADATA.get(self.format)
        return reader(data) if reader else Metadata()

    def _orientation(self, primary: bmff.Primary, data: bytes) -> int:
        if self.format == "HEIC":  # turned upright by its decoder
            return 1
        if primary.is_turned:
            return primary.orientation
        return exif.orientation_in_xmp(data)


def read_header(data: bytes) -> Header:
    """Read the header of an image file.

    Raises:
        ImageError: not one of `kinds.FORMATS`, or the header is damaged or incomplete.
        ImageTooLarge: the header describes more parts than any picture has.
    """
    if not data:
        raise ImageError("the picture is empty (0 bytes): choose the file again")
    kind = kinds.kind_of(data)
    if not kind.is_readable:
        raise kind.refusal()
    name = kind.name
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError):
        raise ImageError(
            f"the {name} file ends within its header: it was not sent or copied completely"
        ) from None
    if header.width <= 0 or header.height <= 0:
        raise ImageError(
            f"the {name} file has no pixels: its header says {header.width} x {header.height}"
        )
    return header


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


def _read_base_media(data: bytes) -> Header:
    primary = bmff.read_primary(data)
    width, height = primary.crop[2:] if primary.crop else (primary.width, primary.height)
    return Header(primary.format, width, height, primary=primary)


def _read_tiff(data: bytes) -> Header:
    page = tiff.read_page(data)
    return Header("TIFF", page.width, page.height, page=page)


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WebP": _read_webp,
    "GIF": _read_gif,
    "BMP": _read_bmp,
    "HEIC": _read_base_media,
    "AVIF": _read_base_media,
    "TIFF": _read_tiff,
}
_METADATA: dict[str, Callable[[bytes], Metadata]] = {
    "JPEG": metadata.of_jpeg,
    "PNG": metadata.of_png,
    "WebP": metadata.of_webp,
}
