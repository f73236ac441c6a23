"""The ``fast`` detector: dlib's HOG sliding window, with its real score.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the five
linear filters (frontal, two half profiles, two rolled) are the ones built into dlib (King 2009).
Its window is 80 pixels, so the picture is scaled until the smallest face wanted fills it, and step
by step down from there. dlib would go through these steps one after the other. Here each is a job
of its own, and as many as there are CPUs are worked on at the same time.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import dlib
import numpy as np

from age_gender.errors import ModelUnavailable
from age_gender.vision.detectors.base import Detections, InputScale, top_k
from age_gender.vision.geometry import Float, Image, ios_matrix, keep_best, resize_quickly

FILTERS = Path(__file__).with_name("hog.svm")
"""dlib's own, which take it half a second to unpack, as ``modelbuild/hog.py`` writes them:
for one level, since dlib has no call that says so."""

CONFIDENCE_MIDPOINT = -0.1
CONFIDENCE_SLOPE = 6.0
"""The logistic curve from dlib's score (a distance from the hyperplane) to 0-1."""
MIN_SCORE = -1.0
"""Windows below this are noise, whatever confidence is asked for; asking costs time."""

STEP = 0.8
"""From each level of the pyramid to the next. dlib takes 5/6, which costs 18 % more and finds no
more."""
MIN_LEVEL = 64
"""Shorter side of the last level, pixels; dlib pads it to hold its window."""
MIN_COVERED = 0.5
"""Of two windows, the worse is dropped where more than this share of the smaller one is common:
they are one face seen at two levels."""

BOX_SHIFT = (0.0, -0.06)
BOX_SCALE = (0.93, 1.21)
"""dlib's square window to a box of the face as `accurate` draws it: shift of the centre and
factors of the sides, both in window sides."""


class HogDetector(InputScale):
    """See the module's docstring; implements `Detector`."""

    name = "fast"
    default_min_face = 40
    smallest_seen = 70.0  # most of a step of its pyramid (5/6) below the window still scores
    default_long_side = 1280
    max_long_side = 4096

    def __init__(self, threads: int = 1):
        """Load nothing yet.

        Args:
            threads: levels scanned at the same time, of all pictures together.
        """
        # One detector object used by several threads crashes the process, so each has its own.
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hog")

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        """See `Detector.detect`.

        Raises:
            ModelUnavailable: the filters cannot be read.
        """
        height, width = image.shape[:2]
        levels = _levels(image, self.scale_for(width, height, min_face))
        threshold = score_for(confidence)
        # The largest first, so that the threads end at about the same time.
        scanned = list(self._pool.map(lambda level: self._scan(level, threshold), levels))
        windows = np.concatenate([np.zeros((0, 4), np.float32), *(w for w, _ in scanned)])
        scores = np.concatenate([np.zeros(0, np.float32), *(s for _, s in scanned)])
        best = top_k(scores)
        windows, scores = windows[best], scores[best]
        once = keep_best(scores, ios_matrix(windows, windows) > MIN_COVERED)
        boxes = _face_boxes(windows[once] * np.array([width, height] * 2, np.float32))
        found = Detections(boxes, confidence_of(scores[once]))
        return found.suppressed(nms).inside(width, height)

    def _scan(self, level: Image, threshold: float) -> tuple[Float, Float]:
        """Windows ``[N, 4]`` as shares of the level's sides, and their scores ``[N]``."""
        if not hasattr(self._own, "detector"):
            self._own.detector = _loaded(FILTERS)
        rectangles, scores, _ = self._own.detector.run(level, 0, threshold)
        corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
        sides = np.array([level.shape[1], level.shape[0]] * 2, np.float32)
        windows = np.array(corners, np.float32).reshape(-1, 4) / sides
        return windows, np.array(scores, np.float32)


def _loaded(filters: Path) -> dlib.fhog_object_detector:
    try:
        return dlib.fhog_object_detector(str(filters))
    except RuntimeError as error:
        raise ModelUnavailable(
            f"{filters.name} of the fast detector is missing or damaged: install the service anew"
        ) from error


def confidence_of(scores: Float) -> Float:
    """Turn dlib's scores ``[N]`` into confidences 0-1, monotonically."""
    margin = np.asarray(scores) - CONFIDENCE_MIDPOINT
    return np.asarray(1 / (1 + np.exp(-CONFIDENCE_SLOPE * margin)), np.float32)


def score_for(confidence: float) -> float:
    """The inverse of `confidence_of`, at least `MIN_SCORE`."""
    inside = min(max(confidence, 1e-6), 1 - 1e-6)
    score = CONFIDENCE_MIDPOINT + float(np.log(inside / (1 - inside))) / CONFIDENCE_SLOPE
    return max(score, MIN_SCORE)


def _levels(image: Image, scale: float) -> Iterator[Image]:
    """The pyramid, uint8 ``[H, W]`` each, from ``scale`` down to where no window fits."""
    height, width = image.shape[:2]
    grey = source = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    while min(height, width) * scale >= MIN_LEVEL:
        level = resize_quickly(source, round(width * scale), round(height * scale))
        yield level
        if scale < 1 and source is grey:  # each further level would read the whole picture again
            source = level
        scale *= STEP


def _face_boxes(windows: Float) -> Float:
    centres = (windows[:, :2] + windows[:, 2:]) / 2
    sides = windows[:, 2:] - windows[:, :2]
    centres = centres + sides * np.array(BOX_SHIFT, np.float32)
    half = sides * np.array(BOX_SCALE, np.float32) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
