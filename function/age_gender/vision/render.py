"""The returned image: faces boxed and labelled, or made unrecognisable, as JPEG."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.vision.face import Face
from age_gender.vision.geometry import Float, Image

JPEG_QUALITY = 90
EXCHANGED_ROWS = 16

FREE_BLURRED_PIXELS = 16_000_000
MAX_BLURRED_RATIO = 4
"""Pixels blurred one face after the other, in images; faces of a photo seldom cover it once."""

# RGB, from Okabe and Ito's palette for colour-blind readers.
COLOURS = {
    "M": (0, 114, 178),
    "F": (213, 94, 0),
    None: (0, 158, 115),
}
WHITE = (255, 255, 255)
GREY = (84, 88, 94)
"""Of labels in doubt."""


def rendered(
    image: Image,
    faces: Sequence[Face],
    blurred: NDArray[np.int64] | None = None,
    *,
    draw: bool,
) -> Image:
    """Render faces.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; not changed.
        faces: drawn with boxes and labels, if ``draw``.
        blurred: boxes ``[N, 4]`` that are made unrecognisable first, pixels, or None.
        draw: whether to draw.

    Returns:
        uint8 ``[H, W, 3]``, RGB; ``image`` itself where there is nothing to do.
    """
    if blurred is not None:
        image = blur_faces(image, blurred.astype(np.float32))
    if draw:
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        genders = [face.attributes.gender if face.attributes else None for face in faces]
        doubtful = [face.attributes is not None and not face.attributes.reliable for face in faces]
        image = draw_faces(image, boxes, [_label(face) for face in faces], genders, doubtful)
    return image


def render_jpeg(
    image: Image,
    faces: Sequence[Face],
    blurred: NDArray[np.int64] | None = None,
    *,
    draw: bool,
) -> bytes:
    """Render faces as `rendered` does, and encode the image as a JPEG file."""
    return encode_jpeg(rendered(image, faces, blurred, draw=draw))


def draw_faces(
    image: Image,
    boxes: Float,
    labels: Sequence[str],
    genders: Sequence[str | None],
    doubtful: Sequence[bool] | None = None,
) -> Image:
    """Draw a box and a label for each face, readable at any image size.

    Faces in doubt have a dashed box and a grey label.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; not changed.
        boxes: ``[N, 4]``, pixels.
        labels: N texts.
        genders: N, which choose the colour.
        doubtful: N, whether the face is in doubt; None if none is.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    canvas = image.copy()
    line = max(1, round(min(image.shape[:2]) / 300))
    corners = np.round(boxes).astype(int).tolist()
    doubts = [False] * len(corners) if doubtful is None else doubtful
    for (x1, y1, x2, y2), gender, doubt in zip(corners, genders, doubts, strict=True):
        colour = COLOURS[gender]
        if doubt:
            _draw_dashes(canvas, (x1, y1, x2 - 1, y2 - 1), colour, line)
        else:
            cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, line, cv2.LINE_AA)
    # Labels come last, so that no line crosses them.
    for box, label, gender, doubt in zip(corners, labels, genders, doubts, strict=True):
        colour = GREY if doubt else COLOURS[gender]
        # One by one, so that a picture with hundreds of labels does not keep the thread to itself.
        _label_thread().submit(_draw_label, canvas, box, label, colour).result()
    return canvas


def blur_faces(image: Image, boxes: Float) -> Image:
    """Make faces unrecognisable: average each to 6 x 6 cells over an enlarged ellipse.

    Unlike a Gaussian blur, averaging cannot be undone by deconvolution. Where faces cover the image
    several times over, all of it is averaged to 6 x 6 cells, so that the work is bounded.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; not changed.
        boxes: ``[N, 4]``, pixels.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    height, width = image.shape[:2]
    covered = float((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1).sum())
    if covered > max(FREE_BLURRED_PIXELS, MAX_BLURRED_RATIO * height * width):
        return _averaged(image)
    canvas = image.copy()
    for x1, y1, x2, y2 in boxes:
        grow_x, grow_y = (x2 - x1) * 0.2, (y2 - y1) * 0.2
        left, top = max(0, int(x1 - grow_x)), max(0, int(y1 - grow_y))
        right, bottom = min(width, int(x2 + grow_x) + 1), min(height, int(y2 + grow_y) + 1)
        region = canvas[top:bottom, left:right]
        smooth = _averaged(region)
        mask = np.zeros(region.shape[:2], np.uint8)
        centre = (round((x1 + x2) / 2 - left), round((y1 + y2) / 2 - top))
        axes = (max(1, round((x2 - x1) / 2 + grow_x)), max(1, round((y2 - y1) / 2 + grow_y)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, cv2.FILLED)
        cv2.copyTo(smooth, mask, region)
    return canvas


def _averaged(region: Image) -> Image:
    """Average uint8 ``[H, W, 3]`` to 6 x 6 cells, interpolated."""
    height, width = region.shape[:2]
    cells = cv2.resize(region, (min(6, width), min(6, height)), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth, np.uint8)


def encode_jpeg(image: Image) -> bytes:
    """Encode uint8 ``[H, W, 3]`` RGB as JPEG."""
    return encode_bgr(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8))


def encode_bgr(image: Image) -> bytes:
    """Encode uint8 ``[H, W, 3]`` BGR as JPEG."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def exchange_red_and_blue(image: Image) -> None:
    """Turn RGB into BGR in place, uint8 ``[H, W, 3]``.

    A few rows at a time stay in the processor's caches. That is three times as fast as a second
    image, whose memory the system has to clear first.
    """
    for start in range(0, len(image), EXCHANGED_ROWS):
        rows = image[start : start + EXCHANGED_ROWS]
        rows[:] = cv2.cvtColor(rows, cv2.COLOR_RGB2BGR)


def _label(face: Face) -> str:
    if face.attributes is None:
        return f"{face.confidence:.0%}"
    label = f"{face.attributes.age:.0f} {face.attributes.gender}"
    return label if face.attributes.reliable else f"{label} ?"


def _draw_dashes(
    canvas: Image, box: tuple[int, int, int, int], colour: tuple[int, int, int], line: int
) -> None:
    """Draw a rectangle that is dashed in colour and white, visible on any ground."""
    x1, y1, x2, y2 = box
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    dash = min(max(3 * line, (x2 - x1 + y2 - y1) // 24), 12 * line + 4)
    for start, end in pairwise(corners):
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
        # An odd number, so that every corner is in colour.
        count = max(length // max(dash, 1) // 2 * 2 + 1, 1)
        stops = np.round(np.linspace(start, end, count + 1)).astype(int).tolist()
        for i, (a, b) in enumerate(pairwise(stops)):
            cv2.line(canvas, a, b, WHITE if i % 2 else colour, line)


def _draw_label(canvas: Image, box: list[int], text: str, colour: tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = box
    size = _font_size(x2 - x1, min(height, width))
    font = _sans()
    _, _, text_width, _ = cv2.getTextSize((width, height), text, (0, 0), font, size, 500)
    pad = max(2, size // 5)
    label_width, label_height = text_width + 2 * pad, round(size * 1.3)
    left = min(max(0, x1), max(0, width - label_width))
    top = y1 - label_height
    if top < 0:  # no space above: below the box, or inside it at the image's lower edge
        top = y2 if y2 + label_height <= height else max(0, min(y1, height - label_height))
    cv2.rectangle(
        canvas, (left, top), (left + label_width - 1, top + label_height - 1), colour, cv2.FILLED
    )
    cv2.putText(canvas, text, (left + pad, top + size), WHITE, font, size, 500)


def _font_size(face_width: int, short_side: int) -> int:
    """Text height in pixels: follows the face, stays legible and never covers the image."""
    largest = max(10, short_side // 8)
    legible = max(10, short_side // 40)
    return int(min(largest, max(legible, face_width // 5)))


@lru_cache(maxsize=1)
def _label_thread() -> ThreadPoolExecutor:
    """Return the thread for all labels: OpenCV keeps 6 MB of fonts for every thread that drew."""
    return ThreadPoolExecutor(1, thread_name_prefix="labels")


if hasattr(os, "register_at_fork"):  # a forked process needs a thread of its own
    os.register_at_fork(after_in_child=_label_thread.cache_clear)


@lru_cache(maxsize=1)
def _sans() -> Any:
    # Only the thread for labels calls this: a font has a cache that threads must not share.
    return cv2.FontFace("sans")
