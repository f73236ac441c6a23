"""Photos as people edit, print and scan them: smooth skin, flat light, grey, grain, small files.

Functions are like those of `training.defects`: uint8 ``[H, W, 3]``, RGB, in and out. Such faces are
ordinary: what is fitted must not take them for drawings or things of stone. A set of
snapshots in colour has too few of them.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.defects import Float, Generator, Image


def retouched(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Edit a photo: each step but the last, compression, with some probability.

    Args:
        image: photo of one face.
        box: of the face, ``[4]``, pixels: x1, y1, x2, y2.
        points: landmarks ``[5, 2]``, unused.
        rng: chooses the steps and their strengths.
    """
    side = float((box[2:] - box[:2]).max())
    edited = image
    if rng.random() < 0.6:
        edited = smoothed(edited, side, rng)
    if rng.random() < 0.25:
        edited = _softened(edited, side, rng)
    if rng.random() < 0.3:
        edited = evenly_lit(edited, side, rng)
    if rng.random() < 0.4:
        edited = sharpened(edited, rng)
    if rng.random() < 0.7:
        edited = _toned(edited, rng)
    if rng.random() < 0.5:
        edited = _without_colour(edited, rng)
    if rng.random() < 0.3:
        edited = grained(edited, rng)
    if rng.random() < 0.5:
        edited = _shrunk(edited, rng)
    return compressed(edited, int(rng.integers(40, 96)))


def smoothed(image: Image, side: float, rng: Generator) -> Image:
    """What beauty filters do: small differences go, edges stay."""
    spread, reach = rng.uniform(12, 40), side * rng.uniform(0.01, 0.04)
    smooth = cv2.bilateralFilter(image, 0, spread, max(reach, 1.0))
    share = rng.uniform(0.4, 1)
    return np.asarray(cv2.addWeighted(smooth, share, image, 1 - share, 0))


def _softened(image: Image, side: float, rng: Generator) -> Image:
    """A little out of focus, as good lenses for portraits are."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), side * rng.uniform(0.004, 0.015)), np.uint8)


def evenly_lit(image: Image, side: float, rng: Generator) -> Image:
    """The flat light of a studio or a flash: part of the shading goes, whites may burn out."""
    spread = max(side * rng.uniform(0.1, 0.3), 1.0)
    shading = cv2.GaussianBlur(image.mean(axis=2, dtype=np.float32), (0, 0), spread)
    shading = np.maximum(shading, 1)  # black is not to be divided by
    share = np.float32(rng.uniform(0.2, 0.6))
    target = np.float32(rng.uniform(130, 190))
    lit = image * ((target / shading) ** share)[..., None]
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def sharpened(image: Image, rng: Generator) -> Image:
    """What cameras, scanners and web sites do to small pictures."""
    smooth = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2))
    share = rng.uniform(0.3, 1.5)
    return np.asarray(cv2.addWeighted(image, 1 + share, smooth, -share, 0))


def _toned(image: Image, rng: Generator) -> Image:
    """Brighter or darker, with more or less contrast and colour, and a cast."""
    values = (image / np.float32(255)) ** np.float32(rng.uniform(0.6, 1.4))
    values = (values - 0.5) * rng.uniform(0.8, 1.5) + 0.5 + rng.uniform(-0.05, 0.15)
    grey = values.mean(axis=2, keepdims=True)
    values = (grey + (values - grey) * rng.uniform(0.4, 1.6)) * rng.uniform(0.9, 1.1, 3)
    return np.asarray(np.clip(values, 0, 1) * 255, np.uint8)


def _without_colour(image: Image, rng: Generator) -> Image:
    """Black and white, at times in one tint, as old prints have."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    tint = np.array([1, 1, 1]) if rng.random() < 0.7 else rng.uniform(0.75, 1, 3)
    return np.asarray(grey * tint, np.uint8)


def grained(image: Image, rng: Generator) -> Image:
    """The grain of film and paper, of one to three pixels, alike all over the picture."""
    height, width = image.shape[:2]
    size = int(rng.integers(1, 4))
    rows, columns = -(-height // size), -(-width // size)
    small = rng.normal(0, rng.uniform(2, 9), (rows, columns))
    grain = cv2.resize(small, (columns * size, rows * size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(image + grain[:height, :width, None], 0, 255), np.uint8)


def _shrunk(image: Image, rng: Generator) -> Image:
    """As small files are shown: enlarged."""
    height, width = image.shape[:2]
    zoom = rng.uniform(0.35, 0.9)
    small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def compressed(image: Image, quality: int) -> Image:
    """Write as JPEG and read."""
    # OpenCV writes and reads BGR. With channels swapped, blue would be kept as well as red is.
    bgr = np.ascontiguousarray(image[..., ::-1])
    file = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
