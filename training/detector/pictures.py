"""Makes pictures to learn from: faces of all sizes on grounds of all kinds, and none.

What is in them need not be known, since the large detector says what it sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from age_gender.vision.geometry import Image
from training.detector.sources import FACE_SIDE, Sources
from training.scenes import Rng, texture

SIDE = 320
"""Of the pictures, pixels."""
FACE_SHARE = 0.6
"""Of a loosely cropped picture's side that its face takes."""
SMALL = 45.0
"""Sides below which surroundings matter, pixels."""
SMALLEST, LARGEST = 8.0, 560.0
"""Sides of faces, pixels."""
MARGIN = 12
"""Black border at the left and at the top, as the service leaves it, pixels."""


def picture(sources: Sources, rng: Rng) -> Image:
    """Make a picture, uint8 ``[SIDE, SIDE, 3]``, RGB."""
    kinds: list[tuple[float, Callable[[Sources, Rng], Image]]] = [
        (0.42, scattered),
        (0.17, mosaic),
        (0.19, large),
        (0.22, without_faces),
    ]
    weights = [weight for weight, _ in kinds]
    image = kinds[rng.choice(len(kinds), p=weights)][1](sources, rng)
    return bordered(degraded(image, rng), rng)


def scattered(sources: Sources, rng: Rng) -> Image:
    """Faces of different sizes on a ground, some of them turned or half covered."""
    image = ground(sources, rng)
    count = int(rng.integers(1, 14))
    middle = np.exp(rng.uniform(np.log(SMALLEST), np.log(160)))
    for _ in range(count):
        side = float(np.clip(middle * np.exp(rng.normal(0, 0.5)), SMALLEST, LARGEST / 2))
        if side > 100 and count > 4 and rng.random() < 0.6:
            continue
        paste(image, some(sources.faces, rng), side, angle(rng), rng)
    return image


def mosaic(sources: Sources, rng: Rng) -> Image:
    """Faces of about one size side by side."""
    image = ground(sources, rng)
    side = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(60))))
    step = side / FACE_SHARE * rng.uniform(0.75, 1.6)
    chance = rng.uniform(0.2, 1.0)
    for y in np.arange(step / 2, SIDE, step):
        for x in np.arange(step / 2, SIDE, step):
            if rng.random() < chance:
                place = (x + rng.normal(0, step * 0.06), y + rng.normal(0, step * 0.06))
                this = side * float(np.exp(rng.normal(0, 0.12)))
                paste(image, some(sources.faces, rng), this, angle(rng), rng, place)
    return image


def large(sources: Sources, rng: Rng) -> Image:
    """One face that fills much of the picture or more than all of it, or two."""
    image = ground(sources, rng)
    for _ in range(1 if rng.random() < 0.7 else 2):
        side = float(np.exp(rng.uniform(np.log(90), np.log(LARGEST))))
        face = some(sources.faces, rng)
        paste(image, face, side, angle(rng), rng)
    return image


def without_faces(sources: Sources, rng: Rng) -> Image:
    """A picture without people, or several."""
    image = ground(sources, rng)
    for _ in range(int(rng.integers(0, 6))):
        side = float(np.exp(rng.uniform(np.log(24), np.log(320))))
        other = some(sources.others, rng)
        zoom = side / max(other.shape[:2])
        size = tuple(max(4, round(n * zoom)) for n in other.shape[1::-1])
        small = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
        x, y = (int(rng.integers(-n // 2, SIDE - n // 2)) for n in size)
        left, top = max(x, 0), max(y, 0)
        part = small[top - y : SIDE - y, left - x : SIDE - x]
        image[top : top + part.shape[0], left : left + part.shape[1]] = part
    return image


def ground(sources: Sources, rng: Rng) -> Image:
    """A part of a picture without people, or a texture."""
    if rng.random() < 0.3:
        return texture(SIDE, SIDE, rng)
    other = some(sources.others, rng)
    least = SIDE / min(other.shape[:2])
    zoom = least * float(np.exp(rng.uniform(0, 1.2)))
    size = tuple(max(SIDE, round(n * zoom)) for n in other.shape[1::-1])
    resized = cv2.resize(other, size, interpolation=cv2.INTER_LINEAR)
    x, y = (int(rng.integers(0, n - SIDE + 1)) for n in size)
    return np.ascontiguousarray(resized[y : y + SIDE, x : x + SIDE])


def angle(rng: Rng) -> float:
    """Degrees by which a face is rotated: mostly few."""
    chance = rng.random()
    if chance < 0.6:
        return float(rng.normal(0, 8))
    return float(rng.uniform(-50, 50) if chance < 0.8 else rng.uniform(-180, 180))


def paste(
    image: Image,
    face: Image,
    side: float,
    degrees: float,
    rng: Rng,
    place: tuple[float, float] | None = None,
) -> None:
    """Draw a cropped face into a picture in place, with a hard, soft or round border.

    Args:
        image: uint8 ``[H, W, 3]``.
        face: uint8 ``[S, S, 3]``.
        side: of the face itself, pixels of the picture.
        degrees: by which it is rotated.
        rng: chooses the border, the place and what else happens to the face.
        place: of its centre, pixels; None for a random one, the centre within the picture.
    """
    if rng.random() < 0.5:
        face = face[:, ::-1]
    whole = side / FACE_SHARE
    if side < SMALL and rng.random() < 0.6:
        face = surrounded(face, rng)
        whole *= 2  # its sides have doubled
    zoom = whole / face.shape[0]
    if zoom < 1:
        small = max(8, round(whole))
        face = _bytes(cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA))
        zoom = whole / small
    face = lit(covered(face, rng) if rng.random() < 0.12 else face, rng)
    reach = whole * 0.75
    x, y = place or tuple(rng.uniform(0, n) for n in image.shape[1::-1])
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    right = min(image.shape[1], int(x + reach) + 1)
    bottom = min(image.shape[0], int(y + reach) + 1)
    if right - left < 4 or bottom - top < 4:
        return
    middle = (face.shape[1] / 2, face.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, zoom)
    matrix[:, 2] += (x - left - middle[0], y - top - middle[1])
    size = (right - left, bottom - top)
    mask = shape_of(face.shape[0], rng)
    drawn = cv2.warpAffine(face, matrix, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[:, :, None]
    part = image[top:bottom, left:right]
    part[:] = np.where(share > 0, part + (drawn - part.astype(np.float32)) * share, part)


def surrounded(face: Image, rng: Rng) -> Image:
    """Continue a cropped face to all sides, blurred, with shoulders of one colour below it.

    Small faces are recognised by what is around them, too.
    """
    border = FACE_SIDE // 4
    face = _bytes(cv2.resize(face, (2 * border, 2 * border), interpolation=cv2.INTER_AREA))
    wide = cv2.copyMakeBorder(face, border, border, border, border, cv2.BORDER_REFLECT_101)
    side = wide.shape[0]
    blurred = cv2.GaussianBlur(wide, (0, 0), side * 0.04)
    if rng.random() < 0.7:
        colour = tuple(map(float, rng.uniform(0, 255, 3)))
        axes = (round(side * rng.uniform(0.3, 0.5)), round(side * rng.uniform(0.4, 0.5)))
        middle = (side // 2, round(side * rng.uniform(1.1, 1.25)))
        cv2.ellipse(blurred, middle, axes, 0, 180, 360, colour, cv2.FILLED, cv2.LINE_AA)
    share = np.zeros((side, side), np.float32)
    share[border:-border, border:-border] = 1
    soft = np.asarray(cv2.GaussianBlur(share, (0, 0), side * 0.015))[:, :, None]
    return _bytes(blurred + (wide - blurred.astype(np.float32)) * soft)


def shape_of(side: int, rng: Rng) -> np.ndarray:
    """Share of a pasted face in each pixel, float32 ``[side, side]``."""
    chance = rng.random()
    if chance < 0.45:
        return np.ones((side, side), np.float32)
    mask = np.zeros((side, side), np.float32)
    centre, half = (side // 2, side // 2), side // 2
    if chance < 0.8:
        axes = (max(2, round(half * rng.uniform(0.7, 1))), max(2, round(half * 0.97)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, cv2.FILLED)
    else:
        edge = max(1, round(side * 0.08))
        mask[edge:-edge, edge:-edge] = 1
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, side * rng.uniform(0.01, 0.05))))


def covered(face: Image, rng: Rng) -> Image:
    """Hide a part behind a rectangle of one colour."""
    face = face.copy()
    side = face.shape[0]
    x, y = rng.uniform(0.1, 0.7, 2) * side
    width, height = rng.uniform(0.15, 0.5, 2) * side
    face[int(y) : int(y + height), int(x) : int(x + width)] = rng.integers(0, 256, 3)
    return face


def lit(face: Image, rng: Rng) -> Image:
    """Change contrast and brightness."""
    if rng.random() < 0.5:
        return face
    gain, lift = rng.uniform(0.5, 1.4), rng.uniform(-30, 30)
    return np.asarray(cv2.convertScaleAbs(face, alpha=gain, beta=lift))


def degraded(image: Image, rng: Rng) -> Image:
    """Blur, darken, tint, add noise or save with losses."""
    if rng.random() < 0.1:
        image = _bytes(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    if rng.random() < 0.25:
        image = _bytes(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.2)))
    elif rng.random() < 0.3:
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.5))
        strength = rng.uniform(0.3, 1.5)
        image = _bytes(cv2.addWeighted(image, 1 + strength, soft, -strength, 0))
    if rng.random() < 0.45:
        levels = np.arange(256, dtype=np.float32)[None, :, None] / 255
        gamma = np.exp(rng.normal(0, 0.5)) * np.exp(rng.normal(0, 0.08, 3))
        gain = np.exp(rng.normal(-0.1, 0.3))
        table = np.clip(levels ** gamma.astype(np.float32) * gain * 255, 0, 255)
        image = _bytes(cv2.LUT(image, table.astype(np.uint8)))
    if rng.random() < 0.25:
        noise = rng.standard_normal((SIDE // 2, SIDE, 3), np.float32) * rng.uniform(2, 16)
        image = np.clip(image + np.concatenate([noise, noise[::-1]]), 0, 255).astype(np.uint8)
    if rng.random() < 0.45:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
        encoded = cv2.imencode(".jpg", image, quality)[1]
        image = _bytes(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return image


def _bytes(image: Any) -> Image:
    return np.asarray(image, np.uint8)


def bordered(image: Image, rng: Rng) -> Image:
    """Leave black what the service leaves black round a picture that does not fill the input."""
    image = image.copy()
    if rng.random() < 0.35:
        image[:, :MARGIN] = 0
    if rng.random() < 0.25:
        image[:MARGIN] = 0
    if rng.random() < 0.15:
        image[:, SIDE - int(rng.integers(4, 64)) :] = 0
    if rng.random() < 0.15:
        image[SIDE - int(rng.integers(4, 64)) :] = 0
    return image


def some(images: list[Image], rng: Rng) -> Image:
    """One at random."""
    return images[int(rng.integers(len(images)))]
