"""Pictures that a program varies, of one face and of none, to fit `training.face_check` on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from age_gender.vision.detectors.base import Detector
from age_gender.vision.geometry import Float, Image, resize
from training.prepare import central_face, with_border

Rng = np.random.Generator


@dataclass(frozen=True)
class Subject:
    """A face that `accurate` found in a cropped picture.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB, with a border.
        box: float32 ``[4]``, pixels.
        landmarks: float32 ``[5, 2]``, pixels.
    """

    image: Image
    box: Float
    landmarks: Float

    @property
    def side(self) -> float:
        """Longer side of the box, pixels."""
        return float((self.box[2:] - self.box[:2]).max())


@dataclass(frozen=True)
class Scene:
    """A picture made for fitting.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        box: of its only face, float32 ``[4]``, or None.
    """

    image: Image
    box: Float | None


def pasted(
    subject: Subject, side: float, degrees: float, rng: Rng, size: tuple[int, int] | None = None
) -> Scene:
    """Put a face into a scene of textures.

    Args:
        subject: the face.
        side: of its box in the scene, pixels.
        degrees: by which it is rotated clockwise.
        rng: chooses scene and place.
        size: width and height of the scene; None for one that holds the face with room around it.
    """
    width, height = size or tuple(round(side * rng.uniform(2, 4)) + 96 for _ in range(2))
    scene = texture(width, height, rng)
    room = side * 0.6
    centre = [rng.uniform(min(room, n / 2), max(n - room, n / 2)) for n in (width, height)]
    zoom = side / subject.side
    image, shrunk = subject.image, 1.0
    if zoom < 1:
        new = [max(1, round(n * zoom)) for n in image.shape[1::-1]]
        image, shrunk = resize(image, *new), zoom
    middle = (subject.box[:2] + subject.box[2:]) / 2 * shrunk
    transform = cv2.getRotationMatrix2D(tuple(map(float, middle)), -degrees, zoom / shrunk)
    transform[:, 2] += np.subtract(centre, middle)
    cv2.warpAffine(image, transform, (width, height), dst=scene, borderMode=cv2.BORDER_TRANSPARENT)
    half = (subject.box[2:] - subject.box[:2]) / 2 * zoom
    return Scene(scene, np.concatenate([centre - half, centre + half]).astype(np.float32))


def texture(width: int, height: int, rng: Rng) -> Image:
    """Noise of a random grain, contrast and colour, sometimes with shapes in it."""
    grain = int(rng.integers(1, 48))
    cells = rng.normal(0, rng.uniform(5, 60), (height // grain + 2, width // grain + 2, 3))
    colour = rng.uniform(20, 235, 3)
    image = np.clip(cells + colour, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(int(rng.integers(0, 8))):
        start, end = (tuple(map(int, rng.integers(0, (width, height)))) for _ in range(2))
        line = int(rng.integers(-1, 6)) or 1
        shade = tuple(map(float, rng.uniform(0, 255, 3)))
        if rng.random() < 0.5:
            cv2.rectangle(image, start, end, shade, line)
        else:
            cv2.circle(image, start, int(rng.integers(2, 60)), shade, line)
    return image


def as_it_is(subject: Subject, _rng: Rng) -> Scene:
    """The picture itself."""
    return Scene(subject.image, subject.box)


def small(subject: Subject, rng: Rng) -> Scene:
    """A face of 12 to 200 pixels in a scene."""
    side = float(np.exp(rng.uniform(np.log(12), np.log(200))))
    return pasted(subject, side, rng.normal(0, 8), rng)


def turned(subject: Subject, rng: Rng) -> Scene:
    """A face rotated by any angle."""
    return pasted(subject, rng.uniform(40, 200), rng.uniform(0, 360), rng)


def half_outside(subject: Subject, rng: Rng) -> Scene:
    """A face of which a border of the picture cuts off up to half."""
    scene = pasted(subject, rng.uniform(40, 200), rng.normal(0, 8), rng)
    assert scene.box is not None
    x1, y1, x2, y2 = scene.box
    inside = rng.uniform(0.5, 0.9)
    height, width = scene.image.shape[:2]
    crops = [
        (0, 0, x1 + (x2 - x1) * inside, height),
        (x2 - (x2 - x1) * inside, 0, width, height),
        (0, 0, width, y1 + (y2 - y1) * inside),
        (0, y2 - (y2 - y1) * inside, width, height),
    ]
    left, top, right, bottom = map(int, crops[rng.integers(4)])
    image = np.ascontiguousarray(scene.image[top:bottom, left:right])
    return Scene(image, scene.box - np.array([left, top] * 2, np.float32))


def blurred(subject: Subject, rng: Rng) -> Scene:
    """Out of focus, or moved."""
    side = rng.uniform(40, 160)
    scene = pasted(subject, side, rng.normal(0, 8), rng)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(scene.image, (0, 0), side * rng.uniform(0.01, 0.06))
    else:
        kernel = np.zeros((31, 31), np.float32)
        reach = max(1, min(15, round(side * rng.uniform(0.03, 0.12))))
        kernel[15, 15 - reach : 16 + reach] = 1
        tilt = cv2.getRotationMatrix2D((15, 15), rng.uniform(0, 180), 1)
        kernel = np.asarray(cv2.warpAffine(kernel, tilt, (31, 31)), np.float32)
        image = cv2.filter2D(scene.image, -1, kernel / kernel.sum())
    return Scene(np.asarray(image, np.uint8), scene.box)


def badly_lit(subject: Subject, rng: Rng) -> Scene:
    """Dark with noise, or overexposed."""
    scene = pasted(subject, rng.uniform(40, 200), rng.normal(0, 8), rng)
    image = scene.image.astype(np.float32)
    if rng.random() < 0.5:
        image *= np.float32(rng.uniform(0.08, 0.4))
        image += rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
    else:
        image *= np.float32(rng.uniform(1.5, 4))
    return Scene(np.clip(image, 0, 255).astype(np.uint8), scene.box)


def covered(subject: Subject, rng: Rng) -> Scene:
    """A face with a mask or dark glasses drawn on it, among them both."""
    image = subject.image.copy()
    left, right, nose, mouth_left, mouth_right = subject.landmarks
    across, eyes = right - left, (left + right) / 2
    down = (mouth_left + mouth_right) / 2 - eyes
    shade = tuple(map(float, rng.uniform(0, 255, 3)))
    kind = rng.integers(3)
    if kind != 1:
        top = eyes + down * rng.uniform(0.25, 0.6)
        chin = eyes + down * rng.uniform(1.7, 2.0)
        width = across * rng.uniform(0.75, 0.95)
        corners = [
            top - width,
            nose - down * 0.2,
            top + width,
            chin + width * 0.5,
            chin - width * 0.5,
        ]
        cv2.fillConvexPoly(image, cv2.convexHull(np.array(corners, np.int32)), shade, cv2.LINE_AA)
    if kind != 0:
        dark = tuple(map(float, rng.uniform(0, 60, 3)))
        radius = float(np.linalg.norm(across))
        axes = (max(1, round(radius * 0.38)), max(1, round(radius * rng.uniform(0.2, 0.32))))
        for eye in (left, right):
            cv2.ellipse(image, tuple(map(int, eye)), axes, 0, 0, 360, dark, cv2.FILLED, cv2.LINE_AA)
    return pasted(
        Subject(image, subject.box, subject.landmarks), rng.uniform(40, 200), rng.normal(0, 8), rng
    )


def close_up(subject: Subject, rng: Rng) -> Scene:
    """A face as large as the picture or larger, in which a detector sees faces that are none."""
    side = rng.uniform(200, 500)
    size = round(side / rng.uniform(0.5, 1.5))
    return pasted(subject, side, rng.normal(0, 5), rng, (size, size))


def fragment(subject: Subject, rng: Rng) -> Scene:
    """An eye, a cheek or a mouth alone: less than a third of a face, so none."""
    centre = subject.landmarks[rng.integers(5)] + rng.normal(0, subject.side * 0.1, 2)
    half = subject.side * rng.uniform(0.12, 0.25)
    height, width = subject.image.shape[:2]
    x1, y1 = np.clip(centre - half, 0, [width - 2, height - 2]).astype(int)
    x2, y2 = np.clip(centre + half, [x1 + 1, y1 + 1], [width, height]).astype(int)
    part = subject.image[y1:y2, x1:x2]
    scene = texture(320, 240, rng)
    zoom = rng.uniform(30, 200) / max(part.shape[:2])
    part = resize(part, max(1, round(part.shape[1] * zoom)), max(1, round(part.shape[0] * zoom)))
    y, x = (int(rng.integers(0, n - m)) for n, m in zip((240, 320), part.shape, strict=False))
    scene[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Scene(scene, None)


Vary = Callable[[Subject, Rng], Scene]
VARIATIONS: tuple[Vary, ...] = (
    *(turned, half_outside, blurred, badly_lit, covered, close_up, fragment),
)


def varied_animal(image: Image, rng: Rng) -> Image:
    """A picture without people, mirrored, rotated, resized and relit."""
    if rng.random() < 0.5:
        image = np.asarray(image[:, ::-1], np.uint8)
    if rng.random() < 0.3:
        image = np.asarray(np.rot90(image, int(rng.integers(1, 4))), np.uint8)
    zoom = float(np.exp(rng.uniform(np.log(0.3), np.log(2))))
    width, height = (max(32, round(n * zoom)) for n in image.shape[1::-1])
    image = resize(np.ascontiguousarray(image), width, height)
    return np.asarray(np.clip(image * rng.uniform(0.6, 1.3), 0, 255), np.uint8)


def subject_of(image: Image, detector: Detector) -> Subject | None:
    """Find the face of a cropped picture."""
    padded, _ = with_border(image)
    found = detector.detect(padded, 0.5, 0.5)
    if not len(found) or found.landmarks is None:
        return None
    i = central_face(found, padded.shape[1], padded.shape[0])
    return Subject(padded, found.boxes[i], found.landmarks[i])
