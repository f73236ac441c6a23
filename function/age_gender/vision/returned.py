"""The returned image's size: as large as is wanted, and as fits."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from age_gender.vision import render
from age_gender.vision.face import Face
from age_gender.vision.geometry import Image, resize

MARGIN = 0.95
"""Of the size that should fit: a smaller image has more detail for each pixel."""
MAX_STEP = 0.9
"""Largest factor between two attempts, so that they come to an end."""


def fitted_jpeg(
    image: Image,
    faces: Sequence[Face],
    blurred: NDArray[np.int64] | None,
    *,
    draw: bool,
    max_side: int | None = None,
    max_bytes: int | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """Render faces and encode the image, smaller if need be.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; not changed.
        faces: as for `render.rendered`, in pixels of ``image``.
        blurred: likewise.
        draw: likewise.
        max_side: longer side of the JPEG in pixels, at most; None for that of ``image``. Lines and
            labels are drawn for that size.
        max_bytes: of the JPEG, at most; None for no limit.

    Returns:
        A JPEG file, and warnings: why it is smaller than was asked for.
    """
    given = image
    height, width = image.shape[:2]
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    if scale < 1:
        image, faces, blurred = _scaled(image, faces, blurred, scale)
    drawn = render.rendered(image, faces, blurred, draw=draw)
    if drawn is given:
        drawn = drawn.copy()
    del image
    wanted = drawn.shape[1::-1]
    render.exchange_red_and_blue(drawn)
    jpeg = render.encode_bgr(drawn)
    while max_bytes is not None and len(jpeg) > max_bytes and max(drawn.shape[:2]) > 1:
        step = min(MAX_STEP, MARGIN * math.sqrt(max_bytes / len(jpeg)))
        jpeg = b""  # not held while the next one is made
        drawn = resize(drawn, *_smaller(drawn, step))
        jpeg = render.encode_bgr(drawn)
    if drawn.shape[1::-1] == wanted:
        return jpeg, ()
    made, asked = (" x ".join(map(str, size)) for size in (drawn.shape[1::-1], wanted))
    return jpeg, (
        f"the returned image has {made} instead of {asked} pixels, to fit into the answer; "
        "`image_max_side` chooses its size",
    )


def _scaled(
    image: Image, faces: Sequence[Face], blurred: NDArray[np.int64] | None, scale: float
) -> tuple[Image, list[Face], NDArray[np.int64] | None]:
    """Shrink an image, and the boxes in it; each box keeps a pixel at least."""
    shrunk = resize(image, *_smaller(image, scale))
    height, width = shrunk.shape[:2]
    factors = np.tile([width / image.shape[1], height / image.shape[0]], 2)

    def boxes(given: NDArray[np.int64]) -> NDArray[np.int64]:
        made: NDArray[np.int64] = np.rint(given * factors).astype(np.int64)
        made[:, :2] = np.minimum(made[:, :2], [width - 1, height - 1])
        made[:, 2:] = np.maximum(made[:, 2:], made[:, :2] + 1)
        return made

    drawn = boxes(np.array([face.box for face in faces], np.int64).reshape(-1, 4)).tolist()
    smaller = [
        replace(face, box=(x1, y1, x2, y2))
        for face, (x1, y1, x2, y2) in zip(faces, drawn, strict=True)
    ]
    return shrunk, smaller, None if blurred is None else boxes(blurred)


def _smaller(image: Image, scale: float) -> tuple[int, int]:
    """Width and height at a scale, at least one pixel each."""
    height, width = image.shape[:2]
    return max(1, int(width * scale)), max(1, int(height * scale))
