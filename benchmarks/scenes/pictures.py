"""Makes pictures of one face: at any size, place and turn, and with things wrong in them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from age_gender.vision.geometry import Float, Image, iou_matrix, resize
from testing import photos
from training import defects

MARGIN = 0.9
"""Distance from a face's centre to the edge of its crop, in sides of the face."""
BACKGROUND = (120, 120, 120)
BORDERS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
"""Directions to them."""
FACE = 192
"""Height of a face that is neither large nor small, pixels; less where the source has less."""
MOTION = 0.15
"""Length of the motion blur, in heights of the face."""
EXPOSURE = 4
"""How many times as long an overexposed picture is exposed."""


@dataclass(frozen=True)
class Scene:
    """A picture of one face, or a face cut out with its surroundings.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        box: of the face, float32 ``[4]``, pixels; may reach over the border.
        landmarks: of the face, float32 ``[5, 2]``, pixels, if they are known.
    """

    image: Image
    box: Float
    landmarks: Float | None = None

    @property
    def height(self) -> float:
        """Height of the face, pixels."""
        return float(self.box[3] - self.box[1])


@cache
def faces() -> tuple[Scene, ...]:
    """Labelled faces of photos, neither turned nor close to another one."""
    return tuple(
        cut(photos.decoded(photo.data), photo.boxes[i])
        for photo in [*photos.portraits(), *photos.groups()]
        for i, person in enumerate(photo.people)
        if not person.turned and _is_alone(photo.boxes, i)
    )


def _is_alone(boxes: Float, index: int) -> bool:
    x1, y1, x2, y2 = boxes[index]
    x, y, reach = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) * MARGIN
    others = np.delete(boxes, index, axis=0)
    crop = np.array([[x - reach, y - reach, x + reach, y + reach]], np.float32)
    return not iou_matrix(crop, others).any()


def cut(image: Image, box: Float) -> Scene:
    """Cut a square around a face.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; its edge pixels are repeated where it ends.
        box: of the face, ``[4]``, pixels.
    """
    x1, y1, x2, y2 = box
    reach = math.ceil(max(x2 - x1, y2 - y1) * MARGIN)
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    x, y = int(x1 + x2) // 2, int(y1 + y2) // 2
    crop = np.asarray(padded[y : y + 2 * reach, x : x + 2 * reach], np.uint8)
    return Scene(crop, (box - np.tile([x - reach, y - reach], 2)).astype(np.float32))


def scene(
    face: Scene,
    size: tuple[int, int],
    height: float,
    centre: tuple[float, float],
    degrees: float = 0,
) -> Scene:
    """Put a face into a picture.

    Args:
        face: with its surroundings.
        size: width and height of the picture, pixels.
        height: of the face, pixels.
        centre: of the face, pixels.
        degrees: its turn, clockwise.
    """
    zoom = height / face.height
    side = max(2, round(face.image.shape[0] * zoom))
    image = resize(face.image, side, side)
    box = face.box * np.float32(zoom)
    middle = (box[:2] + box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -degrees, 1)
    turn[:, 2] = turn[:, 2] + np.array(centre) - middle
    picture = cv2.warpAffine(image, turn, size, flags=cv2.INTER_LINEAR, borderValue=BACKGROUND)
    half = (box[2:] - box[:2]) / 2
    if degrees % 180 == 90:
        half = half[::-1]
    corners = np.concatenate([np.array(centre) - half, np.array(centre) + half])
    landmarks = None
    if face.landmarks is not None:
        points = face.landmarks * np.float32(zoom)
        landmarks = (points @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    return Scene(np.asarray(picture, np.uint8), corners.astype(np.float32), landmarks)


def usual_height(face: Scene) -> float:
    """Height at which a face is neither large nor enlarged, pixels."""
    return min(FACE, face.height)


def close(face: Scene, side: int, share: float) -> Scene:
    """Put a face into the middle of a square.

    Args:
        face: with its surroundings.
        side: of the square, pixels.
        share: height of the face in sides of the square.
    """
    return scene(face, (side, side), side * share, (side / 2, side / 2))


def turned(face: Scene, degrees: float) -> Scene:
    """Put a face into a square of three times its height, turned clockwise by ``degrees``."""
    height = usual_height(face)
    side = round(height * 3)
    return scene(face, (side, side), height, (side / 2, side / 2), degrees)


def at_border(face: Scene, border: str, outside: float) -> Scene:
    """Put a face at a border of a picture of 640x480.

    Args:
        face: with its surroundings.
        border: one of `BORDERS`.
        outside: part of the face beyond it, 0-1; if negative, the distance from it, in faces.
    """
    direction = np.array(BORDERS[border])
    size, height = (640, 480), usual_height(face)
    width = height * float((face.box[2] - face.box[0]) / face.height)
    edge = np.array(size) * (1 + direction) / 2
    x, y = edge + (outside - 0.5) * np.array([width, height]) * direction
    return scene(face, size, height, (float(x), float(y)))


Change = Callable[[Scene, np.random.Generator], Image]


def unchanged(picture: Scene, _: np.random.Generator) -> Image:
    """The image as it is."""
    return picture.image


def moved(picture: Scene, rng: np.random.Generator) -> Image:
    """Blur as by a camera that moves, in any direction."""
    return defects.moved(picture.image, MOTION * picture.height, float(rng.uniform(0, np.pi)))


def overexposed(picture: Scene, _: np.random.Generator) -> Image:
    """Expose `EXPOSURE` times as long."""
    return np.asarray(np.minimum(picture.image.astype(np.uint16) * EXPOSURE, 255), np.uint8)


def _drawn(defect: defects.Defect) -> Change:
    def changed(picture: Scene, rng: np.random.Generator) -> Image:
        landmarks = picture.landmarks
        assert landmarks is not None
        return defect(picture.image, picture.box, landmarks, rng)

    return changed


CHANGES: dict[str, Change] = {
    "unchanged": unchanged,
    "motion": moved,
    "defocus": _drawn(defects.defocus),
    "overexposed": overexposed,
    "underexposed": _drawn(defects.underexposed),
    "mask": _drawn(defects.mask),
    "dark glasses": _drawn(defects.dark_glasses),
    "hand": _drawn(defects.hand),
}
"""What may be wrong with a picture; most of it is drawn by ``training.defects``."""


def changed(face: Scene, name: str, seed: int) -> Scene:
    """Put a face into a picture with something wrong.

    Args:
        face: with its surroundings and landmarks.
        name: one of `CHANGES`.
        seed: of what is random about it.
    """
    picture = turned(face, 0)
    return replace(picture, image=CHANGES[name](picture, np.random.default_rng(seed)))


@dataclass(frozen=True)
class Picture:
    """What is sent, and the faces in it.

    Attributes:
        data: an encoded picture.
        size: width and height, pixels.
        boxes: of the faces, float32 ``[N, 4]``, pixels.
    """

    data: bytes
    size: tuple[int, int]
    boxes: Float


def sent(image: Image, boxes: Float) -> Picture:
    """Encode a picture as JPEG.

    Args:
        image: uint8 ``[H, W, 3]``, RGB.
        boxes: of the faces in it, ``[N, 4]``.
    """
    return Picture(photos.encoded(image), (image.shape[1], image.shape[0]), boxes)


def several(
    people: Sequence[Scene], size: tuple[int, int], height: float, background: int
) -> Picture:
    """Put faces into the cells of a grid over a long or large picture, with what is around them.

    Args:
        people: to put in, at least one.
        size: width and height of the picture, pixels.
        height: of the faces, pixels.
        background: grey value.
    """
    width, tall = size
    rows = max(1, round(math.sqrt(len(people) * tall / width)))
    columns = math.ceil(len(people) / rows)
    image = np.full((tall, width, 3), background, np.uint8)
    boxes = []
    for number, face in enumerate(people):
        zoom = height / face.height
        small = resize(face.image, *(max(2, round(n * zoom)) for n in face.image.shape[1::-1]))
        row, column = divmod(number, columns)
        x = round((column + 0.5) * width / columns - small.shape[1] / 2)
        y = round((row + 0.5) * tall / rows - small.shape[0] / 2)
        image[y : y + small.shape[0], x : x + small.shape[1]] = small
        boxes.append(face.box * zoom + np.tile([x, y], 2))
    return sent(image, np.array(boxes, np.float32))
