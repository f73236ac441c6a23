"""Decodes a large JPEG into an array of ours.

OpenCV decodes from memory into an image of its own, and then copies that. Both are new memory that
the system has to clear page by page, which takes as long as the decoding itself. From a file it
decodes into an array that it is given, and NumPy's large arrays come in large pages. So the data
are written to a file in memory (memfd), where the system has such files.
"""

import os

import cv2
import numpy as np

from age_gender.vision.formats import jpeg
from age_gender.vision.geometry import Image

MIN_BYTES = 2_000_000
"""Size of an image in memory from which the second copy costs more than the file."""


def decode(data: bytes, width: int, height: int, flags: int) -> Image | None:
    """Decode a JPEG whose image has ``width`` x ``height`` pixels.

    Args:
        data: of the whole file.
        width: of the image as it will be decoded.
        height: likewise.
        flags: for ``cv2.imread``.

    Returns:
        uint8 ``[H, W, 3]``. None if it is not worth while or fails: decode it the usual way then,
        which knows what is wrong with it.
    """
    # At the end of a file that is cut off, this reader makes up an end, and the usual one fails.
    is_whole = data.endswith(jpeg.END_OF_IMAGE)
    if width * height * 3 < MIN_BYTES or not is_whole or not hasattr(os, "memfd_create"):
        return None
    image = np.empty((height, width, 3), np.uint8)
    # The reader reports no failure, but it writes the last row last.
    unwritten = np.random.default_rng().integers(0, 256, image[-1].shape, np.uint8)
    image[-1] = unwritten
    try:
        file = os.memfd_create("picture", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(file), "wb") as writer:
                writer.write(data)
            decoded = cv2.imread(f"/proc/self/fd/{file}", image, flags)
        finally:
            os.close(file)
    except (OSError, cv2.error):  # no such files here; an image of another size
        return None
    if decoded is not image or (image[-1] == unwritten).all():
        return None
    return image
