"""Draws what makes a face's age unreliable: blur, bad light, coverings, borders.

Every function takes an image (uint8 ``[H, W, 3]``, RGB), the face's box ``[4]`` and landmarks
``[5, 2]`` in its pixels and a random generator, and returns a new image. Sizes follow the face.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Float = NDArray[np.float32]
Generator = np.random.Generator
Defect = Callable[[Image, Float, Float, Generator], Image]

SKINS = ((255, 219, 172), (241, 194, 125), (198, 134, 66), (141, 85, 36), (90, 56, 37))
"""RGB, for hands."""
CLOTHS = ((60, 140, 200), (235, 240, 245), (20, 20, 22), (150, 205, 225), (175, 200, 175))
"""RGB, usual colours of masks; half of the masks have any other."""


def _side(box: Float) -> float:
    return float(max(box[2] - box[0], box[3] - box[1], 8))


def motion_blur(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Move the camera by 6 to 22 % of the face in any direction."""
    length = _side(box) * rng.uniform(0.06, 0.22)
    return moved(image, length, rng.uniform(0, np.pi))


def moved(image: Image, length: float, angle: float) -> Image:
    """Blur along a line of ``length`` pixels at ``angle`` (radians)."""
    size = int(np.ceil(length / 2)) * 2 + 3
    kernel = np.zeros((size * 4, size * 4), np.float32)
    centre, reach = size * 2, length * 2
    ends = [
        (round(centre + sign * reach * np.cos(angle)), round(centre + sign * reach * np.sin(angle)))
        for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0, 3, cv2.LINE_AA)
    line = cv2.resize(kernel, (size, size), interpolation=cv2.INTER_AREA)
    blurred = cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.uint8)


def defocus(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Blur by a disc or a Gaussian of 2.5 to 7 % of the face."""
    radius = _side(box) * rng.uniform(0.025, 0.07)
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), radius), np.uint8)
    size = int(np.ceil(radius * 1.7)) * 2 + 1
    disc = np.zeros((size, size), np.float32)
    cv2.circle(disc, (size // 2, size // 2), round(radius * 1.7), 1.0, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum()), np.uint8)


def overexposed(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Expose three to five times as long."""
    return _pixels(image.astype(np.float32) * rng.uniform(3, 5))


def underexposed(image: Image, box: Float, points: Float, rng: Generator) -> Image:  # noqa: ARG001
    """Expose a seventh to a twentieth as long, with noise of the sensor."""
    dark = image.astype(np.float32) * rng.uniform(0.05, 0.14)
    dark += rng.normal(0, rng.uniform(4, 14), image.shape)
    return _pixels(dark)


def mask(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Cover nose and mouth, or the mouth, with cloth."""
    frame = _frame(box, points)
    top, width = rng.uniform(-0.4, 0.3), rng.uniform(1.15, 1.75)
    bottom = rng.uniform(1.7, 2.5)
    left, right = -width, width
    upper = [
        (x, top + 0.35 * (abs(x) / width) ** 2 * rng.uniform(0, 1.5)) for x in _steps(left, right)
    ]
    lower = [
        (x * rng.uniform(0.8, 1.0), bottom - 0.5 * (abs(x) / width) ** 2)
        for x in _steps(right, left)
    ]
    shape = _polygon(image, frame, upper + lower)
    cloth = _cloth(image, frame, rng)
    covered = _laid_over(image, shape, cloth, rng)
    if rng.random() < 0.5:  # straps to the ears
        for sign in (-1, 1):
            for y in (top + 0.1, bottom - 0.5):
                line = [(sign * width * 0.95, y), (sign * 2.1, rng.uniform(-0.9, -0.2))]
                a, b = np.round(_to_image(frame, line)).astype(int).tolist()
                colour = [int(c) for c in np.clip(cloth.mean(axis=(0, 1)) * 1.05, 0, 255)]
                cv2.line(covered, a, b, colour, max(1, round(frame[2] * 0.05)), cv2.LINE_AA)
    return covered


def scarf(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Cover everything below the nose or the eyes, beyond the sides of the face."""
    frame = _frame(box, points)
    top = rng.uniform(-0.2, 0.45)
    edge = [(x, top + rng.uniform(-0.12, 0.12)) for x in _steps(-2.4, 2.4)]
    shape = _polygon(image, frame, [*edge, (2.4, 3.5), (-2.4, 3.5)])
    return _laid_over(image, shape, _cloth(image, frame, rng), rng)


def dark_glasses(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Cover the eyes with dark glasses."""
    frame = _frame(box, points)
    colour = tuple(int(c) for c in rng.integers(0, 60, 3))
    shape = np.zeros(image.shape[:2], np.uint8)
    width, height = rng.uniform(0.55, 0.85), rng.uniform(0.38, 0.75)
    for sign in (-1, 1):
        kind = rng.random()
        x, y = sign * rng.uniform(0.78, 0.9), -0.95 + rng.uniform(-0.1, 0.2)
        if kind < 0.5:
            ring = [(x + width * np.cos(t), y + height * np.sin(t)) for t in _steps(0, 2 * np.pi)]
        else:
            slant = rng.uniform(0, 0.2)
            ring = [
                (x - width, y - height + slant),
                (x + width, y - height),
                (x + width * 0.8, y + height),
                (x - width * 0.8, y + height),
            ]
        shape = np.maximum(shape, _polygon(image, frame, ring))
    a, b = np.round(_to_image(frame, [(-0.4, -1.1), (0.4, -1.1)])).astype(int).tolist()
    cv2.line(shape, a, b, 255, max(1, round(frame[2] * 0.12)))
    for sign in (-1, 1):
        a, b = (
            np.round(_to_image(frame, [(sign * 1.3, -1.1), (sign * 2.1, -1.0)]))
            .astype(int)
            .tolist()
        )
        cv2.line(shape, a, b, 255, max(1, round(frame[2] * 0.1)))
    glass = np.zeros_like(image) + np.array(colour, np.uint8)
    shine = cv2.GaussianBlur(
        rng.normal(0, 90, image.shape[:2]).astype(np.float32), (0, 0), frame[2] * 0.4
    )
    glass = np.clip(glass + shine[..., None] * rng.uniform(0, 4), 0, 255).astype(np.uint8)
    return _blended(image, shape, glass, rng.uniform(0.8, 1.0))


def hand(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Lay fingers over the mouth or the eyes."""
    frame = _frame(box, points)
    canvas, shape = image.copy(), np.zeros(image.shape[:2], np.uint8)
    skin = np.array(SKINS[rng.integers(len(SKINS))], np.float32) * rng.uniform(0.6, 1.05)
    y = rng.uniform(0.7, 1.1) if rng.random() < 0.6 else rng.uniform(-1.2, -0.8)
    slope = rng.uniform(-0.6, 0.6)
    for finger in range(4):
        offset = (finger - 1.5) * rng.uniform(0.4, 0.5)
        start = (rng.uniform(-1.6, -0.9), y + offset - slope)
        end = (rng.uniform(0.9, 2.6), y + offset + slope)
        if rng.random() < 0.5:
            start, end = (-start[0], start[1]), (-end[0], end[1])
        a, b = np.round(_to_image(frame, [start, end])).astype(int).tolist()
        thick = max(2, round(frame[2] * rng.uniform(0.42, 0.52)))
        tone = skin * rng.uniform(0.9, 1.05)
        cv2.line(
            canvas, a, b, [int(v * 0.7) for v in tone], thick + max(1, thick // 6), cv2.LINE_AA
        )
        cv2.line(canvas, a, b, [int(min(v, 255)) for v in tone], thick, cv2.LINE_AA)
        cv2.line(shape, a, b, 255, thick + max(1, thick // 6))
    return _blended(image, shape, canvas, 1.0)


def object_before(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Hold something before the mouth or the eyes: a telephone, a cup, paper."""
    frame = _frame(box, points)
    y = rng.uniform(0.6, 1.2) if rng.random() < 0.6 else rng.uniform(-1.1, -0.8)
    width, height, turn = rng.uniform(0.9, 1.9), rng.uniform(0.5, 0.9), rng.uniform(-0.4, 0.4)
    x = rng.uniform(-0.4, 0.4)
    turned = [
        (x + a * np.cos(turn) - b * np.sin(turn), y + a * np.sin(turn) + b * np.cos(turn))
        for a, b in _corners(width, height)
    ]
    return _laid_over(image, _polygon(image, frame, turned), _cloth(image, frame, rng), rng)


def bar(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Hide the eyes, or the mouth, under a bar of one colour or of coarse pixels."""
    frame = _frame(box, points)
    y = rng.uniform(-1.1, -0.85) if rng.random() < 0.75 else rng.uniform(0.8, 1.1)
    width, height = rng.uniform(1.2, 2.2), rng.uniform(0.3, 0.6)
    shape = _polygon(image, frame, [(x, y + v) for x, v in _corners(width, height)])
    if rng.random() < 0.3:
        return np.where(
            shape[..., None] > 0, _coarse(image, frame[2] * rng.uniform(0.3, 0.7)), image
        )
    colour = np.full(3, rng.choice((0, 255, 128))) if rng.random() < 0.6 else rng.uniform(0, 255, 3)
    return np.where(shape[..., None] > 0, colour.astype(np.uint8), image)


def _coarse(image: Image, side: float) -> Image:
    """Make pixels of ``side``."""
    height, width = image.shape[:2]
    size = (max(1, round(width / side)), max(1, round(height / side)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, np.uint8)


def half(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Hide one side of the face behind something: a door, another head, a black edge."""
    frame = _frame(box, points)
    sign, slope = rng.choice((-1, 1)), rng.uniform(-0.35, 0.35)
    x = float(sign) * rng.uniform(-0.25, 0.3)
    far = 6.0 * float(sign)
    edge = [(x - 4 * slope, -4.0), (far, -4.0), (far, 5.0), (x + 5 * slope, 5.0)]
    shape = _polygon(image, frame, edge)
    if rng.random() < 0.4:
        return np.where(shape[..., None] > 0, rng.choice((0, 255, 128)), image).astype(np.uint8)
    return _laid_over(image, shape, _cloth(image, frame, rng), rng)


def covered(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Cover mouth, eyes or one side in one of the ways above."""
    ways: tuple[Defect, ...] = (mask, scarf, dark_glasses, hand, object_before, bar, half)
    shares = (0.3, 0.07, 0.29, 0.06, 0.06, 0.12, 0.1)
    return ways[rng.choice(len(ways), p=shares)](image, box, points, rng)


def beside(image: Image, box: Float, points: Float, rng: Generator) -> Image:
    """Draw the same things where they cover neither eyes nor mouth: hats, collars, frames.

    It is what a check for coverings must not react to.
    """
    frame = _frame(box, points)
    kind = rng.integers(4)
    if kind == 0:
        edge = [(x, -2.0 + rng.uniform(-0.15, 0.1)) for x in _steps(-2.4, 2.4)]
        shape = _polygon(image, frame, [*edge, (2.4, -4), (-2.4, -4)])
    elif kind == 1:
        edge = [(x, 2.1 + rng.uniform(-0.1, 0.2)) for x in _steps(-2.4, 2.4)]
        shape = _polygon(image, frame, [*edge, (2.4, 5), (-2.4, 5)])
    elif kind == 2:
        x = rng.choice([-1, 1]) * rng.uniform(1.9, 2.4)
        shape = _polygon(image, frame, [(x, -3), (3 * np.sign(x), -3), (3 * np.sign(x), 4), (x, 4)])
    else:
        canvas = image.copy()
        thick = max(1, round(frame[2] * rng.uniform(0.05, 0.12)))
        shade = [int(v) for v in rng.integers(0, 90, 3)]
        for sign in (-1, 1):
            (centre,) = np.round(_to_image(frame, [(sign * 0.85, -0.9)])).astype(int).tolist()
            axes = (round(frame[2] * 0.62), round(frame[2] * rng.uniform(0.4, 0.6)))
            cv2.ellipse(
                canvas, centre, axes, np.degrees(frame[3]), 0, 360, shade, thick, cv2.LINE_AA
            )
        return canvas
    return _laid_over(image, shape, _cloth(image, frame, rng), rng)


Frame = tuple[float, float, float, float]
"""Origin x, y at the nose's root to its tip, unit in pixels, angle: see `_frame`."""


def _frame(box: Float, points: Float) -> Frame:
    """Coordinates in which the eyes are at y = -1, the mouth at 1, and half a face is 1.6 wide."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across = (points[1] - points[0]) + (points[4] - points[3])
    angle = float(np.arctan2(across[1], across[0]))
    unit = max(float(np.linalg.norm(mouth - eyes)) / 2, _side(box) / 9)
    x, y = (eyes + mouth) / 2
    return float(x), float(y), unit, angle


def _to_image(frame: Frame, points: list[tuple[float, float]]) -> Float:
    x, y, unit, angle = frame
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(np.array(points) * unit @ turn + (x, y), np.float32)


def _corners(width: float, height: float) -> list[tuple[float, float]]:
    return [(-width, -height), (width, -height), (width, height), (-width, height)]


def _steps(start: float, stop: float) -> list[float]:
    return [float(v) for v in np.linspace(start, stop, 12)]


def _polygon(image: Image, frame: Frame, points: list[tuple[float, float]]) -> Image:
    shape = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(shape, [np.round(_to_image(frame, points)).astype(np.int32)], 255)
    return shape


def _cloth(image: Image, frame: Frame, rng: Generator) -> Image:
    """A plain, striped, dotted, mottled or pleated surface of the image's size."""
    height, width = image.shape[:2]
    colour = np.array(CLOTHS[rng.integers(len(CLOTHS))], np.float32)
    if rng.random() < 0.5:
        colour = rng.uniform(0, 255, 3).astype(np.float32)
    else:
        colour = colour + rng.normal(0, 12, 3).astype(np.float32)
    surface = np.zeros((height, width, 3), np.float32) + colour
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, unit = rng.uniform(0, np.pi), frame[2]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / (unit * rng.uniform(0.04, 0.25)))
    kind = rng.integers(6)
    other = rng.uniform(-120, 120, 3).astype(np.float32)
    if kind == 1:
        surface += (wave > 0)[..., None] * other
    elif kind == 2:
        cross = np.sin((y * np.cos(angle) - x * np.sin(angle)) / (unit * rng.uniform(0.04, 0.2)))
        surface += ((wave * cross) > 0.4)[..., None] * other
    elif kind == 3:
        mottle = rng.normal(0, 1, (height, width)).astype(np.float32)
        sigma = max(unit * rng.uniform(0.05, 0.3), 0.5)
        smooth = np.asarray(cv2.GaussianBlur(mottle, (0, 0), sigma), np.float32)
        surface += (smooth / max(float(smooth.std()), 1e-6) * 25)[..., None] * np.sign(other)
    elif kind == 4:  # pleats along the mouth
        level = x * -np.sin(frame[3]) + y * np.cos(frame[3])
        folds = np.sin(level / (unit * rng.uniform(0.06, 0.14)))
        surface += (folds * rng.uniform(6, 20))[..., None]
    light = (x - frame[0]) * rng.normal(0, 0.25) + (y - frame[1]) * rng.normal(0, 0.25)
    surface *= np.clip(1 + light / (3 * unit), 0.4, 1.5)[..., None]
    return _pixels(surface)


def _laid_over(image: Image, shape: Image, cloth: Image, rng: Generator) -> Image:
    """Lay cloth over a shape, in the light of what it covers, with a shadow at its edge."""
    lit = cloth.astype(np.float32)
    if rng.random() < 0.7:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        sigma = max(image.shape[0] * rng.uniform(0.01, 0.06), 1)
        light = cv2.GaussianBlur(grey, (0, 0), sigma)
        inside = light[shape > 0]
        middle = float(np.median(inside)) if len(inside) else 128.0
        lit *= np.clip(light / max(middle, 20), 0.5, 1.5)[..., None] ** rng.uniform(0.3, 1)
        lit *= np.clip(middle / 130, 0.45, 1.2) ** rng.uniform(0, 1)
    canvas = image.astype(np.float32)
    shadow = cv2.GaussianBlur(shape, (0, 0), max(image.shape[0] * 0.012, 0.7))[..., None] / 255
    canvas *= 1 - shadow * rng.uniform(0, 0.5)
    return _blended(canvas.astype(np.uint8), shape, np.clip(lit, 0, 255).astype(np.uint8), 1.0)


def _blended(image: Image, shape: Image, over: Image, opacity: float) -> Image:
    soft = cv2.GaussianBlur(shape, (0, 0), 0.8)[..., None] / 255 * opacity
    return _pixels(image * (1 - soft) + over * soft)


def _pixels(values: NDArray[np.floating]) -> Image:
    """Clip to 0-255."""
    return np.asarray(np.clip(values, 0, 255), np.uint8)
