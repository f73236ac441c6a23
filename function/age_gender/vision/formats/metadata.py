"""Finds orientation and colour profile in JPEG, PNG and WebP files."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from age_gender.vision.formats import exif, jpeg, png

MAX_PROFILE_BYTES = 4 << 20
"""A larger colour profile is left out; those of printers take up to two megabytes."""
MAX_CHUNKS = 100_000
_ICC_MARK = b"ICC_PROFILE\0"
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_EXIF_MARK = b"Exif\0\0"


class Metadata(NamedTuple):
    """How pixels are meant.

    Attributes:
        orientation: EXIF number, 1 to 8.
        profile: an ICC profile, or empty.
    """

    orientation: int = 1
    profile: bytes = b""


def of_jpeg(data: bytes) -> Metadata:
    """Read the segments before the frame header; damaged ones are passed over."""
    orientation: int | None = None
    parts: dict[int, bytes] = {}
    for marker, start, end in jpeg.segments(data):
        if marker == 0xE1 and orientation is None and data.startswith(_EXIF_MARK, start):
            orientation = exif.orientation_of(data[start:end])
        elif marker == 0xE2 and data.startswith(_ICC_MARK, start) and start + 14 < end:
            parts[data[start + 12]] = data[start + 14 : end]
    profile = b"".join(parts[number] for number in sorted(parts))
    return Metadata(orientation or 1, profile if len(profile) <= MAX_PROFILE_BYTES else b"")


def of_png(data: bytes) -> Metadata:
    """Read the chunks ``eXIf``, in its absence XMP in ``iTXt``, and ``iCCP``."""
    orientation: int | None = None
    profile, from_xmp = b"", 1
    for kind, start, end in _chunks(data, len(png.SIGNATURE), ">I4s", checked=4):
        if kind == b"eXIf":
            orientation = exif.orientation_of(data[start:end])
        elif kind == b"iTXt" and data.startswith(_XMP_KEYWORD, start):
            from_xmp = exif.orientation_in_xmp(data[start:end])
        elif kind == b"iCCP":
            profile = _unpacked(data[start:end])
    return Metadata(from_xmp if orientation is None else orientation, profile)


def of_webp(data: bytes) -> Metadata:
    """Read the chunks ``EXIF``, in which some writers leave the mark of JPEG, and ``ICCP``."""
    orientation, profile = 1, b""
    for kind, start, end in _chunks(data, 12, "<4sI", checked=0):
        if kind == b"EXIF":
            orientation = exif.orientation_of(data[start:end])
        elif kind == b"ICCP" and end - start <= MAX_PROFILE_BYTES:
            profile = data[start:end]
    return Metadata(orientation, profile)


def _chunks(
    data: bytes, position: int, layout: str, *, checked: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of chunks; ``checked`` bytes of checksum follow each."""
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return
        fields = struct.unpack_from(layout, data, position)
        length, kind = fields if layout[1] == "I" else fields[::-1]
        start = position + 8
        if start + length > len(data):
            return
        yield kind, start, start + length
        # WebP pads chunks to even lengths.
        position = start + length + (checked or length % 2)


def _unpacked(chunk: bytes) -> bytes:
    """Unpack the profile of an ``iCCP`` chunk, up to a limit: it may be a bomb."""
    _, _, packed = chunk.partition(b"\0")
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""
