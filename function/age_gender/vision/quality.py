"""How good a look at a face the picture gives: size, sharpness, pose."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, roll_angles

SHARPNESS_SIDE = 96
"""Chips are compared at this side in pixels, so that the measure does not depend on the model."""


@dataclass(frozen=True)
class Quality:
    """One face's.

    Attributes:
        size: shorter side of the bounding box, pixels.
        sharpness: see `sharpness`.
        yaw: see `yaw`, None without landmarks.
        roll: in-plane rotation in degrees, clockwise positive, None without landmarks.
    """

    size: float
    sharpness: float
    yaw: float | None
    roll: float | None


def assess(boxes: Float, landmarks: Float | None, chips: Image) -> list[Quality]:
    """Measure each face.

    Args:
        boxes: ``[N, 4]``, pixels.
        landmarks: ``[N, 5, 2]``, pixels, or None.
        chips: uint8 ``[N, S, S, 3]``, RGB.
    """
    sizes = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    blank = [None] * len(boxes)
    yaws = blank if landmarks is None else yaw(landmarks).tolist()
    rolls = blank if landmarks is None else np.degrees(roll_angles(landmarks)).tolist()
    return [
        Quality(float(size), sharpness(chip), y, r)
        for size, chip, y, r in zip(sizes, chips, yaws, rolls, strict=True)
    ]


def sharpness(chip: NDArray[np.uint8]) -> float:
    """Standard deviation of the Laplacian over that of the grey values, 0 (flat) and up.

    The variance of the Laplacian is the usual focus measure (Pech-Pacheco et al. 2000);
    dividing by the contrast makes it independent of exposure.

    Args:
        chip: uint8 ``[S, S, 3]``, RGB.
    """
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    side = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    grey = cv2.resize(grey, side, interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(float(grey.std()), 1.0))


def yaw(landmarks: Float) -> Float:
    """How far each face is turned aside: 0 frontal, about +-1 in profile.

    The nose tip's offset from the middle of the eyes along the line between them, in halves of
    the distance between the eyes.

    Args:
        landmarks: ``[N, 5, 2]``.

    Returns:
        float32 ``[N]``, clipped to -1 .. 1; positive when turned to the picture's right.
    """
    across = landmarks[:, 1] - landmarks[:, 0]
    middle = (landmarks[:, 0] + landmarks[:, 1]) / 2
    length = np.maximum(np.linalg.norm(across, axis=1), 1e-6)
    offset = ((landmarks[:, 2] - middle) * across).sum(axis=1) / length
    return np.asarray(np.clip(offset / (length / 2), -1, 1), np.float32)
