"""Turns photos into what looks drawn or painted: whose age would be a guess.

Functions are defects, see `training.defects`.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.defects import Float, Generator, Image

MIN_COLOURS, MAX_COLOURS = 4, 9
"""Of a cartoon."""


def drawn(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Draw a cartoon, a painting or a pencil sketch of the image."""
    return (cartoon, painting, sketch)[rng.integers(3)](image, rng)


def cartoon(image: Image, rng: Generator) -> Image:
    """A few flat colours, mostly with dark outlines."""
    smooth = image
    for _ in range(int(rng.integers(2, 5))):
        smooth = np.asarray(cv2.bilateralFilter(smooth, 9, rng.uniform(30, 80), 7), np.uint8)
    pixels = smooth.reshape(-1, 3).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 8, 1.0)
    count = int(rng.integers(MIN_COLOURS, MAX_COLOURS + 1))
    cv2.setRNGSeed(int(rng.integers(2**31)))
    start = np.zeros((len(pixels), 1), np.int32)
    _, nearest, colours = cv2.kmeans(pixels, count, start, stop, 1, cv2.KMEANS_PP_CENTERS)
    flat = np.asarray(colours[nearest.ravel()], np.uint8).reshape(image.shape)
    if rng.random() < 0.7:
        grey = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5)
        below = int(rng.integers(2, 6))
        method, kind = cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY
        outlines = cv2.adaptiveThreshold(grey, 255, method, kind, 9, below) == 0
        flat[outlines] = (flat[outlines] * rng.uniform(0, 0.5)).astype(np.uint8)
    return flat


def painting(image: Image, rng: Generator) -> Image:
    """Smooth areas within strong outlines (Gastal and Oliveira 2011)."""
    painted = cv2.stylization(image, sigma_s=rng.uniform(20, 80), sigma_r=rng.uniform(0.25, 0.7))
    return np.asarray(painted, np.uint8)


def sketch(image: Image, rng: Generator) -> Image:
    """A pencil drawing, grey or coloured (Gastal and Oliveira 2011)."""
    grey, coloured = cv2.pencilSketch(
        image,
        sigma_s=rng.uniform(10, 60),
        sigma_r=rng.uniform(0.05, 0.2),
        shade_factor=rng.uniform(0.02, 0.06),
    )
    if rng.random() < 0.5:
        return np.asarray(coloured, np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
