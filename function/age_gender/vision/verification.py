"""From what a detector found to faces: turned as they are, with the probability of being faces."""

from dataclasses import dataclass

import numpy as np

from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.face_check import Evidence, FaceCheck
from age_gender.vision.geometry import Float, Image
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.orientation import orient
from age_gender.vision.whole_picture import find_face, whole_box

CANDIDATE_SCORE = 0.3
"""Detector's score from which boxes are looked at, unless less confidence is asked for."""
TURNED_CONFIDENCE = 0.9
"""Confidence from which a face in an image turned as a whole counts: these are three more chances
to be wrong, and the mesh sees a true face of that size well."""


@dataclass(frozen=True)
class Faces:
    """N boxes that may be faces.

    Attributes:
        detected: as the detector returned them.
        verified: the same boxes, in the same order; scores are the probabilities of being human
            faces, and landmarks those of the face as it is turned.
        logits: float32 ``[N]``, of the mesh, the best of all turns; NaN where it did not look.
    """

    detected: Detections
    verified: Detections
    logits: Float

    def confident(self, confidence: float) -> Detections:
        """Return the faces whose probability is at least ``confidence``, most probable first."""
        scores = self.verified.scores
        order = np.argsort(-scores, kind="stable")
        return self.verified[order[scores[order] >= confidence]]

    def possible(self, confidence: float) -> Detections:
        """Return what detector or verification take for a face, as far as ``confidence`` goes."""
        scores = np.maximum(self.detected.scores, self.verified.scores)
        return self.detected[np.flatnonzero(scores >= confidence)]


class FaceVerifier:
    """Verifies what detectors found. Safe to share between threads."""

    def __init__(self, mesh: FaceMesh, check: FaceCheck):
        """Take the face mesh, and the regression over its and the detectors' results."""
        self._mesh = mesh
        self._check = check

    def verify(self, image: Image, detected: Detections, detector: DetectorName) -> Faces:
        """Find out how each face is turned, and how likely it is one.

        Args:
            image: uint8 ``[H, W, 3]``, RGB.
            detected: faces in pixels of the image.
            detector: that found them.
        """
        height, width = image.shape[:2]
        found = orient(self._mesh, image, detected)
        evidence = Evidence.of(detected, found, width, height)
        scores = self._check.probabilities(detector, evidence)
        return Faces(detected, Detections(detected.boxes, scores, found.landmarks), found.best)

    def whole_picture(self, image: Image) -> Faces:
        """Take the picture for one face; verified is where in it the face is."""
        face = find_face(self._mesh, image)
        scores = self._check.probabilities("accurate", face.evidence)
        return Faces(whole_box(image), Detections(face.box, scores, face.landmarks), face.logits)


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
    upright = np.ascontiguousarray(np.rot90(image, turn))
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
