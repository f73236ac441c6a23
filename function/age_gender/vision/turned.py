"""Detection in an image that is turned as a whole."""

import cv2
import numpy as np

from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.geometry import Float, Image

TURNED_CONFIDENCE = 0.9
"""Confidence from which a face in an image turned as a whole counts: these are more chances to be
wrong, and a true face of that size is clear."""
_TURNED_BACK = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_CLOCKWISE,
}
"""As ``np.rot90``, ten times as fast."""


def detect_turned(
    detector: Detector,
    name: DetectorName,
    image: Image,
    turn: int,
    confidence: float,
    nms: float,
    min_face: float | None,
) -> Detections:
    """Detect the large faces of an image that is turned as a whole.

    Args:
        detector: finds upright faces best.
        name: of the detector in the registry.
        image: uint8 ``[H, W, 3]``, RGB.
        turn: quarter turns by which its content is rotated clockwise.
        confidence: as for `Detector.detect`.
        nms: as for `Detector.detect`.
        min_face: as for `Detector.detect`; larger ones are searched for in any case.

    Returns:
        Faces in pixels of ``image``.
    """
    height, width = image.shape[:2]
    smallest = max(min_face or 0, max(width, height) / DETECTORS[name].turned_size)
    upright = np.asarray(cv2.rotate(image, _TURNED_BACK[turn]), np.uint8)
    found = detector.detect(upright, confidence, nms, smallest)
    corners = turned_back(found.boxes.reshape(-1, 2, 2), turn, width, height)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    landmarks = found.landmarks
    if landmarks is not None:
        landmarks = turned_back(landmarks, turn, width, height)
    return Detections(boxes, found.scores, landmarks)


def turned_back(points: Float, turn: int, width: int, height: int) -> Float:
    """Convert points of an image after ``np.rot90(image, turn)`` to pixels of the original.

    Args:
        points: ``[N, P, 2]``, pixels of the rotated image.
        turn: counterclockwise quarter turns, 1 to 3.
        width: of the original, pixels.
        height: of the original, pixels.

    Returns:
        float32 ``[N, P, 2]``.
    """
    x, y = points[..., 0], points[..., 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return np.stack(back[turn], axis=-1).astype(np.float32)
