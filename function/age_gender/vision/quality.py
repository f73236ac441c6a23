"""How clearly an image shows a face: size, sharpness, pose."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, roll_angles

SHARPNESS_SIDE = 96
"""Side in pixels at which sharpness is measured, so that it does not depend on the model."""


@dataclass(frozen=True)
class Quality:
    """Quality of one face.

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
    unknown = [None] * len(boxes)
    yaws = unknown if landmarks is None else yaw(landmarks).tolist()
    rolls = unknown if landmarks is None else np.degrees(roll_angles(landmarks)).tolist()
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
    """Estimate how far each face is turned sideways: 0 frontal, about +-1 in profile.

    It is the nose tip's offset from the midpoint of the eyes, along the line between them, in
    halves of the distance between the eyes.

    Args:
        landmarks: ``[N, 5, 2]``.

    Returns:
        float32 ``[N]``, clipped to -1 .. 1; positive when turned to the right of the image.
    """
    across = landmarks[:, 1] - landmarks[:, 0]
    middle = (landmarks[:, 0] + landmarks[:, 1]) / 2
    length = np.maximum(np.linalg.norm(across, axis=1), 1e-6)
    offset = ((landmarks[:, 2] - middle) * across).sum(axis=1) / length
    return np.asarray(np.clip(offset / (length / 2), -1, 1), np.float32)
