"""Turns a file, or pixels that are there already, into views that the pipeline works on."""

from functools import cached_property

import cv2
import numpy as np

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.formats import bmp, jpeg, png
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
# combined with ``REDUCED_COLOR``.
_FLAGS = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class EncodedImage:
    """An undecoded image file whose header is within the limits; an `ImageSource`.

    Attributes:
        header: the file's.
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
                f"at most {MAX_SIDE:,} pixels a side are accepted: send a smaller one"
            )
        if header.format == "BMP":
            bmp.check_pixels(data, header.pixels)
        elif header.format == "GIF" and header.pixels > MAX_GIF_PIXELS_PER_BYTE * len(data):
            raise ImageError("the GIF file is incomplete: it ends within its pixels")
        self._data = data

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
        """Decode the image and turn it upright as its EXIF orientation says.

        Grey, palette, 16-bit and CMYK images become 8-bit RGB, transparency is dropped, and only
        the first frame of an animation is used. A reduced JPEG is computed from its frequencies,
        as by libjpeg's ``scale_denom``.

        Args:
            reduction: at most `max_reduction`.

        Raises:
            ImageError: the file is damaged.
            ImageTooLarge: a JPEG with too many scans.
        """
        try:
            image = cv2.imdecode(np.frombuffer(self._checked_data, np.uint8), _FLAGS[reduction])
        except cv2.error:
            image = None
        if image is None:
            raise self._damaged()
        view = View(np.asarray(image, np.uint8), reduction)
        # A JPEG may hide a second, larger frame header. Compared either way up.
        if self.header.format == "JPEG" and set(view.size) != set(self.size):
            raise self._damaged()
        return view

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
        two bytes clears most files. Where there are more, they may belong to a video or thumbnail
        that phones embed, so only then are the segments walked.
        """
        limit = max(1, MAX_SCANNED_PIXELS // self.header.pixels)
        if self._data.count(jpeg.START_OF_SCAN) <= limit:
            return
        scans = jpeg.count_scans(self._data)
        if scans > limit:
            raise ImageTooLarge(
                f"the JPEG file has {scans} scans of {self.header.width} x {self.header.height} "
                "pixels: save it again with fewer scans"
            )

    def _damaged(self) -> ImageError:
        return ImageError(f"the {self.header.format} file is damaged or incomplete")


class DecodedImage:
    """Pixels that are there already, such as a video's frame; an `ImageSource`."""

    def __init__(self, image: Image):
        """Wrap uint8 ``[H, W, 3]``, RGB, upright."""
        self._view = View(image)

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
