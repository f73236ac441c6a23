"""Turns a file, or pixels that are there already, into views that the pipeline works on."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision import profiles
from age_gender.vision.formats import bmp, in_place, isolated, jpeg, png, tiff
from age_gender.vision.formats.metadata import Metadata
from age_gender.vision.geometry import Image
from age_gender.vision.headers import read_header
from age_gender.vision.view import REDUCTIONS, View

MAX_SIDE = 65_500
"""Pixels; libjpeg's limit, which the returned JPEG has to keep."""
MAX_SCANNED_PIXELS = 1_000_000_000
"""Pixels times scans of a JPEG: about half a second of decoding. Cameras write 1 to 12 scans."""
MAX_GIF_PIXELS_PER_BYTE = 2560
"""A code of 12 bits stands for at most 3,839 pixels."""
MIN_REDUCED_PIXELS = 6_000_000
"""Smallest image worth decoding at reduced size when it may have to be decoded again."""

# ``REDUCED_GRAYSCALE`` only sets the size; the image stays in colour, since ``COLOR_RGB`` cannot be
# combined with ``REDUCED_COLOR``. Orientation is applied here, for all formats alike.
_COLOUR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_FLAGS = {
    1: _COLOUR,
    2: _COLOUR | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: _COLOUR | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: _COLOUR | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_MISSING = (128, 128, 128)
"""What decoders fill the missing rest of a JPEG with."""
_MIN_ROWS = 16
"""Where no more than one row of a JPEG's blocks is there, nothing can be seen."""
_UPRIGHT: dict[int, Callable[[Image], Any]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What turns an image upright, by its EXIF orientation."""


class EncodedImage:
    """An undecoded image file whose header is within the limits; an `ImageSource`.

    Attributes:
        header: the file's.
        warnings: see `ImageSource.warnings`.
    """

    def __init__(self, data: bytes, *, max_bytes: int, max_pixels: int):
        """Read the header.

        Args:
            data: the whole file.
            max_bytes: larger files are refused unread.
            max_pixels: images with more pixels are refused.

        Raises:
            ImageError: an unsupported format, or a damaged header.
            ImageTooLarge: over a limit.
        """
        if len(data) > max_bytes:
            raise ImageTooLarge.of_bytes(len(data), max_bytes)
        self.header = header = read_header(data)
        if header.pixels > max_pixels:
            raise ImageTooLarge.of_pixels(header.width, header.height, max_pixels)
        if max(header.width, header.height) > MAX_SIDE:
            raise ImageTooLarge(
                f"the picture is {header.width} x {header.height} pixels; "
                f"at most {MAX_SIDE:,} pixels a side are accepted: make it smaller"
            )
        if header.format == "BMP":
            bmp.check_pixels(data, header.pixels)
        elif header.format == "GIF" and header.pixels > MAX_GIF_PIXELS_PER_BYTE * len(data):
            raise ImageError("the GIF file is incomplete: it ends within its pixels")
        self._data = data
        self._warnings: dict[str, str] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `ImageSource.warnings`."""
        return tuple(self._warnings.values())

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageSource.size`."""
        return self.header.width, self.header.height

    def max_reduction(self, scale: float, *, may_redecode: bool) -> int:
        """See `ImageSource.max_reduction`; always 1 for anything but an ordinary JPEG."""
        coding = self.header.jpeg_coding
        if coding is None:
            return 1
        # A progressive file takes nearly as long to decode at any size.
        if may_redecode and (coding == "progressive" or self.header.pixels < MIN_REDUCED_PIXELS):
            return 1
        width, height = self.size
        return max(
            n for n in REDUCTIONS if n == 1 or (n * scale <= 1 and width % n == height % n == 0)
        )

    def view(self, reduction: int = 1) -> View:
        """Decode the image and turn it upright as its metadata say.

        Grey, palette, 16-bit and CMYK images become 8-bit sRGB, transparency is dropped, and only
        the first frame or page is used. Of a JPEG that is cut off, the missing rows are grey. A
        reduced JPEG is computed from its frequencies, as by libjpeg's ``scale_denom``.

        Args:
            reduction: at most `max_reduction`.

        Raises:
            ImageError: the file is damaged.
            ImageTooLarge: a JPEG with too many scans, or decoding takes too much memory or time.
        """
        if self.header.format in isolated.FORMATS:
            image = self._isolated()
        else:
            image = self._in_process(reduction)
        # A JPEG may hide a second, larger frame header.
        stored = View(image, reduction)
        if self.header.format == "JPEG" and stored.size != self.size:
            raise self._damaged()
        image = self._with_srgb_colours(image)
        orientation = self._metadata.orientation
        if orientation in _UPRIGHT:
            image = np.asarray(_UPRIGHT[orientation](image), np.uint8)
        return View(image, reduction)

    @cached_property
    def _metadata(self) -> Metadata:
        return self.header.metadata(self._data)

    def _in_process(self, reduction: int) -> Image:
        image = None
        if self.header.format == "JPEG":
            width, height = (-(-side // reduction) for side in self.size)
            image = in_place.decode(self._checked_data, width, height, _FLAGS[reduction])
        if image is None:
            image = self._decoded(self._checked_data, reduction)
        if image is None and self.header.format == "JPEG":
            image = self._salvaged(reduction)
        if image is None:
            raise self._damaged()
        return image

    def _decoded(self, data: bytes, reduction: int) -> Image | None:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[reduction])
        except cv2.error:
            return None
        return None if image is None else np.asarray(image, np.uint8)

    def _isolated(self) -> Image:
        """Decode a HEIC, AVIF or TIFF file; cropped, but perhaps not upright."""
        header, primary = self.header, self.header.primary
        if primary is None:
            return isolated.decode(tiff.first_page(self._data), "TIFF", self.size, header.pixels)
        crop = primary.crop if header.format == "AVIF" else None
        size = (primary.width, primary.height) if header.format == "AVIF" else self.size
        image = isolated.decode(self._data, header.format, size, header.pixels)
        if crop is None:
            return image
        left, top, width, height = crop
        return np.ascontiguousarray(image[top : top + height, left : left + width])

    def _salvaged(self, reduction: int) -> Image | None:
        """Decode a JPEG that is cut off, as viewers do, and warn of what is missing."""
        image = self._decoded(self._checked_data + jpeg.END_OF_IMAGE, reduction)
        if image is None:
            return None
        blank = (image == _MISSING).all(axis=(1, 2))
        missing = reduction * (len(blank) if blank.all() else int(np.argmin(blank[::-1])))
        if missing + _MIN_ROWS >= self.header.height:
            return None
        if missing:
            self._warnings["rest"] = (
                f"the JPEG file is cut off: about {missing:,} of its "
                f"{self.header.height:,} rows are missing, which are grey"
            )
        elif self.header.jpeg_coding == "progressive":
            self._warnings["rest"] = "the JPEG file is cut off: some of its detail may be missing"
        return image

    def _with_srgb_colours(self, image: Image) -> Image:
        """Convert the colours from the file's profile to sRGB, or warn that it cannot be."""
        primary, profile = self.header.primary, self._metadata.profile
        try:
            if profile:
                conversion = profiles.of_profile(profile)
            elif primary:
                conversion = profiles.of_numbers(primary.primaries, primary.transfer)
            else:
                return image
        except profiles.UnknownProfile as kind:
            self._warnings["profile"] = (
                f"the picture has a colour profile {kind}, which is not applied: colours may be "
                "off; save it as sRGB"
            )
            return image
        return image if conversion is None else profiles.to_srgb(image, conversion)

    @cached_property
    def _checked_data(self) -> bytes:
        """The file as it may be given to OpenCV."""
        if self.header.format == "PNG":
            return png.still_image(self._data)
        if self.header.format == "JPEG":
            self._refuse_scan_bomb()
        return self._data

    def _refuse_scan_bomb(self) -> None:
        """Refuse a small progressive JPEG that takes minutes to decode.

        Each scan passes over all pixels and costs the sender a hundred bytes. Counting the marker's
        second byte clears small pictures, and three times as fast as both bytes, which clear most
        others. Where there are more, they may belong to a video or thumbnail that phones embed, so
        only then are the segments walked.
        """
        limit = max(1, MAX_SCANNED_PIXELS // self.header.pixels)
        marker = jpeg.START_OF_SCAN
        if self._data.count(marker[1]) <= limit or self._data.count(marker) <= limit:
            return
        scans = jpeg.count_scans(self._data)
        if scans > limit:
            raise ImageTooLarge(
                f"the JPEG file has {scans} scans of {self.header.width} x {self.header.height} "
                "pixels: save it again with fewer scans"
            )

    def _damaged(self) -> ImageError:
        return ImageError(
            f"the {self.header.format} file is damaged or incomplete: use the original file, or "
            "save it again with an image program"
        )


class DecodedImage:
    """Pixels that are there already, such as a video's frame; an `ImageSource`."""

    def __init__(self, image: Image, warnings: tuple[str, ...] = ()):
        """Wrap uint8 ``[H, W, 3]``, RGB, upright, and what its file was warned of."""
        self._view = View(image)
        self.warnings = warnings

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageSource.size`."""
        return self._view.size

    def max_reduction(self, scale: float, *, may_redecode: bool) -> int:  # noqa: ARG002
        """See `ImageSource.max_reduction`; always 1."""
        return 1

    def view(self, reduction: int = 1) -> View:  # noqa: ARG002
        """See `ImageSource.view`."""
        return self._view


def decode(data: bytes, *, max_bytes: int, max_pixels: int) -> Image:
    """Decode a whole file; see `EncodedImage` for limits and errors.

    Returns:
        uint8 ``[H, W, 3]``, RGB, upright.
    """
    return EncodedImage(data, max_bytes=max_bytes, max_pixels=max_pixels).view().image
