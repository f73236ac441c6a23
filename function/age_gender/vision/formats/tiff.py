"""Reads the first page of TIFF files (TIFF 6.0), and prepares it for the decoder."""

import math
import struct
from dataclasses import dataclass

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.formats import exif, kinds

MAX_PARTS = 100_000
"""Strips or tiles of a page."""
MAX_SAMPLES = 8
"""Samples of a pixel."""
MAX_BYTES_PER_PIXEL = 8
"""16 bits of red, green, blue and opacity."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = 273, 277, 278, 322, 323
_TILES, _SUB_DIRECTORIES, _FORMAT, _PROFILE, _SUBTYPE = 324, 330, 339, 34675, 254
_DNG_VERSION = 50706

_COMPRESSIONS = {
    1: "none",
    2: "CCITT",
    3: "CCITT",
    4: "CCITT",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
}
"""Those that the decoder knows."""
_OTHERS = {6: "old JPEG", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
_RAW_COMPRESSIONS = (32767, 32769, 34713, 34892, 65535)
_RAW_PHOTOMETRICS = (32803, 34892)


@dataclass(frozen=True)
class Page:
    """The first page of a file.

    Attributes:
        width: pixels as stored.
        height: likewise.
        orientation: EXIF number.
        profile: its ICC profile, or empty.
    """

    width: int
    height: int
    orientation: int
    profile: bytes


def read_page(data: bytes) -> Page:
    """Read the first directory, and check that its page can be decoded.

    Raises:
        ImageError: damaged, or of a kind that cannot be decoded.
        ImageTooLarge: more parts or samples than any picture has.
        struct.error: the data ends within the directory.
    """
    directory = exif.read_directory(data)

    def number(tag: int, default: int) -> int:
        return directory.number(data, tag, default)

    width, height = number(_WIDTH, 0), number(_HEIGHT, 0)
    compression, samples = number(_COMPRESSION, 1), number(_SAMPLES, 1)
    if _is_raw(directory, number(_SUBTYPE, 0), compression, number(_PHOTOMETRIC, 0)):
        raise kinds.RAW.refusal()
    if compression not in _COMPRESSIONS:
        how = _OTHERS.get(compression, f"number {compression}")
        raise kinds.Kind(f"a TIFF with {how} compression").refusal()
    bits = number(_BITS, 1)
    if bits not in (1, 2, 4, 8, 16) or number(_FORMAT, 1) != 1:
        raise kinds.Kind(f"a TIFF with samples of {bits} bits, or not whole numbers").refusal()
    if samples > MAX_SAMPLES or samples * bits > 8 * MAX_BYTES_PER_PIXEL:
        raise ImageTooLarge(f"the TIFF file has {samples} samples a pixel: save it as RGB")
    if width > 0 and height > 0:
        _check_parts(directory, data, width, height)
    entry = directory.entries.get(_PROFILE)
    return Page(
        width,
        height,
        _orientation(number(exif.ORIENTATION, 1)),
        entry.content(data) if entry else b"",
    )


def first_page(data: bytes) -> bytes:
    """Return the file as it is given to the decoder: one page, upright as it is stored."""
    directory = exif.read_directory(data)
    page = bytearray(data)
    if directory.next_at + 4 <= len(page):
        page[directory.next_at : directory.next_at + 4] = bytes(4)
    entry = directory.entries.get(exif.ORIENTATION)
    if entry and entry.kind == 3 and entry.position + 2 <= len(page):
        struct.pack_into(f"{entry.order}H", page, entry.position, 1)
    return bytes(page)


def _check_parts(directory: exif.Directory, data: bytes, width: int, height: int) -> None:
    across, down = width, directory.number(data, _ROWS, height)
    place = directory.entries.get(_STRIPS)
    if _TILES in directory.entries:
        place = directory.entries[_TILES]
        across = directory.number(data, _TILE_WIDTH, 0)
        down = directory.number(data, _TILE_HEIGHT, 0)
        # Tiles reach over the edge; one that is much larger than the picture is a trap.
        if across > width + 4096 or down > height + 4096:
            raise ImageTooLarge(f"the TIFF file has tiles of {across} x {down} pixels")
    if place is None or across < 1 or down < 1:
        raise ImageError("the TIFF file is damaged: its pixels are missing; use the original file")
    parts = math.ceil(width / across) * math.ceil(height / min(down, 1 << 30))
    if max(parts, place.values) > MAX_PARTS:
        raise ImageTooLarge(
            f"the TIFF file has {max(parts, place.values):,} strips or tiles: save it with fewer"
        )


def _is_raw(directory: exif.Directory, subtype: int, compression: int, photometric: int) -> bool:
    """Whether the first page is only the preview of a camera's raw data, or that data itself."""
    return (
        _DNG_VERSION in directory.entries
        or compression in _RAW_COMPRESSIONS
        or photometric in _RAW_PHOTOMETRICS
        or (bool(subtype & 1) and _SUB_DIRECTORIES in directory.entries)
    )


def _orientation(number: int) -> int:
    return number if 1 <= number <= 8 else 1
