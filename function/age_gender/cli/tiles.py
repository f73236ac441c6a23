"""The faces of a contact sheet, and the histogram of their ages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from age_gender.cli.frames import Frame
from age_gender.cli.text import plural, printable
from age_gender.cli.tracks import Track
from age_gender.vision import render
from age_gender.vision.face import Face, Reason
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
        reliable: whether age and gender are.
        reasons: why they are not.
        track: of the person in a video, whose faces count once; None in a picture.
    """

    jpeg: bytes
    source: str
    age: float
    interval: tuple[float, float]
    gender: Literal["M", "F"]
    probability: float
    reliable: bool
    reasons: tuple[Reason, ...] = ()
    track: Track | None = None


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
        return summary(len(self.tiles), self.people, self.pictures)

    @property
    def people(self) -> int:
        """Number of faces, each track counted once."""
        return len(_once(self.tiles))


@dataclass(frozen=True)
class Bar:
    """Faces in one decade of age; the last bar is open-ended."""

    label: str
    women: int
    men: int


def summary(faces: int, people: int, pictures: int) -> str:
    """Put counts into words."""
    text = f"{plural(faces, 'face')} in {plural(pictures, 'picture')}"
    return text if people == faces else f"{plural(people, 'person', 'people')}: {text}"


def tiles_of(
    frame: Frame, faces: Sequence[Face], tracks: Sequence[Track] | None = None
) -> list[Tile]:
    """Cut out faces, which have attributes, as upright thumbnails.

    Args:
        frame: the image.
        faces: N faces in it.
        tracks: N, of the same; None for a picture.
    """
    if not faces:
        return []
    boxes = np.array([face.box for face in faces], np.float32)
    points = [face.landmarks for face in faces]
    landmarks = None if points[0] is None else np.array(points, np.float32)
    chips = warp_chips(frame.image, chip_transforms(boxes, landmarks, MARGIN, SIDE), SIDE)
    joined: Sequence[Track | None] = [None] * len(faces) if tracks is None else tracks
    rows = zip(faces, chips, joined, strict=True)
    return [_tile(frame, face, chip, track) for face, chip, track in rows]


def histogram(tiles: Sequence[Tile]) -> list[Bar]:
    """Count the people of each decade: 0-9, 10-19, ... 90 and more."""
    counts = {"F": [0] * DECADES, "M": [0] * DECADES}
    for tile in _once(tiles):
        person = tile.track or tile
        counts[person.gender][min(round(person.age) // 10, DECADES - 1)] += 1
    labels = [f"{start}-{start + 9}" for start in range(0, 10 * (DECADES - 1), 10)] + ["90+"]
    return [Bar(*bar) for bar in zip(labels, counts["F"], counts["M"], strict=True)]


def _once(tiles: Sequence[Tile]) -> list[Tile]:
    """All tiles of pictures, and one of each track."""
    return list({id(tile.track or tile): tile for tile in tiles}.values())


def _tile(frame: Frame, face: Face, chip: Image, track: Track | None) -> Tile:
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
        reasons=attributes.reasons,
        track=track,
    )
