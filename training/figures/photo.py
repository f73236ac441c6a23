"""Makes a rendered picture look as a camera would return it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.figures.heads import Floats, Rng

Image = NDArray[np.uint8]


def developed(image: Floats, rng: Rng) -> Image:
    """Expose a picture and set it before a background; uint8 ``[H, W, 3]``, RGB.

    Args:
        image: ``[H, W, 4]``, linear RGB and opacity.
        rng: chooses exposure, background, noise and blur.
    """
    opacity = np.clip(image[..., 3:], 0, 1)
    colours = np.maximum(image[..., :3], 0)
    seen = colours[opacity[..., 0] > 0.9]
    bright = float(np.percentile(seen.mean(axis=1), 90)) if len(seen) else 1.0
    colours = colours * rng.uniform(0.35, 1.0) / max(bright, 1e-4)
    shown = _without_noise(np.asarray(np.clip(colours, 0, 1) ** (1 / 2.2)))
    height, width = image.shape[:2]
    behind = _background(height, width, rng)
    result: NDArray[Any] = shown * opacity + behind * (1 - opacity)
    result = np.clip(result + rng.normal(0, rng.uniform(0, 0.02), result.shape), 0, 1)
    if rng.random() < 0.4:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.4, 1.5))
    return np.asarray(result * 255, np.uint8)


def _without_noise(image: Floats) -> Floats:
    """Take away what is left of the sampling noise, which no photo has."""
    codes = np.asarray(image[..., ::-1] * 255, np.uint8)  # OpenCV takes colours for BGR here
    smooth = cv2.fastNlMeansDenoisingColored(codes, None, 5, 5, 5, 11)
    return np.asarray(smooth[..., ::-1] / 255)


def _background(height: int, width: int, rng: Rng) -> Floats:
    size = int(rng.choice([1, 2, 4, 12]))
    middle, spread = rng.uniform(0.1, 0.9), rng.uniform(0, 0.3)
    small = rng.normal(middle, spread, (size, size, 1 if rng.random() < 0.4 else 3))
    if rng.random() < 0.3:
        small = np.full((1, 1, 3), rng.choice([0, 0.05, 0.9, 1]))
    large: Floats = np.atleast_3d(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
    return np.clip(large, 0, 1)
