"""How clearly an image shows a face: size, sharpness, exposure, pose, and how much is cut off."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, clip_boxes
from age_gender.vision.pose import Poses

SHARPNESS_SIDE = 96
"""Side in pixels at which chips are measured, so that it does not depend on the model."""
BURNT_OUT = 250
"""Grey value from which a pixel shows nothing."""
BLACK = 10
"""Grey value up to which a pixel shows nothing."""
FACE_OVAL = (0.3, 0.38)
"""Half axes of the face in a chip, across and down, in sides of the chip: what lies outside may be
a white wall."""

MIN_PROPORTIONS = np.array([0.72, 1.1], np.float32)
"""Width of a whole face over its height, and height over width; few are less."""
BORDER_SHARE = 0.04
"""Distance from a border, in longer sides of the box, at which a box ends there."""

SLOPE_OF_NOTHING = 0.3
"""Mean square of the differences between pixels, in grey values, in which there is no detail."""
_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8
_XX = np.array([[0, 0, 0], [1, -2, 1], [0, 0, 0]], np.float32)
_XY = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], np.float32) / 4
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_FIRST = (_X, _X.T)
_SECOND = (_XX, _XY, _XX.T)
_ANGLES = np.arange(12) * np.pi / 12
_ALONG = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1).astype(np.float32)
_ALONG_TWICE = np.stack(
    [np.cos(_ANGLES) ** 2, np.sin(2 * _ANGLES), np.sin(_ANGLES) ** 2], axis=1
).astype(np.float32)
"""Weights of the derivatives by xx, xy and yy in the second derivative along each angle."""


@dataclass(frozen=True)
class Quality:
    """Quality of one face.

    Attributes:
        size: shorter side of the bounding box, pixels.
        sharpness: see `sharpness`.
        yaw: see `pose.Poses.yaws`, None without landmarks.
        roll: in-plane rotation in degrees, clockwise positive, None without landmarks.
        sharpness_along: see `directional_sharpness`: in the direction of the strongest blur.
        sharpness_across: in the direction of the weakest blur.
        brightness: median of the grey values, 0-1.
        contrast: between the 5 % and 95 % quantiles of the grey values, 0-1.
        burnt_out: share of the face's pixels that are white, 0-1.
        black: share of the face's pixels that are black, 0-1.
        noise: standard deviation of the noise, 0-1; see `noise`.
        yaw_degrees: see `pose.Poses`, None without landmarks.
        pitch_degrees: see `pose.Poses`, None without landmarks.
        outside: see `outside`, 0-1.
        covered: probability that mouth or eyes are covered, None if the network cannot tell.
    """

    size: float
    sharpness: float
    yaw: float | None
    roll: float | None
    sharpness_along: float = 0.0
    sharpness_across: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    burnt_out: float = 0.0
    black: float = 0.0
    noise: float = 0.0
    yaw_degrees: float | None = None
    pitch_degrees: float | None = None
    outside: float = 0.0
    covered: float | None = None


def assess(
    boxes: Float,
    landmarks: Float | None,
    chips: Iterable[Image],
    image_size: tuple[int, int] | None = None,
) -> list[Quality]:
    """Measure each face.

    Args:
        boxes: ``[N, 4]``, pixels; parts outside the image are not cut off.
        landmarks: ``[N, 5, 2]``, pixels, or None.
        chips: N times uint8 ``[S, S, 3]``, RGB.
        image_size: width and height of the image, pixels; None if no face can be cut off by it.
    """
    sizes = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    unknown = [None] * len(boxes)
    yaws = rolls = yaw_degrees = pitch_degrees = unknown
    poses = None if landmarks is None else Poses.of(landmarks)
    if poses is not None:
        yaws, rolls = poses.yaws.tolist(), poses.rolls.tolist()
        yaw_degrees, pitch_degrees = poses.yaw_degrees.tolist(), poses.pitch_degrees.tolist()
    parts = np.zeros(len(boxes), np.float32)
    if image_size is not None:
        parts = outside(boxes, poses, image_size)
    rows = zip(
        sizes.tolist(),
        chips,
        yaws,
        rolls,
        yaw_degrees,
        pitch_degrees,
        parts.tolist(),
        strict=True,
    )
    return [_quality(*row) for row in rows]


@cache
def _face_oval() -> NDArray[np.intp]:
    """Pixels of a chip at `SHARPNESS_SIDE` that belong to the face: indices, row by row."""
    offsets = (np.arange(SHARPNESS_SIDE) + 0.5) / SHARPNESS_SIDE - 0.5
    across, down = offsets / FACE_OVAL[0], offsets / FACE_OVAL[1]
    return np.flatnonzero(across[None] ** 2 + down[:, None] ** 2 <= 1)


def _quality(
    size: float,
    chip: NDArray[np.uint8],
    yaw: float | None,
    roll: float | None,
    yaw_degrees: float | None,
    pitch_degrees: float | None,
    outside: float,
) -> Quality:
    grey = _grey(chip)
    along, across = directional_sharpness(grey)
    low, middle, high = _quantiles(grey)
    face = grey.take(_face_oval())
    return Quality(
        size=size,
        sharpness=_sharpness(grey),
        yaw=yaw,
        roll=roll,
        sharpness_along=along,
        sharpness_across=across,
        brightness=middle,
        contrast=high - low,
        burnt_out=np.count_nonzero(face >= BURNT_OUT) / len(face),
        black=np.count_nonzero(face <= BLACK) / len(face),
        noise=noise(grey),
        yaw_degrees=yaw_degrees,
        pitch_degrees=pitch_degrees,
        outside=outside,
    )


def _grey(chip: NDArray[np.uint8]) -> Float:
    """Grey values of a chip at the side at which it is measured, 0-255."""
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    side = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    return cv2.resize(grey, side, interpolation=cv2.INTER_AREA).astype(np.float32)


def _quantiles(grey: Float) -> tuple[float, float, float]:
    """The 5 %, 50 % and 95 % quantiles of a face's middle, 0-1."""
    border = SHARPNESS_SIDE // 6
    values = np.sort(grey[border:-border, border:-border], axis=None)
    low, middle, high = (float(values[int(q * len(values))]) / 255 for q in (0.05, 0.5, 0.95))
    return low, middle, high


def sharpness(chip: NDArray[np.uint8]) -> float:
    """Standard deviation of the Laplacian over that of the grey values, 0 (flat) and up.

    The variance of the Laplacian is the usual focus measure (Pech-Pacheco et al. 2000);
    dividing by the contrast makes it independent of exposure.

    Args:
        chip: uint8 ``[S, S, 3]``, RGB.
    """
    return _sharpness(_grey(chip))


def _sharpness(grey: Float) -> float:
    bends, values = _deviation(cv2.Laplacian(grey, cv2.CV_32F)), _deviation(grey)
    return bends / max(values, 1.0)


def _deviation(values: MatLike) -> float:
    """Standard deviation, in half the time of numpy's."""
    return float(cv2.meanStdDev(values)[1][0, 0])


def directional_sharpness(grey: Float) -> tuple[float, float]:
    """Sharpness along and across the direction in which a face is blurred most.

    It is the root mean square of the second derivative over that of the first, both in one
    direction: how fast the edges across it rise. A moving face keeps its detail across the
    movement, so that the mean over all directions says little.

    Args:
        grey: ``[S, S]``, 0-255.

    Returns:
        The least and the most of all directions, about 0.3 (blurred) to 0.9.
    """
    border = SHARPNESS_SIDE // 7 - 1
    inside = cv2.GaussianBlur(grey, (0, 0), 0.8)[border:-border, border:-border]
    slopes = _mean_squares(inside, _FIRST, _ALONG)
    bends = _mean_squares(inside, _SECOND, _ALONG_TWICE)
    ratios = np.sqrt(bends / (slopes + SLOPE_OF_NOTHING))
    return float(ratios.min()), float(ratios.max())


def _mean_squares(image: MatLike, kernels: Sequence[MatLike], mixtures: Float) -> Float:
    """Mean square of some mixtures of an image's derivatives, except at its edge.

    Args:
        image: float32 ``[H, W]``.
        kernels: of the derivatives, K.
        mixtures: their weights, ``[A, K]``.

    Returns:
        float32 ``[A]``.
    """
    derivatives = np.stack([cv2.filter2D(image, cv2.CV_32F, k)[1:-1, 1:-1] for k in kernels])
    flat = derivatives.reshape(len(kernels), -1)
    products = np.einsum("ip,jp->ij", flat, flat) / np.float32(flat.shape[1])
    squares = (mixtures @ products * mixtures).sum(axis=1)
    return np.asarray(np.maximum(squares, 0), np.float32)


def noise(grey: Float) -> float:
    """Standard deviation of the noise, 0-1.

    Immerkaer, "Fast Noise Variance Estimation", 1996, with the median for the mean, which edges
    would raise.

    Args:
        grey: ``[S, S]``, 0-255.
    """
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, _NOISE)[1:-1, 1:-1])
    ordered = np.sort(response, axis=None)  # five times as fast as `np.median`
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return float(middle / 0.6745 / 6 / 255)


def outside(boxes: Float, poses: Poses | None, image_size: tuple[int, int]) -> Float:
    """Estimate the share of each face that is outside the image.

    Detectors box what they see, so that the box of half a face ends at the border: there, it is
    completed to a face's proportions. With landmarks, the face is supposed to be at least as large
    as they say.

    Args:
        boxes: ``[N, 4]``, pixels; parts outside the image are not cut off.
        poses: of the same faces, if their landmarks are known.
        image_size: width and height of the image, pixels.

    Returns:
        float32 ``[N]``, 0-1.
    """
    boxes = _completed(boxes, image_size)
    share = _share_outside(boxes, image_size)
    if poses is not None:
        share = np.maximum(share, _share_outside(poses.boxes, image_size))
    return share


def _completed(boxes: Float, image_size: tuple[int, int]) -> Float:
    """Extend boxes that end at a border beyond it, to the narrowest proportions of a face."""
    sides = boxes[:, 2:] - boxes[:, :2]
    missing = np.maximum(MIN_PROPORTIONS * sides[:, ::-1] - sides, 0)
    near = BORDER_SHARE * sides.max(axis=1, keepdims=True)
    to_end = np.array(image_size, np.float32) - boxes[:, 2:]
    starts = (boxes[:, :2] <= near) & (boxes[:, :2] <= to_end)
    ends = (to_end <= near) & ~starts
    return np.concatenate([boxes[:, :2] - missing * starts, boxes[:, 2:] + missing * ends], axis=1)


def _share_outside(boxes: Float, image_size: tuple[int, int]) -> Float:
    visible = clip_boxes(boxes, *image_size)
    if (visible == boxes).all():  # as nearly always
        return np.zeros(len(boxes), np.float32)
    inside, whole = (np.maximum(b[:, 2:] - b[:, :2], 1e-6).prod(axis=1) for b in (visible, boxes))
    return np.asarray(1 - np.minimum(inside / whole, 1), np.float32)
