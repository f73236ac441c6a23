"""A second detector's opinion: where it looks, when it is asked, and what it says of pictures."""

from collections.abc import Mapping

import numpy as np
import pytest

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision import verification
from age_gender.vision.detectors.base import Detections
from age_gender.vision.face_check import Evidence, FaceCheck
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.second_detector import SCALES, SecondDetector
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.verification import FaceVerifier, estimated
from tests.unit.fakes import FakeEngine, Float, detections, estimator
from tests.unit.models import model
from tests.unit.pictures import noise, portrait

BOX = np.array([[77, 62, 173, 180]], np.float32)
"""The face of `portrait`."""
LEVEL = np.zeros(1, np.float32)


def brightness(chips: Float) -> Mapping[str, Float]:
    return {"face": chips.mean(axis=(1, 2, 3))[:, None]}


class TestWhereItLooks:
    def test_logits_are_means_over_the_scales(self) -> None:
        image = np.zeros((400, 400, 3), np.uint8)
        image[150:250, 150:250] = 200
        box = np.array([[150, 150, 250, 250]], np.float32)
        (mean,) = SecondDetector(FakeEngine(brightness)).logits(image, box, LEVEL)
        assert mean == pytest.approx(np.mean([200 / s**2 for s in SCALES]), rel=0.03)

    def test_chips_are_turned_with_the_face(self) -> None:
        image = np.zeros((400, 400, 3), np.uint8)
        image[:200] = 200

        def upper_half(chips: Float) -> Mapping[str, Float]:
            return {"face": chips[:, : chips.shape[1] // 2].mean(axis=(1, 2, 3))[:, None]}

        detector = SecondDetector(FakeEngine(upper_half))
        box = np.array([[150, 150, 250, 250]], np.float32)
        said = [detector.logits(image, box, LEVEL + np.float32(a))[0] for a in (0, np.pi)]
        assert said == pytest.approx([200, 0], abs=3)

    def test_each_box_has_its_own_row_in_batches(self) -> None:
        engine = FakeEngine(brightness, batch=2)
        image = np.zeros((100, 500, 3), np.uint8)
        for i in range(5):
            image[:, 100 * i : 100 * i + 100] = 40 * i
        boxes = np.array([[100 * i + 35, 35, 100 * i + 65, 65] for i in range(5)], np.float32)
        said = SecondDetector(engine).logits(image, boxes, np.zeros(5, np.float32))
        assert said == pytest.approx([0, 40, 80, 120, 160], abs=1)
        assert {shape[0] for shape in engine.shapes} == {1, 2}


class Asked(SecondDetector):
    """Says the same of all boxes, and records how many there were."""

    def __init__(self, logit: float):
        self._logit = logit
        self.counts: list[int] = []

    def logits(self, image: object, boxes: Float, angles: Float) -> Float:
        assert len(boxes) == len(angles)
        self.counts.append(len(boxes))
        return np.full(len(boxes), self._logit, np.float32)


class Chosen(FaceCheck):
    """Probabilities by what is known: before, and after the second detector."""

    def __init__(self, before: list[float], after: float):
        self._before = np.array(before, np.float32)
        self._after = after

    def probabilities(self, detector: str, evidence: Evidence) -> Float:
        return np.where(np.isnan(evidence.second), self._before, self._after).astype(np.float32)


class TestWhenItIsAsked:
    def settled(self, second: Asked, before: list[float], sides: list[float]) -> Float:
        def mesh() -> FaceMesh:
            raise AssertionError("asked the mesh")

        verifier = FaceVerifier(mesh, lambda: second, Chosen(before, 0.1))
        image = np.zeros((300, 300, 3), np.uint8)
        boxes = [(10, 10, 10 + side, 10 + side) for side in sides]
        found = detections(*boxes, landmarks=True)
        faces = estimated(image, found, estimator(), Stopwatch())
        known = np.full(len(boxes), 12, np.float32)
        nothing = Evidence.of(found, 300, 300)
        evidence = Evidence(
            nothing.scores,
            *(nothing.sides, nothing.visible, known, known, known, known, known),
            *(nothing.second, nothing.turned),
        )
        settled = verifier._settled(image, faces, evidence, "accurate", Stopwatch())
        return settled.verified.scores

    def test_only_about_what_is_in_doubt(self) -> None:
        second = Asked(-3)
        scores = self.settled(second, [0.999, 0.6, 0.999], [100, 100, 100])
        assert second.counts == [1]
        assert scores.tolist() == pytest.approx([0.999, 0.1, 0.999])

    def test_not_at_all_where_nothing_is(self) -> None:
        second = Asked(-3)
        self.settled(second, [0.999, 0.995], [100, 100])
        assert second.counts == []

    def test_not_about_tiny_faces_of_which_only_the_score_counts(self) -> None:
        second = Asked(-3)
        assert self.settled(second, [0.6, 0.6], [12, 100])[0] == pytest.approx(0.6)
        assert second.counts == [1]

    def test_about_a_bounded_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verification, "MAX_SECOND", 2)
        second = Asked(-3)
        scores = self.settled(second, [0.6] * 4, [60, 200, 40, 100])
        assert second.counts == [2]
        assert scores.tolist() == pytest.approx([0.6, 0.1, 0.6, 0.1])


@pytest.fixture(scope="module")
def detector() -> SecondDetector:
    return SecondDetector(LiteRTEngine(model("blazeface.tflite"), CpuShares(1)))


class TestRealNetwork:
    @pytest.mark.parametrize("turn", range(4))
    def test_a_portrait_is_a_face_however_it_is_turned(
        self, detector: SecondDetector, turn: int
    ) -> None:
        image = np.ascontiguousarray(np.rot90(portrait(), -turn))
        x1, y1, x2, y2 = BOX[0]
        boxes = [
            (x1, y1, x2, y2),
            (300 - y2, x1, 300 - y1, x2),
            (300 - x2, 300 - y2, 300 - x1, 300 - y1),
            (y1, 300 - x2, y2, 300 - x1),
        ]
        box = np.array([boxes[turn]], np.float32)
        assert detector.logits(image, box, LEVEL + np.float32(turn * np.pi / 2))[0] > 0.5

    def test_noise_and_plain_areas_are_none(self, detector: SecondDetector) -> None:
        for image in (noise(300, 300), np.full((300, 300, 3), 128, np.uint8)):
            assert detector.logits(image, BOX, LEVEL)[0] < -2

    def test_upside_down_in_the_chip_it_is_hardly_one(self, detector: SecondDetector) -> None:
        upright, reverse = (
            detector.logits(portrait(), BOX, LEVEL + np.float32(angle))[0] for angle in (0, np.pi)
        )
        assert reverse < upright - 0.5


def test_a_picture_that_is_no_face_has_no_landmarks_and_is_still_settled() -> None:
    second = Asked(-3)
    verifier = FaceVerifier(
        lambda: FaceMesh(LiteRTEngine(model("facemesh.tflite"), CpuShares(1))),
        lambda: second,
        Chosen([0.6], 0.1),
    )
    faces = verifier.whole_image(noise(200, 200), estimator(), Stopwatch())
    assert isinstance(faces.verified, Detections)
    assert faces.verified.landmarks is None
