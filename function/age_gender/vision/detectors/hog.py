"""The ``fast`` detector: dlib's HOG sliding window, with its real score.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005. The five
linear filters (frontal, two half profiles, two rolled) are the ones built into dlib (King 2009).
Their window is 80 pixels, so the image is scaled until the smallest face wanted fills it, and then
down in steps. dlib would scan these pyramid levels one after the other; here, several are scanned
in parallel.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import dlib
import numpy as np

from age_gender.errors import ModelUnavailable
from age_gender.networks.engine import Engine
from age_gender.vision import suppression
from age_gender.vision.detectors.base import Detections, InputScale, top_k
from age_gender.vision.detectors.registry import DETECTORS
from age_gender.vision.geometry import Float, Image, ios_matrix, resize_quickly

FILTERS = Path(__file__).with_name("hog.svm")
"""dlib's own filters, which take it half a second to unpack. ``modelbuild/hog.py`` writes them
for a single level, which dlib's API cannot request."""

CONFIDENCE_MIDPOINT = -0.1
CONFIDENCE_SLOPE = 6.0
"""Logistic curve from dlib's score (distance from the hyperplane) to 0-1."""
MIN_SCORE = -1.0
"""Windows below this are noise, and slow to collect, whatever confidence is asked for."""

STEP = 0.8
"""Scale of each pyramid level relative to the one before. dlib's 5/6 is 18 % slower and detects no
more faces."""
MIN_LEVEL = 64
"""Shorter side of the last level, pixels; dlib pads it to hold its window."""
MAX_IOS = 0.5
"""Intersection over the smaller window, above which two windows are one face seen at two levels."""

BOX_SHIFT = (0.0, -0.06)
BOX_SCALE = (0.93, 1.21)
"""From dlib's square window to a box as `accurate` draws it: shift of the centre and factors of the
sides, both in window sides."""

INPUT_SCALE = InputScale(
    default_min_face=DETECTORS["fast"].default_min_face,
    min_detectable=70.0,  # such a face still scores in the window of 80 pixels
    wanted_side=70.0,
    default_pixels=1280 * 1280,
    max_pixels=4096 * 3072,
)


def create(load_engine: Callable[[str], Engine], threads: int) -> "HogDetector":  # noqa: ARG001
    """Make the detector; see ``registry``."""
    return HogDetector(threads)


class HogDetector:
    """See the module's docstring; implements `Detector`."""

    name = "fast"
    min_detectable = INPUT_SCALE.min_detectable
    candidate_score = 0.3
    turned_score = 0.0

    def __init__(self, threads: int = 1):
        """Load nothing yet.

        Args:
            threads: levels scanned in parallel, over all images.
        """
        # A detector object shared by threads crashes the process, so each thread has its own.
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hog")

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        return INPUT_SCALE.scale_for(width, height, min_face)

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
        # Largest first, so that the threads finish at about the same time.
        scanned = list(self._pool.map(lambda level: self._scan(level, threshold), levels))
        windows = np.concatenate([np.zeros((0, 4), np.float32), *(w for w, _ in scanned)])
        scores = np.concatenate([np.zeros(0, np.float32), *(s for _, s in scanned)])
        best = top_k(scores)
        windows, scores = windows[best], scores[best]
        unique = suppression.nms(windows, scores, MAX_IOS, overlap=ios_matrix)
        boxes = _face_boxes(windows[unique] * np.array([width, height] * 2, np.float32))
        detections = Detections(boxes, confidence_of(scores[unique]))
        return detections.suppressed(nms).inside(width, height)

    def _scan(self, level: Image, threshold: float) -> tuple[Float, Float]:
        """Return windows ``[N, 4]`` as fractions of the level's sides, and scores ``[N]``."""
        if not hasattr(self._own, "detector"):
            self._own.detector = _load_filters(FILTERS)
        rectangles, scores, _ = self._own.detector.run(level, 0, threshold)
        corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
        sides = np.array([level.shape[1], level.shape[0]] * 2, np.float32)
        windows = np.array(corners, np.float32).reshape(-1, 4) / sides
        return windows, np.array(scores, np.float32)


def _load_filters(filters: Path) -> dlib.fhog_object_detector:
    try:
        return dlib.fhog_object_detector(str(filters))
    except RuntimeError as error:
        raise ModelUnavailable(
            f"{filters.name} of the fast detector is missing or damaged: reinstall the service"
        ) from error


def confidence_of(scores: Float) -> Float:
    """Map dlib's scores ``[N]`` to confidences 0-1, monotonically."""
    margin = np.asarray(scores) - CONFIDENCE_MIDPOINT
    return np.asarray(1 / (1 + np.exp(-CONFIDENCE_SLOPE * margin)), np.float32)


def score_for(confidence: float) -> float:
    """Invert `confidence_of`; at least `MIN_SCORE`."""
    p = min(max(confidence, 1e-6), 1 - 1e-6)
    score = CONFIDENCE_MIDPOINT + float(np.log(p / (1 - p))) / CONFIDENCE_SLOPE
    return max(score, MIN_SCORE)


def _levels(image: Image, scale: float) -> Iterator[Image]:
    """Yield the grey pyramid, uint8 ``[H, W]`` each, from ``scale`` until no window fits."""
    height, width = image.shape[:2]
    grey = source = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    while min(height, width) * scale >= MIN_LEVEL:
        level = resize_quickly(source, round(width * scale), round(height * scale))
        yield level
        if scale < 1 and source is grey:  # so that later levels need not read the whole image
            source = level
        scale *= STEP


def _face_boxes(windows: Float) -> Float:
    centres = (windows[:, :2] + windows[:, 2:]) / 2
    sides = windows[:, 2:] - windows[:, :2]
    centres = centres + sides * np.array(BOX_SHIFT, np.float32)
    half = sides * np.array(BOX_SCALE, np.float32) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
