"""The ``fast`` detector: dlib's HOG sliding window, with its real score.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the five
linear filters (frontal, two half profiles, two rolled) are the ones built into dlib (King 2009).
Its window is 80 pixels, so the picture is scaled until the smallest face wanted fills it.
"""

from queue import Empty, SimpleQueue

import cv2
import dlib
import numpy as np

from age_gender.detectors.base import Detections, Scaled
from age_gender.geometry import Float, Image, resize

CONFIDENCE_MIDPOINT = -0.1
CONFIDENCE_SLOPE = 6.0
"""The logistic curve from dlib's score (a distance from the hyperplane) to 0-1."""
LEAST_SCORE = -1.0
"""Windows below this are noise, whatever confidence is asked for; asking costs time."""

BOX_SHIFT = (0.0, -0.06)
BOX_SCALE = (0.93, 1.21)
"""dlib's square window to a box of the face as `accurate` draws it: shift of the centre and
factors of the sides, both in window sides."""


class HogDetector(Scaled):
    """See the module's docstring; implements `Detector`."""

    name = "fast"
    default_min_face = 40
    smallest_seen = 70.0  # most of a step of its pyramid (5/6) below the window still scores
    default_long_side = 1280
    most_long_side = 4096

    def __init__(self) -> None:
        # One detector object used by several threads crashes the process, so each call takes one
        # for itself; there come to be as many as calls were ever in progress at the same time.
        self._idle: SimpleQueue[dlib.fhog_object_detector] = SimpleQueue()

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: int | None = None
    ) -> Detections:
        """See `Detector.detect`."""
        height, width = image.shape[:2]
        scale = self.scale_for(width, height, min_face)
        grey = _scaled_grey(image, scale)
        rectangles, scores = self._windows(grey, score_for(confidence))
        windows = np.array(
            [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles], np.float32
        ).reshape(-1, 4)
        shrink = np.array([grey.shape[1] / width, grey.shape[0] / height] * 2, np.float32)
        found = Detections(_face_boxes(windows / shrink), confidence_of(np.array(scores)))
        return found.suppressed(nms).inside(width, height)

    def _windows(self, grey: Image, threshold: float) -> tuple[list[dlib.rectangle], list[float]]:
        try:
            detector = self._idle.get_nowait()
        except Empty:
            detector = dlib.get_frontal_face_detector()
        try:
            rectangles, scores, _ = detector.run(grey, 0, threshold)
        finally:
            self._idle.put(detector)
        return rectangles, scores


def confidence_of(scores: Float) -> Float:
    """Turn dlib's scores ``[N]`` into confidences 0-1, monotonically."""
    margin = np.asarray(scores) - CONFIDENCE_MIDPOINT
    return np.asarray(1 / (1 + np.exp(-CONFIDENCE_SLOPE * margin)), np.float32)


def score_for(confidence: float) -> float:
    """The inverse of `confidence_of`, at least `LEAST_SCORE`."""
    inside = min(max(confidence, 1e-6), 1 - 1e-6)
    score = CONFIDENCE_MIDPOINT + float(np.log(inside / (1 - inside))) / CONFIDENCE_SLOPE
    return max(score, LEAST_SCORE)


def _scaled_grey(image: Image, scale: float) -> Image:
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return resize(
        np.asarray(grey, np.uint8), max(1, round(width * scale)), max(1, round(height * scale))
    )


def _face_boxes(windows: Float) -> Float:
    centres = (windows[:, :2] + windows[:, 2:]) / 2
    sides = windows[:, 2:] - windows[:, :2]
    centres = centres + sides * np.array(BOX_SHIFT, np.float32)
    half = sides * np.array(BOX_SCALE, np.float32) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
