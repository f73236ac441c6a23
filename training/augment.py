"""Training chips: cut as the service cuts them, jittered, then degraded as real photos are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import roll_angles, rotated_transforms, warp_chips

Image = NDArray[np.uint8]
Float = NDArray[np.float32]

SHIFT = 0.04
"""Standard deviation of the box's centre, in box sides: as two detectors differ."""
ZOOM = 0.08
"""Standard deviation of the logarithm of the box's size."""
TILT = 4.0
"""Standard deviation of an additional rotation, degrees."""
NO_LANDMARKS = 0.25
"""Share of chips that are not rotated upright, like those of the `fast` detector."""

GREY, LOW_RESOLUTION, BLUR, NOISE, JPEG, ERASE = 0.06, 0.15, 0.1, 0.08, 0.15, 0.15
"""Share of chips that get each kind of degradation."""


def jittered_chips(
    images: Image,
    boxes: Float,
    landmarks: Float,
    scale: float,
    size: int,
    rng: np.random.Generator,
) -> Image:
    """Cut one chip from each image, with jitter around the detected face.

    Args:
        images: uint8 ``[N, H, W, 3]``, RGB.
        boxes: ``[N, 4]``, pixels.
        landmarks: ``[N, 5, 2]``, pixels.
        scale: side of the chip in box lengths.
        size: side of the chip, pixels.
        rng: source of the jitter.

    Returns:
        uint8 ``[N, size, size, 3]``, half of them mirrored.
    """
    count = len(boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    longer = half.max(axis=1, keepdims=True) * 2
    centres = centres + rng.normal(0, SHIFT, (count, 2)) * longer
    half = half * np.exp(rng.normal(0, ZOOM, (count, 1)))
    moved = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
    upright = np.where(rng.random(count) < NO_LANDMARKS, 0, roll_angles(landmarks))
    angles = upright + np.radians(rng.normal(0, TILT, count))
    transforms = rotated_transforms(moved, np.asarray(angles, np.float32), scale, size)
    chips = np.concatenate(
        [warp_chips(image, t[None], size) for image, t in zip(images, transforms, strict=True)]
    )
    mirrored = rng.random(count) < 0.5
    chips[mirrored] = chips[mirrored, :, ::-1]
    return chips


def degrade(chip: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Change light and colour, and at random resolution, sharpness and more.

    Args:
        chip: uint8 ``[S, S, 3]``, RGB.
        rng: source of the choices.
        strength: factor of all probabilities.

    Returns:
        uint8 ``[S, S, 3]``.
    """
    size = chip.shape[0]
    chip = _relit(chip, rng)
    draws = rng.random(6) / strength
    if draws[0] < GREY:
        chip = _coloured(chip, 0.0)
    elif draws[0] < 0.5:
        chip = _coloured(chip, float(rng.uniform(0.6, 1.4)))
    if draws[1] < LOW_RESOLUTION:
        side = round(float(np.exp(rng.uniform(np.log(24), np.log(96)))))
        small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
        chip = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    if draws[2] < BLUR:
        chip = np.asarray(cv2.GaussianBlur(chip, (0, 0), float(rng.uniform(0.5, 2.0))), np.uint8)
    if draws[3] < NOISE:
        noise = rng.normal(0, rng.uniform(2, 12), chip.shape)
        chip = np.clip(chip + noise, 0, 255).astype(np.uint8)
    if draws[4] < JPEG:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        chip = np.asarray(cv2.imdecode(cv2.imencode(".jpg", chip, quality)[1], 1), np.uint8)
    if draws[5] < ERASE:
        chip = _erased(chip, rng)
    return chip


def _relit(chip: Image, rng: np.random.Generator) -> Image:
    """Apply gamma, contrast, brightness and a colour cast, by one table per channel."""
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.15))
    gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.05, 3))
    table = (levels - 0.5) * gain + 0.5 + rng.normal(0, 0.06)
    table = np.clip(table * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    return np.asarray(cv2.LUT(chip, table), np.uint8)


def _coloured(chip: Image, saturation: float) -> Image:
    """Scale the saturation; 0 gives grey."""
    to_grey = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
    matrix = to_grey * (1 - saturation) + np.eye(3) * saturation
    return np.asarray(cv2.transform(chip, matrix.astype(np.float32)), np.uint8)


def _erased(chip: Image, rng: np.random.Generator) -> Image:
    """Fill one rectangle with a random colour (Zhong et al., "Random Erasing", AAAI 2020)."""
    size = chip.shape[0]
    area, aspect = rng.uniform(0.02, 0.15), np.exp(rng.uniform(-0.7, 0.7))
    height = max(1, min(size, round(size * float(np.sqrt(area * aspect)))))
    width = max(1, min(size, round(size * float(np.sqrt(area / aspect)))))
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    chip = chip.copy()
    chip[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return chip
