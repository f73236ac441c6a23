"""From what a detector found to faces: turned as they are, with the probability of being faces.

Each box is looked at by the network for age and gender, which runs in any case, and whose features
tell faces from what only looks like one. Where that leaves a doubt, or the face may be turned, the
face mesh looks, too; and where it finds the face turned, the chip is cut again. A second detector
looks at what is still in doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import AttributeEstimator, Attributes
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.registry import DetectorName
from age_gender.vision.face_check import Evidence, FaceCheck
from age_gender.vision.geometry import (
    Float,
    Image,
    box_sides,
    chip_transforms,
    ios_matrix,
    roll_angles,
    unmirrored,
    warp_chips,
)
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.orientation import MAX_ROLL, orient
from age_gender.vision.second_detector import SecondDetector
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.suppression import distinct_faces, whole_faces
from age_gender.vision.whole_image import find_face, whole_box

MAX_FACES = 300
"""Boxes verified in one image, those with the best scores. It bounds the time of a request for
overlapping boxes of any confidence."""
MAX_SECOND = 24
"""Largest of these that the second detector looks at; each takes 6 ms of CPU time."""
SURE = 0.99
"""Probability from which no more is asked; one clear face in eighteen to one in seven has less."""
UNLIKELY = 0.02
"""Probability below which the second detector is not asked."""
HALF_SHARED = 0.25
"""IoS of boxes from which one may be made of a half of the other."""
MOVED = 0.01
"""Change of a landmark, in sides of the box, from which a chip is cut again."""


@dataclass(frozen=True)
class Faces:
    """Boxes that may be faces, the N likeliest of them verified, N at least 1.

    Attributes:
        detected: all of them, as the detector returned them.
        verified: the first N of them, in the same order; scores are the probabilities of being
            human faces, and landmarks those of the face as it is turned.
        chips: uint8 ``[N, S, S, 3]``, RGB, as the model's specification describes them.
        attributes: of the same.
    """

    detected: Detections
    verified: Detections
    chips: Image
    attributes: Attributes

    def confident(self, confidence: float) -> NDArray[np.intp]:
        """Indices of those whose probability is at least ``confidence``, most probable first."""
        scores = self.verified.scores
        order = np.argsort(-scores, kind="stable")
        return order[scores[order] >= confidence]

    def distinct(self, rows: NDArray[np.intp], nms: float) -> NDArray[np.intp]:
        """Leave out second boxes of one face, and boxes of two halves, as final landmarks show.

        The detector's own may be on different sides of a face that is upside down, so that
        suppression by these leaves two boxes.

        Args:
            rows: indices of faces, most probable first.
            nms: overlap above which the worse of two boxes is dropped, see `distinct_faces`.
        """
        if len(rows) < 2 or self.verified.landmarks is None:
            return rows
        chosen = self.verified[rows]
        overlaps = ios_matrix(chosen.boxes, chosen.boxes) > min(nms, HALF_SHARED)
        if np.count_nonzero(overlaps) <= len(rows):  # with themselves only, as nearly always
            return rows
        rows = rows[distinct_faces(chosen.boxes, chosen.scores, chosen.landmarks, nms)]
        chosen = self.verified[rows]
        assert chosen.landmarks is not None
        return rows[whole_faces(chosen.boxes, chosen.landmarks)]

    def possible(self, confidence: float) -> Detections:
        """Return what detector or verification take for a face, as far as ``confidence`` goes."""
        scores = self.detected.scores.copy()
        verified = self.verified.scores
        scores[: len(verified)] = np.maximum(scores[: len(verified)], verified)
        return self.detected[np.flatnonzero(scores >= confidence)]

    def recut(
        self,
        image: Image,
        landmarks: Float,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> "Faces":
        """Take other landmarks, ``[N, 5, 2]``, and estimate anew where they differ much."""
        before = self.verified.landmarks
        assert before is not None
        distances = np.linalg.norm(landmarks - before, axis=2).max(axis=1)
        moved = np.flatnonzero(distances > MOVED * box_sides(self.verified.boxes))
        verified = replace(self.verified, landmarks=landmarks)
        if not len(moved):
            return replace(self, verified=verified)
        part = estimated(image, verified[moved], estimator, watch)
        chips = self.chips.copy()
        chips[moved] = part.chips
        attributes = self.attributes.with_rows(moved, part.attributes)
        return Faces(self.detected, verified, chips, attributes)


def estimated(
    image: Image, detections: Detections, estimator: AttributeEstimator, watch: Stopwatch
) -> Faces:
    """Cut the chip of each box, and estimate age and gender.

    Args:
        image: uint8 ``[H, W, 3]``, RGB.
        detections: N boxes in pixels of the image.
        estimator: the network.
        watch: takes the times of the stages.
    """
    chip = estimator.spec.chip
    with watch.stage("align"):
        transforms = chip_transforms(detections.boxes, detections.landmarks, chip.scale, chip.size)
        chips = warp_chips(image, transforms, chip.size)
    with watch.stage("attributes"):
        attributes = estimator.estimate(chips)
    return Faces(detections, detections, chips, attributes)


class FaceVerifier:
    """Verifies what detectors found. Safe to share between threads."""

    def __init__(
        self,
        mesh: Callable[[], FaceMesh],
        second: Callable[[], SecondDetector],
        check: FaceCheck,
    ):
        """Load nothing yet.

        Args:
            mesh: returns the face mesh, and loads it on first use.
            second: returns the second detector, and loads it on first use.
            check: the regressions over what all of them say.
        """
        self._mesh = mesh
        self._second = second
        self._check = check

    def verify(
        self,
        image: Image,
        detected: Detections,
        detector: DetectorName,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> Faces:
        """Find out how each face is turned, how likely it is one, and its age and gender.

        Args:
            image: uint8 ``[H, W, 3]``, RGB.
            detected: boxes in pixels of the image, at least one, best first.
            detector: that found them.
            estimator: the network for age and gender.
            watch: takes the times of the stages.
        """
        likeliest = detected[np.arange(min(len(detected), MAX_FACES))]
        if likeliest.landmarks is None:
            faces = self._by_mesh(image, likeliest, detector, estimator, watch)
        else:
            faces = self._by_features(image, likeliest, detector, estimator, watch)
        return replace(faces, detected=detected)

    def _by_mesh(
        self,
        image: Image,
        detected: Detections,
        detector: DetectorName,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> Faces:
        """Verify boxes of a detector that cannot tell where eyes and mouth are."""
        with watch.stage("verify"):
            orientations = orient(self._mesh(), image, detected)
        found = replace(detected, landmarks=orientations.landmarks)
        faces = estimated(image, found, estimator, watch)
        evidence = Evidence.of(detected, image.shape[1], image.shape[0])
        evidence = evidence.with_mesh(np.arange(len(detected)), orientations)
        evidence = _with_features(evidence, faces, estimator)
        return self._settled(image, faces, evidence, detector, watch)

    def _by_features(
        self,
        image: Image,
        detected: Detections,
        detector: DetectorName,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> Faces:
        """Verify boxes with landmarks; the mesh looks only at those in doubt."""
        assert detected.landmarks is not None
        landmarks = unmirrored(detected.landmarks)
        found = replace(detected, landmarks=landmarks)
        faces = estimated(image, found, estimator, watch)
        evidence = Evidence.of(detected, image.shape[1], image.shape[0])
        evidence = _with_features(evidence, faces, estimator)
        faces = self._scored(faces, evidence, detector)
        level = np.abs(roll_angles(landmarks)) <= MAX_ROLL
        doubtful = np.flatnonzero((faces.verified.scores < SURE) | ~level | evidence.turned)
        if not len(doubtful):
            return faces
        with watch.stage("verify"):
            orientations = orient(self._mesh(), image, detected[doubtful])
        landmarks = landmarks.copy()
        landmarks[doubtful] = orientations.landmarks
        faces = faces.recut(image, landmarks, estimator, watch)
        evidence = evidence.with_mesh(doubtful, orientations)
        evidence = _with_features(evidence, faces, estimator)
        return self._settled(image, faces, evidence, detector, watch)

    def _settled(
        self,
        image: Image,
        faces: Faces,
        evidence: Evidence,
        detector: DetectorName,
        watch: Stopwatch,
    ) -> Faces:
        """Give each box its probability, after a second detector's look at those in doubt."""
        faces = self._scored(faces, evidence, detector)
        known = evidence.variants == "both"
        scores = faces.verified.scores
        doubtful = np.flatnonzero(known & (scores >= UNLIKELY) & (scores < SURE))
        doubtful = doubtful[np.argsort(-evidence.sides[doubtful], kind="stable")[:MAX_SECOND]]
        if not len(doubtful):
            return faces
        boxes, landmarks = faces.verified.boxes[doubtful], faces.verified.landmarks
        level = np.zeros(len(doubtful), np.float32)
        with watch.stage("verify"):
            angles = level if landmarks is None else roll_angles(landmarks[doubtful])
            logits = self._second().logits(image, boxes, angles)
        return self._scored(faces, evidence.with_second(doubtful, logits), detector)

    def _scored(self, faces: Faces, evidence: Evidence, detector: DetectorName) -> Faces:
        """Give each box its probability."""
        scores = self._check.probabilities(detector, evidence)
        return replace(faces, verified=replace(faces.verified, scores=scores))

    def whole_image(self, image: Image, estimator: AttributeEstimator, watch: Stopwatch) -> Faces:
        """Take the picture for one face; verified is where in it the face is."""
        with watch.stage("verify"):
            face = find_face(self._mesh(), image)
        unscored = Detections(face.box, np.ones(1, np.float32), face.landmarks)
        faces = estimated(image, unscored, estimator, watch)
        evidence = _with_features(face.evidence, faces, estimator)
        settled = self._settled(image, faces, evidence, "accurate", watch)
        return replace(settled, detected=whole_box(image))


def _with_features(evidence: Evidence, faces: Faces, estimator: AttributeEstimator) -> Evidence:
    """Add what the network's features of each chip say."""
    return evidence.with_embedding(faces.attributes.embedding, estimator.spec.face_check)
