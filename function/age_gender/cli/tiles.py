"""The faces of a contact sheet, and the histogram of their ages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from age_gender.cli.frames import Frame
from age_gender.cli.text import plural, printable
from age_gender.vision import render
from age_gender.vision.face import Face
from age_gender.vision.geometry import Image, chip_transforms, warp_chips

SIDE = 160
"""Width and height of a thumbnail in pixels."""
MARGIN = 1.3
"""Side of the area in a thumbnail, relative to the longer side of the face's box."""
DECADES = 10


@dataclass(frozen=True)
class Tile:
    """One face.

    Attributes:
        jpeg: thumbnail of `SIDE` x `SIDE` pixels.
        source: name of the image, printable.
        age: years.
        interval: years.
        gender: ``"M"`` or ``"F"``.
        probability: of that gender, 0.5 to 1.
        reliable: whether the image is good enough for age and gender.
    """

    jpeg: bytes
    source: str
    age: float
    interval: tuple[float, float]
    gender: Literal["M", "F"]
    probability: float
    reliable: bool


@dataclass(frozen=True)
class Sheet:
    """The content of a contact sheet.

    Attributes:
        tiles: faces in input order.
        pictures: number of images and frames read.
        failed: number of files that could not be read.
    """

    tiles: Sequence[Tile]
    pictures: int
    failed: int

    @property
    def summary(self) -> str:
        """The counts in words."""
        return f"{plural(len(self.tiles), 'face')} in {plural(self.pictures, 'picture')}"


@dataclass(frozen=True)
class Bar:
    """Faces in one decade of age; the last bar is open-ended."""

    label: str
    women: int
    men: int


def tiles_of(frame: Frame, faces: Sequence[Face]) -> list[Tile]:
    """Cut out faces, which have attributes, as upright thumbnails."""
    if not faces:
        return []
    boxes = np.array([face.box for face in faces], np.float32)
    points = [face.landmarks for face in faces]
    landmarks = None if points[0] is None else np.array(points, np.float32)
    chips = warp_chips(frame.image, chip_transforms(boxes, landmarks, MARGIN, SIDE), SIDE)
    return [_tile(frame, face, chip) for face, chip in zip(faces, chips, strict=True)]


def histogram(tiles: Sequence[Tile]) -> list[Bar]:
    """Count the faces of each decade: 0-9, 10-19, ... 90 and more."""
    counts = {"F": [0] * DECADES, "M": [0] * DECADES}
    for tile in tiles:
        counts[tile.gender][min(round(tile.age) // 10, DECADES - 1)] += 1
    labels = [f"{start}-{start + 9}" for start in range(0, 10 * (DECADES - 1), 10)] + ["90+"]
    return [Bar(*bar) for bar in zip(labels, counts["F"], counts["M"], strict=True)]


def _tile(frame: Frame, face: Face, chip: Image) -> Tile:
    attributes = face.attributes
    assert attributes is not None  # `predict` always asks for them
    return Tile(
        jpeg=render.encode_jpeg(chip),
        source=printable(frame.label),
        age=attributes.age,
        interval=attributes.age_interval,
        gender=attributes.gender,
        probability=attributes.gender_probability,
        reliable=attributes.reliable,
    )
