"""Joins the faces of a video's frames into tracks, so that a person is counted once.

Boxes are compared, nothing else: someone who leaves and comes back is another track, and nothing is
kept of anyone after the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import numpy as np

from age_gender.vision.face import Face
from age_gender.vision.geometry import Float, iou_matrix

MIN_IOU = 0.2
"""Of a face's boxes in two frames; a head turns and moves between them."""
MAX_MISSES = 2
"""Frames in which a face may be missing before its track ends."""


@dataclass
class Track:
    """One person in a video, as long as the boxes overlap.

    Attributes:
        number: from 1, in the order of appearance.
        box: the last one, pixels.
        ages: years, of each frame; of the reliable ones, if any is.
        log_odds: of male, summed over the same frames.
        misses: frames since the last box.
        reliable: whether any frame was.
    """

    number: int
    box: tuple[int, int, int, int]
    ages: list[float] = field(default_factory=list)
    log_odds: float = 0.0
    misses: int = 0
    reliable: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """The track as the reports print it, with what is known so far."""
        return {
            "track": self.number,
            "age": round(self.age, 1),
            "gender": self.gender,
            "gender_probability": round(self.gender_probability, 4),
            "reliable": self.reliable,
        }

    @property
    def age(self) -> float:
        """Median age, years."""
        return median(self.ages)

    @property
    def gender(self) -> Literal["M", "F"]:
        """The likelier gender over all frames."""
        return "M" if self.log_odds >= 0 else "F"

    @property
    def gender_probability(self) -> float:
        """Mean probability of `gender`, 0.5-1: frames of one face are no independent evidence."""
        return float(1 / (1 + np.exp(-abs(self.log_odds) / len(self.ages))))

    def add(self, face: Face) -> None:
        """Take in the face of one more frame, which has attributes."""
        self.box, self.misses = face.box, 0
        attributes = face.attributes
        assert attributes is not None  # `predict` always asks for them
        if self.ages and self.reliable and not attributes.reliable:
            return
        if attributes.reliable and not self.reliable:
            self.ages, self.log_odds, self.reliable = [], 0.0, True
        p = min(max(attributes.gender_probability, 0.5), 1 - 1e-4)
        sign = 1 if attributes.gender == "M" else -1
        self.ages.append(attributes.age)
        self.log_odds += sign * float(np.log(p / (1 - p)))


class Tracker:
    """Assigns the faces of one video's frames, in their order, to tracks.

    Attributes:
        tracks: all so far.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self.tracks: list[Track] = []

    def add(self, faces: Sequence[Face]) -> list[Track]:
        """Return the track of each face of the next frame: the best overlap first, or a new one."""
        alive = [track for track in self.tracks if track.misses <= MAX_MISSES]
        for track in alive:
            track.misses += 1
        assigned: dict[int, Track] = {}
        if alive and faces:
            now, before = ([item.box for item in items] for items in (faces, alive))
            overlap = iou_matrix(_boxes(now), _boxes(before))
            while overlap.max() >= MIN_IOU:
                row, column = divmod(int(overlap.argmax()), len(alive))
                assigned[row] = alive[column]
                overlap[row, :] = overlap[:, column] = -1
        for i, face in enumerate(faces):
            if i not in assigned:
                assigned[i] = Track(len(self.tracks) + 1, face.box)
                self.tracks.append(assigned[i])
            assigned[i].add(face)
        return [assigned[i] for i in range(len(faces))]


def _boxes(boxes: Sequence[tuple[int, int, int, int]]) -> Float:
    return np.array(boxes, np.float32).reshape(-1, 4)
