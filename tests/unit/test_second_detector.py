"""A second detector's opinion: where it looks, when it is asked, and what it says of pictures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision import verification
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.face_check import Evidence, FaceCheck
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.model_spec import FaceClassifiers, Linear
from age_gender.vision.second_detector import SCALES, SecondDetector
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.verification import FaceVerifier, estimated
from tests.unit.fakes import FakeEngine, Float, detections, estimator, predicted_by_colour, spec
from tests.unit.models import model
from tests.unit.pictures import PORTRAIT_BOX, noise, portrait, rotated_portrait

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
        self.angles: list[list[float]] = []

    def logits(self, image: object, boxes: Float, angles: Float) -> Float:
        self.counts.append(len(boxes))
        self.angles.append(angles.tolist())
        return np.full(len(boxes), self._logit, np.float32)


class Chosen(FaceCheck):
    """Probabilities by what is known: before, and after the second detector."""

    def __init__(self, before: list[float], after: float):
        self._before = np.array(before, np.float32)
        self._after = after

    def probabilities(self, detector: str, evidence: Evidence) -> Float:
        return np.where(np.isnan(evidence.second), self._before, self._after).astype(np.float32)


class TestWhenItIsAsked:
    def settled(
        self, second: Asked, before: list[float], sides: list[float], rolls: Sequence[float] = ()
    ) -> Float:
        def mesh() -> FaceMesh:
            raise AssertionError("asked the mesh")

        verifier = FaceVerifier(mesh, lambda: second, Chosen(before, 0.1))
        image = np.zeros((300, 300, 3), np.uint8)
        boxes = [(10, 10, 10 + side, 10 + side) for side in sides]
        found = detections(*boxes, landmarks=True)
        assert found.landmarks is not None
        for i, roll in enumerate(rolls):
            centre = found.landmarks[i].mean(axis=0)
            turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
            found.landmarks[i] = (found.landmarks[i] - centre) @ turn.T + centre
        faces = estimated(image, found, estimator(), Stopwatch())
        known = np.full(len(boxes), 12, np.float32)
        seen = Evidence.of(found, 300, 300)
        evidence = replace(
            seen, own=known, best=known, overlap=known, distance=known, embedding=known
        )
        settled = verifier._settled(image, faces, evidence, "accurate", Stopwatch())
        return settled.verified.scores

    def test_only_about_what_is_in_doubt(self) -> None:
        second = Asked(-3)
        scores = self.settled(second, [0.999, 0.6, 0.999], [100, 100, 100])
        assert second.counts == [1]
        assert scores.tolist() == pytest.approx([0.999, 0.1, 0.999])

    def test_with_the_rotation_of_each_face(self) -> None:
        second = Asked(-3)
        self.settled(second, [0.999, 0.6, 0.7], [80, 100, 100], [0.1, 0.5, -0.4])
        assert second.angles[0] == pytest.approx([0.5, -0.4], abs=0.01)

    def test_not_about_what_is_surely_none(self) -> None:
        second = Asked(3)
        self.settled(second, [0.01, 0.001], [100, 100])
        assert second.counts == []

    def test_not_at_all_where_nothing_is(self) -> None:
        second = Asked(-3)
        self.settled(second, [0.999, 0.995], [100, 100])
        assert second.counts == []

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
        image, box = rotated_portrait(turn)
        assert detector.logits(image, box, LEVEL + np.float32(turn * np.pi / 2))[0] > 0.5

    def test_noise_and_plain_areas_are_none(self, detector: SecondDetector) -> None:
        for image in (noise(300, 300), np.full((300, 300, 3), 128, np.uint8)):
            assert detector.logits(image, PORTRAIT_BOX, LEVEL)[0] < -2

    def test_upside_down_in_the_chip_it_is_hardly_one(self, detector: SecondDetector) -> None:
        upright, reverse = (
            detector.logits(portrait(), PORTRAIT_BOX, LEVEL + np.float32(angle))[0]
            for angle in (0, np.pi)
        )
        assert reverse < upright - 0.5


def with_features() -> AttributeEstimator:
    """An estimator whose features tell nothing of a face."""
    nothing = Linear(weights=base64.b64encode(np.zeros(3, "<f2").tobytes()).decode(), bias=0.0)

    def answer(batch: Float) -> Mapping[str, Float]:
        embedding = np.ones((len(batch), 3), np.float32)
        return {**predicted_by_colour(batch), "embedding": embedding}

    check = FaceClassifiers(face=nothing, turned=nothing)
    return AttributeEstimator(FakeEngine(answer), spec().model_copy(update={"face_check": check}))


def test_a_picture_that_is_no_face_has_no_landmarks_and_is_asked_about_level() -> None:
    second = Asked(-3)
    verifier = FaceVerifier(
        lambda: FaceMesh(LiteRTEngine(model("facemesh.tflite"), CpuShares(1))),
        lambda: second,
        Chosen([0.6], 0.1),
    )
    faces = verifier.whole_image(noise(200, 200), with_features(), Stopwatch())
    assert faces.verified.landmarks is None
    assert faces.verified.scores.tolist() == pytest.approx([0.1])
    assert second.counts == [1]
    assert second.angles == [[0.0]]
