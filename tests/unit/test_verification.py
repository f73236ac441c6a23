"""What detectors found becomes faces, also in images that are turned as a whole."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from age_gender.limits.cpus import CpuShares
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.decode import DecodedImage
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.registry import DETECTORS
from age_gender.vision.pipeline import Options, Pipeline, Result
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.turned import detect_turned, turned_back
from age_gender.vision.verification import Faces, FaceVerifier, estimated
from tests.unit.fakes import FakeDetector, TrustingVerifier, detections, estimator
from tests.unit.pictures import Pixels

WIDTH, HEIGHT = 200, 120
SPOT = (30, 20, 70, 50)
"""Where the only bright pixels of `image` are."""


def image() -> Pixels:
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    dark[SPOT[1] : SPOT[3], SPOT[0] : SPOT[2]] = 255
    return dark


class UprightDetector(FakeDetector):
    """Finds the bright spot where it lies in the lower right corner of a wide image."""

    def __init__(self) -> None:
        super().__init__(detections())

    def detect(
        self, image: Pixels, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        self.asked.append((confidence, nms, min_face))
        height, width = image.shape[:2]
        rows, columns = np.nonzero(image[..., 0])
        if width < height or columns.min() < width / 2:
            return detections()
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return detections(corners, landmarks=True)


class ScoringVerifier(FaceVerifier):
    """Gives the probabilities that a test chooses."""

    def __init__(self, probabilities: list[float]):
        self._scores = np.array(probabilities, np.float32)

    def verify(
        self,
        image: Pixels,
        detected: Detections,
        detector: str,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> Faces:
        faces = estimated(image, detected, estimator, watch)
        return replace(faces, verified=replace(detected, scores=self._scores))


def run(detector: FakeDetector, verifier: FaceVerifier, **options: Any) -> Result:
    pipeline = Pipeline(
        lambda _: detector, estimator, lambda: verifier, cpus=CpuShares(1), engine="litert"
    )
    return pipeline.run(DecodedImage(image()), Options(**{"return_image": False, **options}))


class TestTurnedImages:
    @pytest.mark.parametrize("turn", [1, 2, 3])
    def test_points_are_turned_back(self, turn: int) -> None:
        marked = np.zeros((HEIGHT, WIDTH), np.uint8)
        marked[30, 150] = 1
        ((y, x),) = np.argwhere(np.rot90(marked, turn))
        centre = np.array([[[x + 0.5, y + 0.5]]], np.float32)
        assert turned_back(centre, turn, WIDTH, HEIGHT)[0, 0].tolist() == [150.5, 30.5]

    def test_boxes_and_landmarks_are_in_pixels_of_the_image(self) -> None:
        detector = UprightDetector()
        found = detect_turned(detector, "fast", image(), 2, 0.3, 0.5, None)
        assert found.boxes.tolist() == [list(SPOT)]
        assert found.landmarks is not None
        left_eye, *_, mouth = found.landmarks[0]
        assert left_eye[1] > mouth[1]
        assert detector.asked == [(0.3, 0.5, WIDTH / DETECTORS["fast"].turned_size)]

    def test_only_large_faces_are_looked_for(self) -> None:
        detector = UprightDetector()
        detect_turned(detector, "fast", image(), 2, 0.3, 0.5, 90)
        detect_turned(detector, "fast", image(), 2, 0.3, 0.5, 5)
        assert [asked[2] for asked in detector.asked] == [90, 25]

    def test_an_image_without_a_face_is_tried_turned(self) -> None:
        detector = UprightDetector()
        (face,) = run(detector, TrustingVerifier()).faces
        assert face.box == SPOT
        assert len(detector.asked) == 2

    def test_an_image_with_a_face_is_not_tried(self) -> None:
        detector = FakeDetector(detections((20, 20, 80, 80)))
        run(detector, TrustingVerifier())
        assert len(detector.asked) == 1

    @pytest.mark.parametrize(("highest", "looks"), [(0.09, 1), (0.1, 4)])
    def test_an_image_without_a_trace_of_one_is_not_tried(self, highest: float, looks: int) -> None:
        detector = FakeDetector(replace(detections(), highest=highest))
        assert run(detector, TrustingVerifier()).faces == []
        assert len(detector.asked) == looks

    def test_an_image_whose_only_face_is_none_is_tried(self) -> None:
        detector = FakeDetector(detections((20, 20, 80, 80)))
        assert run(detector, ScoringVerifier([0.2])).faces == []
        assert len(detector.asked) == 1 + len(DETECTORS["fast"].turns)


class TestConfidence:
    DETECTED = ((10, 10, 50, 50), (60, 10, 100, 50), (110, 10, 150, 50))
    """With scores of 0.9, 0.75 and 0.6."""

    def test_it_is_the_probability_and_orders_the_faces(self) -> None:
        faces = run(FakeDetector(detections(*self.DETECTED)), ScoringVerifier([0.6, 0.2, 0.95]))
        assert [face.confidence for face in faces.faces] == pytest.approx([0.95, 0.6])
        assert [face.box[0] for face in faces.faces] == [110, 10]

    @pytest.mark.parametrize(("confidence", "expected"), [(0.0, 3), (0.5, 2), (0.7, 1), (0.96, 0)])
    @pytest.mark.parametrize("attributes", [True, False])
    def test_it_is_the_limit(self, confidence: float, expected: int, attributes: bool) -> None:
        detector = FakeDetector(detections(*self.DETECTED))
        options = {"confidence": confidence, "get_attributes": attributes}
        result = run(detector, ScoringVerifier([0.6, 0.2, 0.95]), **options)
        assert len(result.faces) == expected
        assert detector.asked[0][0] == min(confidence, detector.candidate_score)

    @pytest.mark.parametrize(
        ("nms", "same", "count"), [(0.5, True, 1), (0.5, False, 2), (1, True, 2)]
    )
    def test_second_boxes_of_a_face_are_left_out(self, nms: float, same: bool, count: int) -> None:
        first = detections((20, 20, 80, 80), landmarks=True).landmarks
        assert first is not None
        points = np.repeat(first, 2, axis=0)

        class Verifier(ScoringVerifier):
            def verify(self, *arguments: Any) -> Faces:
                faces = super().verify(*arguments)
                return replace(faces, verified=replace(faces.verified, landmarks=points))

        detector = FakeDetector(detections((20, 20, 80, 80), (20, 45, 80, 105), landmarks=True))
        verifier = (Verifier if same else ScoringVerifier)([0.8, 0.9])
        faces = run(detector, verifier, nms=nms).faces
        assert len(faces) == count
        assert faces[0].box == (20, 45, 80, 105)

    def test_what_may_be_a_face_is_blurred(self) -> None:
        verifier = ScoringVerifier([0.1, 0.8, 0.1])
        faces = verifier.verify(
            image(), detections(*self.DETECTED), "fast", estimator(), Stopwatch()
        )
        assert faces.confident(0.7).tolist() == [1]
        assert faces.possible(0.7).boxes[:, 0].tolist() == [10, 60]

    def test_nothing_found_needs_no_mesh(self) -> None:
        class Missing(FaceVerifier):
            def __init__(self) -> None:
                raise AssertionError("loaded")

        pipeline = Pipeline(
            lambda _: FakeDetector(detections()),
            estimator,
            Missing,
            cpus=CpuShares(1),
            engine="litert",
        )
        assert pipeline.run(DecodedImage(image()), Options(get_attributes=False)).faces == []
