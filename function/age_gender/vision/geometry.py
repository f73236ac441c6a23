"""Boxes, overlaps, and the similarity transform that cuts a face out as an upright chip.

Boxes are float32 ``[N, 4]`` as ``x1, y1, x2, y2`` in pixels. Landmarks are float32 ``[N, 5, 2]`` in
the order left eye, right eye, nose tip, left mouth corner, right mouth corner, where left means
left in the image.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Image = NDArray[np.uint8]
"""Upright image, uint8 ``[H, W, 3]``, RGB."""

ANTIALIAS_BELOW = 0.5
"""Scale below which bilinear sampling would skip source pixels."""

FREE_SOURCE_PIXELS = 16_000_000
MAX_SOURCE_RATIO = 4
"""Pixels that are averaged for all chips of an image, in images, before they share the work. Faces
that do not overlap take less than two."""


def iou_matrix(a: Float, b: Float) -> Float:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: ``[N, 4]``.
        b: ``[M, 4]``.

    Returns:
        float32 ``[N, M]``, 0-1; 0 where both boxes are empty.
    """
    intersection = intersections(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - intersection
    return _ratio(intersection, union)


def ios_matrix(a: Float, b: Float) -> Float:
    """Intersection over the smaller of two boxes, for every box of ``a`` with every box of ``b``.

    Args:
        a: ``[N, 4]``.
        b: ``[M, 4]``.

    Returns:
        float32 ``[N, M]``, 0-1; 0 where the smaller one is empty.
    """
    return _ratio(intersections(a, b), np.minimum(box_areas(a)[:, None], box_areas(b)[None, :]))


def inside_matrix(a: Float, b: Float) -> Float:
    """Share of every box of ``a`` that lies inside every box of ``b``.

    Args:
        a: ``[N, 4]``.
        b: ``[M, 4]``.

    Returns:
        float32 ``[N, M]``, 0-1; 0 where the box of ``a`` is empty.
    """
    return _ratio(intersections(a, b), np.broadcast_to(box_areas(a)[:, None], (len(a), len(b))))


def intersections(a: Float, b: Float) -> Float:
    """Area that every box of ``a`` has in common with every box of ``b``.

    Args:
        a: ``[N, 4]``.
        b: ``[M, 4]``.

    Returns:
        float32 ``[N, M]``, square pixels.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def box_areas(boxes: Float) -> Float:
    """Area of each box ``[N, 4]``, square pixels; float32 ``[N]``."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def clip_boxes(boxes: Float, width: int, height: int) -> Float:
    """Cut boxes ``[N, 4]`` at the borders of an image of ``width`` x ``height`` pixels."""
    limits = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(boxes, 0, limits)


HEAD = np.array(
    [[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.0, 0.1, 0.55], [-0.4, 0.5, 0.05], [0.4, 0.5, 0.05]]
)
"""The five landmarks in space: across, down and towards the viewer, in distances of the eyes."""
_AXES = np.linalg.pinv(HEAD - HEAD.mean(axis=0))[:2].astype(np.float32)
"""Weights ``[2, 5]`` of the landmarks in the images of the head's axes across and down."""


MIRRORED = -0.15
"""Area that the axes across and down span, in squares of the one down, below which a face counts as
mirrored. In a profile the area is about 0; upright faces stayed above 0.2."""


def roll_angles(landmarks: Float) -> Float:
    """In-plane rotation of each face in radians, clockwise positive, also of profiles.

    On a profile the eyes nearly coincide, and the line between them says nothing. So an affine
    camera is fitted to all five landmarks by least squares. It gives the images of two axes of the
    head: the one across, and the one down, in which a near nose does not count as turned. Their
    mean, the second turned back by a right angle, is dominated by the longer one: where a head
    turns aside, the axis across becomes short, and the other takes over gradually. All is linear in
    the landmarks, so a rotated image gives exactly that much more.

    Args:
        landmarks: ``[N, 5, 2]``.

    Returns:
        float32 ``[N]``, from -pi to pi; 0 where all five coincide.
    """
    across, down = _head_axes(landmarks)
    level = across + np.stack([down[:, 1], -down[:, 0]], axis=1)
    return np.arctan2(level[:, 1], level[:, 0]).astype(np.float32)


def unmirrored(landmarks: Float) -> Float:
    """Exchange left and right in the landmarks of faces that would be seen from behind.

    That is how a detector places those of a face that is upside down: the eyes below the mouth, but
    the left one on the left of the image.

    Args:
        landmarks: ``[N, 5, 2]``.

    Returns:
        float32 ``[N, 5, 2]``.
    """
    across, down = _head_axes(landmarks)
    handedness = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    mirrored = handedness < MIRRORED * (down * down).sum(axis=1)
    return np.where(mirrored[:, None, None], landmarks[:, [1, 0, 2, 4, 3]], landmarks)


def _head_axes(landmarks: Float) -> tuple[Float, Float]:
    """Images of the head's axes across and down, float32 ``[N, 2]`` each."""
    axes = np.einsum("kp,npd->nkd", _AXES, landmarks).astype(np.float32)
    return axes[:, 0], axes[:, 1]


def box_sides(boxes: Float) -> Float:
    """Longer side of each box ``[N, 4]``, at least one pixel; float32 ``[N]``."""
    return np.asarray(np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1), np.float32)


def chip_transforms(boxes: Float, landmarks: Float | None, scale: float, size: int) -> Float:
    """Similarity transforms from the image to an upright square chip of each face.

    A chip is centred on its box, with sides of ``scale`` times the box's longer side. With
    landmarks it is rotated until the face is level (`roll_angles`).

    Args:
        boxes: ``[N, 4]``.
        landmarks: ``[N, 5, 2]``, or None for faces that are taken to be level.
        scale: side of the chip in box lengths.
        size: side of the chip in pixels.

    Returns:
        float32 ``[N, 2, 3]``, from image to chip coordinates.
    """
    angles = np.zeros(len(boxes), np.float32) if landmarks is None else roll_angles(landmarks)
    return rotated_transforms(boxes, angles, scale, size)


def rotated_transforms(boxes: Float, angles: Float, scale: float, size: int) -> Float:
    """Transforms as of `chip_transforms`, for faces whose rotation is known.

    Args:
        boxes: ``[N, 4]``.
        angles: ``[N]``, rotation of each face in radians, clockwise positive.
        scale: side of the chip in box lengths.
        size: side of the chip in pixels.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = box_sides(boxes) * scale
    zoom = size / sides
    cos, sin = np.cos(angles) * zoom, np.sin(angles) * zoom
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    shift = size / 2 - np.einsum("nij,nj->ni", rotation, centres)
    return np.concatenate([rotation, shift[:, :, None]], axis=2).astype(np.float32)


def warp_chips(image: Image, transforms: Float, size: int) -> Image:
    """Cut chips out of ``image``; areas outside it repeat the nearest border pixel.

    Where many large chips overlap, they are cut from one pyramid of smaller images, so that the
    work does not grow with their number.

    Args:
        image: uint8 ``[H, W, 3]``.
        transforms: ``[N, 2, 3]`` as from `chip_transforms`.
        size: side of a chip in pixels.

    Returns:
        uint8 ``[N, size, size, 3]``, same colour order as ``image``.
    """
    return ChipSource(image).cut(transforms, size)


class ChipSource:
    """Cuts chips out of one image in several calls, and bounds their work together."""

    def __init__(self, image: Image):
        """Take uint8 ``[H, W, 3]``."""
        self._pyramid = [image]
        self._left = max(FREE_SOURCE_PIXELS, MAX_SOURCE_RATIO * image.shape[0] * image.shape[1])

    def cut(self, transforms: Float, size: int) -> Image:
        """Cut more chips; see `warp_chips`."""
        image = self._pyramid[0]
        chips = np.empty((len(transforms), size, size, 3), np.uint8)
        self._left -= sum(_source_pixels(image, transform, size) for transform in transforms)
        for chip, transform in zip(chips, transforms, strict=True):
            source, shrinkage = image, float(_shrinkage(transform))
            if self._left < 0:
                source, transform, shrinkage = _level_for(self._pyramid, transform, shrinkage)
            part, transform = _surroundings(source, transform, size, shrinkage)
            # With four channels OpenCV is twice as fast as with three, conversions included.
            warped = cv2.warpAffine(
                cv2.cvtColor(part, cv2.COLOR_RGB2RGBA),
                _to_pixel_centres(transform),
                (size, size),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=chip)
        return chips


def resize(image: Image, width: int, height: int) -> Image:
    """Resize ``[H, W, 3]`` or ``[H, W]``: averaging when it shrinks, bilinear when it grows."""
    if (height, width) == image.shape[:2]:
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def resize_quickly(image: Image, width: int, height: int) -> Image:
    """Resize like `resize`, in half the time for images that become much smaller.

    Blocks of 2, 4 … pixels are averaged first, where that divides both sides. The extra rounding
    puts some values off by a few, which is fine for detectors. Chips are cut without it, as in
    training.
    """
    factor = 1
    while (
        image.shape[0] % (2 * factor) == image.shape[1] % (2 * factor) == 0
        and image.shape[0] >= 2 * factor * height
        and image.shape[1] >= 2 * factor * width
    ):
        factor *= 2
    return resize(resize(image, image.shape[1] // factor, image.shape[0] // factor), width, height)


def _ratio(part: Float, whole: Float) -> Float:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _surroundings(
    image: Image, transform: Float, size: int, shrinkage: float
) -> tuple[Image, Float]:
    """Cut out the part of an image around a chip, and the transform from there.

    To avoid aliasing, ``shrinkage`` of its pixels, across and down, are averaged to one.
    """
    x1, y1, x2, y2 = _source_box(image, transform, size)
    part, adjusted = image[y1:y2, x1:x2], transform.copy()
    adjusted[:, 2] += transform[:, :2] @ np.array([x1, y1], np.float32)
    if shrinkage > 1:
        width, height = (max(1, round(side / shrinkage)) for side in (x2 - x1, y2 - y1))
        adjusted[:, :2] *= np.array([(x2 - x1) / width, (y2 - y1) / height], np.float32)
        part = resize(part, width, height)
    return part, adjusted


def _level_for(
    pyramid: list[Image], transform: Float, shrinkage: float
) -> tuple[Image, Float, float]:
    """Choose the smallest level with twice the pixels that are needed, or more.

    Args:
        pyramid: the image, and halves of halves of it as far as they were needed; may grow.
        transform: ``[2, 3]``, from the image to the chip.
        shrinkage: how many pixels of the image are to be averaged, across and down.

    Returns:
        The level, and the same for it.
    """
    level = max(0, int(shrinkage).bit_length() - 2)
    while len(pyramid) <= level:
        height, width = pyramid[-1].shape[:2]
        pyramid.append(resize(pyramid[-1], -(-width // 2), -(-height // 2)))
    chosen = pyramid[level]
    adjusted = transform.copy()
    adjusted[:, :2] *= [
        pyramid[0].shape[1] / chosen.shape[1],
        pyramid[0].shape[0] / chosen.shape[0],
    ]
    return chosen, adjusted, shrinkage / 2**level


def _source_pixels(image: Image, transform: Float, size: int) -> int:
    """Count the pixels that `_surroundings` averages."""
    if _shrinkage(transform) == 1:
        return 0
    x1, y1, x2, y2 = _source_box(image, transform, size)
    return (x2 - x1) * (y2 - y1)


def _source_box(image: Image, transform: Float, size: int) -> tuple[int, int, int, int]:
    """Return the part of the image around a chip, ``x1, y1, x2, y2``."""
    height, width = image.shape[:2]
    across, down = cv2.invertAffineTransform(transform).tolist()
    x1, x2 = _source_range(across, size, width)
    y1, y2 = _source_range(down, size, height)
    return x1, y1, x2, y2


def _source_range(row: tuple[float, float, float], size: int, length: int) -> tuple[int, int]:
    """Return the rows or columns of an image around a chip, two more on each side, at least one.

    Plain numbers take a fifth of numpy's time.

    Args:
        row: of the transform from the chip to the image.
        size: side of the chip in pixels.
        length: of the image, pixels.
    """
    a, b, start = row
    ends = (start, start + a * size, start + b * size, start + (a + b) * size)
    first = min(max(math.floor(min(ends)) - 2, 0), length - 1)
    return first, min(max(math.ceil(max(ends)) + 2, first + 1), length)


def _shrinkage(transform: Float) -> int:
    """Return how many pixels, across and down, a chip needs averaged to one."""
    zoom = float(np.hypot(transform[0, 0], transform[0, 1]))
    return 1 if zoom >= ANTIALIAS_BELOW else int(1 / zoom)


def _to_pixel_centres(transform: Float) -> Float:
    """Convert from continuous coordinates (pixel i spans i to i+1) to OpenCV's (centred on i)."""
    shifted = transform.copy()
    shifted[:, 2] += transform[:, :2].sum(axis=1) * 0.5 - 0.5
    return shifted
