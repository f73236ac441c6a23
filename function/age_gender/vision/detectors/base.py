"""What every detector takes and returns."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, clip_boxes, nms

MAX_CANDIDATES = 1000
"""Boxes that enter non-maximum suppression, whose time and memory are quadratic."""


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
        """Keep the best of each group of boxes whose IoU is above ``iou_threshold``."""
        return self[nms(self.boxes, self.scores, iou_threshold)]

    def scaled(self, factor: float) -> "Detections":
        """Convert to the pixels of an image that is ``factor`` times as large."""
        if factor == 1:
            return self
        landmarks = None if self.landmarks is None else self.landmarks * np.float32(factor)
        return Detections(self.boxes * np.float32(factor), self.scores, landmarks)

    def inside(self, width: int, height: int) -> "Detections":
        """Drop boxes that lie outside an image of ``width`` x ``height`` pixels."""
        clipped = clip_boxes(self.boxes, width, height)
        visible = (clipped[:, 2:] - clipped[:, :2] >= 1).all(axis=1)
        return self[np.flatnonzero(visible)]


class Detector(Protocol):
    """A face detector. Safe to share between threads."""

    name: str
    """Its name in the registry."""

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
    """Chooses the scale at which the smallest face wanted is just large enough to be detected.

    Attributes:
        default_min_face: smallest face wanted by default, pixels of the image.
        min_detectable: smallest face that the detector reliably detects, pixels of its input.
        default_long_side: maximum longer side of the input by default; larger images are searched
            for larger faces only.
        max_long_side: maximum longer side of the input in any case, which bounds time and memory.
    """

    default_min_face: int
    min_detectable: float
    default_long_side: int
    max_long_side: int

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        long_side = max(width, height)
        if min_face is None:
            return min(
                self.min_detectable / self.default_min_face, self.default_long_side / long_side
            )
        return min(self.min_detectable / min_face, self.max_long_side / long_side)
