"""Bytes to an upright RGB picture: the header is read first, so that nothing huge is decoded."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.geometry import Image

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP")
"""What is accepted; OpenCV's other decoders never see a byte from outside."""


LONGEST_SIDE = 65_500
"""Pixels; what the JPEG that goes back can have (libjpeg's limit)."""

MAX_SCANNED_PIXELS = 1_000_000_000
"""Pixels times scans of a JPEG, about half a second of decoding; cameras write one to a dozen."""
REDUCTIONS = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""OpenCV's flags by the number of a JPEG's pixels that become one, across and down. Each says the
size; that the picture stays coloured, the other flag says, which excludes ``REDUCED_COLOR``."""

_SEQUENTIAL, _PROGRESSIVE = frozenset({0xC0, 0xC1}), frozenset({0xC2})
"""Markers of the JPEG frames that can be reduced (ITU-T T.81, table B.1); others hardly occur."""
_START_OF_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""Any marker but those that stand within image data (stuffed zeros and restarts)."""
MAX_SEGMENTS = 10_000
"""Markers before a JPEG's frame header; real files have dozens."""

_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes say of it, before rotation.

    Attributes:
        format: one of `FORMATS`.
        width: pixels.
        height: pixels.
    """

    format: str
    width: int
    height: int


class EncodedImage:
    """A picture's file, not decoded yet, whose first bytes are in order and within the limits.

    Attributes:
        header: what its first bytes say.
    """

    def __init__(self, data: bytes, *, max_bytes: int, max_pixels: int):
        """Read the header.

        Args:
            data: the whole file.
            max_bytes: larger files are refused unread.
            max_pixels: pictures whose header announces more are refused.

        Raises:
            ImageError: not a picture that we read.
            ImageTooLarge: more bytes or pixels than allowed.
        """
        if len(data) > max_bytes:
            raise ImageTooLarge.of_bytes(len(data), max_bytes)
        self.header = header = read_header(data)
        if header.width * header.height > max_pixels:
            raise ImageTooLarge.of_pixels(header.width, header.height, max_pixels)
        if max(header.width, header.height) > LONGEST_SIDE:
            raise ImageTooLarge(
                f"the picture is {header.width} x {header.height}; "
                f"at most {LONGEST_SIDE:,} pixels a side are accepted: send a smaller one"
            )
        self._coding = 0
        if header.format == "JPEG":
            _refuse_scan_bomb(data, header)
            self._coding, *_ = _jpeg_frame(data)
        self._data = _still_png(data) if header.format == "PNG" else data

    def reduction(self, scale: float) -> int:
        """Tell how much smaller this can be decoded for somebody who looks at it at ``scale``.

        Returns:
            1, 2, 4 or 8: at one over this of its width and height, which divides both, it is
            decoded sooner, and at least as large as wanted. Always 1 for what is not a JPEG.
        """
        if self._coding not in _SEQUENTIAL | _PROGRESSIVE:
            return 1
        width, height = self.header.width, self.header.height
        fit = (n for n in REDUCTIONS if n * scale <= 1 and width % n == height % n == 0)
        return max(fit, default=1)

    @property
    def is_progressive(self) -> bool:
        """Whether this is a JPEG whose decoding takes nearly as long at any size."""
        return self._coding in _PROGRESSIVE

    def decode(self, reduction: int = 1) -> Image:
        """Decode the picture and turn it upright as its EXIF orientation says.

        Grey, palette, 16-bit and CMYK pictures become 8-bit RGB, transparency is dropped, and of an
        animation the first frame is taken.

        Args:
            reduction: as `reduction` gives it; one pixel for so many by so many, which the JPEG
                decoder takes from the frequencies (as libjpeg's ``scale_denom``).

        Returns:
            uint8 ``[H, W, 3]``, RGB.

        Raises:
            ImageError: a damaged file.
        """
        try:
            image = cv2.imdecode(np.frombuffer(self._data, np.uint8), REDUCTIONS[reduction])
        except cv2.error:
            image = None
        if image is None or not self._is_as_told(image, reduction):
            raise ImageError(f"the {self.header.format} file is damaged or incomplete")
        return np.asarray(image, np.uint8)

    def _is_as_told(self, image: NDArray[Any], reduction: int) -> bool:
        """Whether a JPEG's decoder saw the size that we saw, upright or on its side."""
        told = {self.header.width, self.header.height}
        return self.header.format != "JPEG" or {n * reduction for n in image.shape[:2]} == told


def decode(data: bytes, *, max_bytes: int, max_pixels: int) -> Image:
    """Check and decode a picture's file; see `EncodedImage`, whose errors this raises.

    Returns:
        uint8 ``[H, W, 3]``, RGB, upright.
    """
    return EncodedImage(data, max_bytes=max_bytes, max_pixels=max_pixels).decode()


def read_header(data: bytes) -> Header:
    """Tell format and size from a file's first bytes.

    Raises:
        ImageError: none of `FORMATS`, or the header is cut off or says nonsense.
    """
    if not data:
        raise ImageError("the picture is empty (0 bytes)")
    for name, (matches, size_of) in _READERS.items():
        if matches(data):
            try:
                width, height = size_of(data)
            except (struct.error, IndexError):
                raise ImageError(f"the {name} file ends within its header") from None
            if width <= 0 or height <= 0:
                raise ImageError(f"the {name} file says it has no pixels ({width} x {height})")
            return Header(name, width, height)
    raise ImageError(f"this is not a picture that we read; send one of {', '.join(FORMATS)}")


def _refuse_scan_bomb(data: bytes, header: Header) -> None:
    """Refuse a progressive JPEG that has a small file decoded over and over again.

    Each scan passes over all pixels, and costs the sender a hundred bytes. Most files are done with
    by counting the two bytes of its marker; where those are many, they may be of a film or a
    thumbnail that phones put into or behind the picture, so only then the segments are walked.
    """
    most = max(1, MAX_SCANNED_PIXELS // (header.width * header.height))
    if data.count(_START_OF_SCAN) > most and (scans := _scans(data)) > most:
        raise ImageTooLarge(
            f"the JPEG file passes {scans} times over {header.width} x {header.height} pixels: "
            "save it again with fewer scans"
        )


def _scans(data: bytes) -> int:
    """How many scans a JPEG file has up to its end-of-image marker (ITU-T T.81, annex B).

    Damage is skipped up to the next marker, as decoders do.
    """
    scans, position = 0, 2
    while found := _MARKER.search(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        # Of what is no marker decoders skip two bytes, and read on in what looks like its segment.
        if marker >= 0xC0 and marker != 0xD8:
            position += int.from_bytes(data[position : position + 2], "big")
    return scans


def _jpeg_size(data: bytes) -> tuple[int, int]:
    return _jpeg_frame(data)[1:]


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Walk the marker segments to the frame header (ITU-T T.81, annex B): marker, width, height."""
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
        # Decoders pass over FF 00 and read on right behind it, so nothing may hide there.
        if marker < 0xC0 or marker in (0xD9, 0xDA):
            raise ImageError("the JPEG file is damaged: it has no frame header")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return marker, width, height
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + max(length, 2)
    raise ImageError("the JPEG file is damaged: its frame header does not come")


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ImageError("the PNG file is damaged: its header chunk is missing")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _still_png(data: bytes) -> bytes:
    """Keep what a still picture needs of a PNG file, whose chunks must all be there whole.

    OpenCV takes as much memory as a chunk claims to be long, gigabytes for a file of a hundred
    bytes, and its reader of animations crashes the process on some damaged files.
    """
    kept = [data[:8]]
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            break
        if kind in _PNG_CHUNKS:
            kept.append(data[position:end])
        if kind == b"IEND":
            return b"".join(kept)
        position = end
    raise ImageError("the PNG file is damaged or incomplete")


def _webp_size(data: bytes) -> tuple[int, int]:
    """The three kinds of WebP (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageError("the WebP file is damaged: its first chunk is unknown")


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative: rows run from top to bottom


_READERS: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]]] = {
    "JPEG": (lambda d: d.startswith(b"\xff\xd8\xff"), _jpeg_size),
    "PNG": (lambda d: d.startswith(b"\x89PNG\r\n\x1a\n"), _png_size),
    "WebP": (lambda d: d.startswith(b"RIFF") and d[8:12] == b"WEBP", _webp_size),
    "GIF": (lambda d: d.startswith((b"GIF87a", b"GIF89a")), _gif_size),
    "BMP": (lambda d: d.startswith(b"BM") and len(d) > 26, _bmp_size),
}
