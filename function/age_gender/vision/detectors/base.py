"""What every detector takes and returns."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, box_sides, clip_boxes
from age_gender.vision.suppression import distinct_faces

MAX_CANDIDATES = 1000
"""Boxes that enter non-maximum suppression, whose time is quadratic if none overlap."""


def top_k(scores: Float) -> NDArray[np.intp]:
    """Indices of the `MAX_CANDIDATES` best of ``[N]`` scores; of all, in order, if N is less."""
    if len(scores) <= MAX_CANDIDATES:
        return np.arange(len(scores))
    return np.argpartition(-scores, MAX_CANDIDATES)[:MAX_CANDIDATES]


@dataclass(frozen=True)
class Detections:
    """N faces detected in one image, best first.

    Attributes:
        boxes: float32 ``[N, 4]``, ``x1, y1, x2, y2`` in pixels, not yet clipped.
        scores: float32 ``[N]``, 0-1.
        landmarks: float32 ``[N, 5, 2]`` in pixels (order: see ``geometry``), or None if the
            detector has none.
        highest: highest score of all places in the image, also of those that are not among the
            faces; 1 where it is not known.
    """

    boxes: Float
    scores: Float
    landmarks: Float | None = None
    highest: float = 1.0

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray[np.intp]) -> "Detections":
        landmarks = None if self.landmarks is None else self.landmarks[index]
        return Detections(self.boxes[index], self.scores[index], landmarks, self.highest)

    @property
    def sides(self) -> Float:
        """Longer side of each box, pixels, ``[N]``."""
        return box_sides(self.boxes)

    def suppressed(self, iou_threshold: float) -> "Detections":
        """Keep the best box of each face; see `suppression.distinct_faces`."""
        kept = distinct_faces(self.boxes, self.scores, self.landmarks, iou_threshold)
        return self[kept]

    def scaled(self, factor: float, down: float | None = None) -> "Detections":
        """Convert to the pixels of an image that is ``factor`` times as large.

        Args:
            factor: across, and down as well without the other.
            down: if it differs a little, as after rounding to whole pixels.
        """
        down = factor if down is None else down
        if factor == down == 1:
            return self
        factors = np.array([factor, down], np.float32)
        landmarks = None if self.landmarks is None else self.landmarks * factors
        return replace(self, boxes=self.boxes * np.tile(factors, 2), landmarks=landmarks)

    def moved(self, x: float, y: float) -> "Detections":
        """Convert to the pixels of an image in which this one's corner is at ``x, y``."""
        if x == y == 0:
            return self
        shift = np.array([x, y], np.float32)
        landmarks = None if self.landmarks is None else self.landmarks + shift
        return replace(self, boxes=self.boxes + np.tile(shift, 2), landmarks=landmarks)

    def inside(self, width: int, height: int) -> "Detections":
        """Drop boxes that lie outside an image of ``width`` x ``height`` pixels."""
        inside = clip_boxes(self.boxes, width, height)
        visible = (inside[:, 2:] - inside[:, :2] >= 1).all(axis=1)
        return self if visible.all() else self[np.flatnonzero(visible)]


def joined(*parts: Detections) -> Detections:
    """Put detections in one image together; all of them or none have landmarks.

    Not best first: `Detections.suppressed` sorts.
    """
    points = [part.landmarks for part in parts if part.landmarks is not None]
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(points) if points else None,
        max(part.highest for part in parts),
    )


class Detector(Protocol):
    """A face detector. Safe to share between threads."""

    name: str
    """Its name in the registry."""

    min_detectable: float
    """Side from which it detects most faces, pixels of its input."""

    candidate_score: float
    """Score from which a candidate is worth a closer look by something else."""

    turned_score: float
    """Score that a face has at least, however it is turned; see `Detections.highest`."""

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """Scale at which an image of ``width`` x ``height`` pixels is searched.

        Args:
            width: of the image, pixels.
            height: of the image, pixels.
            min_face: as for `detect`.
        """
        ...

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        """Detect faces.

        Args:
            image: uint8 ``[H, W, 3]``, RGB, upright.
            confidence: minimum score, 0-1.
            nms: IoU above which the worse of two boxes is dropped, 0-1.
            min_face: side of the smallest face wanted, pixels of ``image``; larger is faster.
                None: the detector's default, which grows with large images.
        """
        ...


@dataclass(frozen=True)
class InputScale:
    """Chooses the scale at which the smallest face wanted is large enough to be detected.

    Attributes:
        default_min_face: smallest face wanted by default, pixels of the image.
        min_detectable: side from which most faces are detected, pixels of the input.
        wanted_side: side that the smallest face gets in the input where its size was asked for, so
            that hardly any is missed.
        default_pixels: of the input by default; larger images are searched for larger faces only.
            An area and not a side, because a long image costs no more than a square one.
        max_pixels: of the input in any case, which bounds time and memory.
    """

    default_min_face: int
    min_detectable: float
    wanted_side: float
    default_pixels: int
    max_pixels: int

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        if min_face is None:
            scale, pixels = self.min_detectable / self.default_min_face, self.default_pixels
        else:
            scale, pixels = self.wanted_side / min_face, self.max_pixels
        return min(scale, math.sqrt(pixels / (width * height)))
