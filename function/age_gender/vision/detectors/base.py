"""What every detector takes and gives."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, clip_boxes, nms

MAX_CANDIDATES = 1000
"""Boxes that go into non-maximum suppression, whose time and memory are quadratic."""


def top_k(scores: Float) -> NDArray[np.intp]:
    """Indices of the `MAX_CANDIDATES` best of ``[N]`` scores; of all, in order, if N is less."""
    if len(scores) <= MAX_CANDIDATES:
        return np.arange(len(scores))
    return np.argpartition(-scores, MAX_CANDIDATES)[:MAX_CANDIDATES]


@dataclass(frozen=True)
class Detections:
    """Faces found in one picture, best first.

    Attributes:
        boxes: float32 ``[N, 4]``, ``x1, y1, x2, y2`` in pixels, not yet clipped.
        scores: float32 ``[N]``, 0-1.
        landmarks: float32 ``[N, 5, 2]`` in pixels (order: see ``geometry``), or None from a
            detector that gives none.
    """

    boxes: Float
    scores: Float
    landmarks: Float | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray[np.intp]) -> "Detections":
        landmarks = None if self.landmarks is None else self.landmarks[index]
        return Detections(self.boxes[index], self.scores[index], landmarks)

    def suppressed(self, iou_threshold: float) -> "Detections":
        """Keep the best of every group of boxes that overlap by more than ``iou_threshold``."""
        return self[nms(self.boxes, self.scores, iou_threshold)]

    def scaled(self, factor: float) -> "Detections":
        """The same faces in a picture that is ``factor`` times as large."""
        if factor == 1:
            return self
        landmarks = None if self.landmarks is None else self.landmarks * np.float32(factor)
        return Detections(self.boxes * np.float32(factor), self.scores, landmarks)

    def inside(self, width: int, height: int) -> "Detections":
        """Drop the boxes of which nothing lies in a picture of ``width`` x ``height`` pixels."""
        clipped = clip_boxes(self.boxes, width, height)
        visible = (clipped[:, 2:] - clipped[:, :2] >= 1).all(axis=1)
        return self[np.flatnonzero(visible)]


class Detector(Protocol):
    """A face detector. Safe to share between threads."""

    name: str
    default_min_face: int
    """Smallest face looked for when the caller does not say, in pixels."""

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """Scale at which this detector looks at a picture, given as to `detect`."""
        ...

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        """Find faces.

        Args:
            image: uint8 ``[H, W, 3]``, RGB, upright.
            confidence: least score of a face returned, 0-1.
            nms: IoU above which the worse of two boxes is dropped, 0-1.
            min_face: side of the smallest face wanted, pixels of ``image``; larger is faster.
                None: the detector's default, which grows with large pictures.
        """
        ...


def working_scale(
    width: int,
    height: int,
    min_face: float | None,
    *,
    default_min_face: int,
    smallest_seen: float,
    default_long_side: int,
    max_long_side: int,
) -> float:
    """Scale at which to look at a picture so that the smallest face wanted is just seen.

    Args:
        width: picture's width in pixels.
        height: picture's height in pixels.
        min_face: as asked by the caller.
        default_min_face: what None means on pictures up to ``default_long_side``.
        smallest_seen: side of the smallest face that the detector finds, pixels of its input.
        default_long_side: longer side of the detector's input that None may ask for.
        max_long_side: longer side of the detector's input at all, which bounds time and memory.
    """
    long_side = max(width, height)
    if min_face is None:
        return min(smallest_seen / default_min_face, default_long_side / long_side)
    return min(smallest_seen / min_face, max_long_side / long_side)


class InputScale:
    """What detectors have in common that look at a picture at the scale of `working_scale`.

    The attributes are its arguments of the same names.
    """

    default_min_face: int
    smallest_seen: float
    default_long_side: int
    max_long_side: int

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        return working_scale(
            width,
            height,
            min_face,
            default_min_face=self.default_min_face,
            smallest_seen=self.smallest_seen,
            default_long_side=self.default_long_side,
            max_long_side=self.max_long_side,
        )
