"""Faces that are turned: the mesh finds out how, and places their landmarks."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision import orientation
from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import roll_angles
from age_gender.vision.mesh import LANDMARKS, SIDE, FaceMesh
from age_gender.vision.orientation import orient
from tests.unit.fakes import FakeEngine, Float, detections
from tests.unit.models import model
from tests.unit.pictures import PORTRAIT_BOX, Pixels, rotated_portrait

UPRIGHT = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


def mesh_of(logits: Float, landmarks: Float) -> Mapping[str, Float]:
    """The network's answer for landmarks ``[N, 5, 2]`` in sides of the chip."""
    points = np.zeros((len(logits), 468, 3), np.float32)
    for place, index in enumerate(LANDMARKS):
        for point in index:
            points[:, point, :2] = landmarks[:, place] * SIDE
    return {"points": points, "face": logits[:, None]}


def red_side(chips: Float) -> NDArray[np.intp]:
    """Which side of each chip is red: 0 top, 1 right, 2 bottom, 3 left."""
    half = SIDE // 2
    parts = [chips[:, :half], chips[:, :, half:], chips[:, half:], chips[:, :, :half]]
    red = [part[..., 0].mean(axis=(1, 2)) for part in parts]
    return np.asarray(np.argmax(red, axis=0), np.intp)


def red_is_up(chips: Float) -> Mapping[str, Float]:
    """See a face where red is up, and something of one where it is not."""
    logits = np.array([35.0, -5.0, 1.0, -5.0], np.float32)[red_side(chips)]
    return mesh_of(logits, np.repeat(UPRIGHT[None], len(chips), axis=0))


def half_red(turn: int) -> Pixels:
    """An image whose upper half is red, rotated clockwise."""
    image = np.zeros((200, 200, 3), np.uint8)
    image[:100, :, 0] = 255
    return np.ascontiguousarray(np.rot90(image, -turn))


def rotated(points: Float, degrees: float) -> Float:
    """Points ``[5, 2]`` rotated clockwise around the middle of their chip."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray((points - 0.5) @ np.array([[c, s], [-s, c]]) + 0.5, np.float32)


def turned_by(degrees: float) -> Detections:
    """A face of which the detector says that it is rotated clockwise."""
    detected = detections((50, 50, 150, 150), landmarks=True)
    assert detected.landmarks is not None
    points = rotated((detected.landmarks[0] - 100) / 100 + 0.5, degrees)
    detected.landmarks[0] = (points - 0.5) * 100 + 100
    return detected


def looking(degrees: list[float], logits: list[float]) -> FaceMesh:
    """A mesh that sees a face rotated by so much, look by look, and then none."""
    looks = iter([*zip(degrees, logits, strict=True), *[(0.0, -5.0)] * 9])

    def answer(_: Float) -> Mapping[str, Float]:
        angle, logit = next(looks)
        return mesh_of(np.array([logit], np.float32), rotated(UPRIGHT, angle)[None])

    return FaceMesh(FakeEngine(answer))


class TestQuarterTurns:
    @pytest.mark.parametrize("turn", [0, 1, 2, 3])
    @pytest.mark.parametrize("landmarks", [True, False])
    def test_the_landmarks_follow_the_face(self, turn: int, landmarks: bool) -> None:
        engine = FakeEngine(red_is_up)
        detected = detections((50, 50, 150, 150), landmarks=landmarks)
        found = orient(FaceMesh(engine), half_red(turn), detected)
        assert found.turns.tolist() == [turn]
        assert found.best.tolist() == [35]
        degrees = np.degrees(roll_angles(found.landmarks))[0] - 90 * turn
        assert (degrees + 180) % 360 - 180 == pytest.approx(0, abs=0.1)
        assert len(engine.shapes) == (1 if turn == 0 else 5)

    def test_a_detectors_landmarks_stay_where_the_face_is_upright(self) -> None:
        detected = detections((50, 50, 150, 150), (60, 60, 140, 140), landmarks=True)
        assert detected.landmarks is not None
        detected.landmarks[:] += 3
        found = orient(FaceMesh(FakeEngine(red_is_up)), half_red(0), detected)
        np.testing.assert_array_equal(found.landmarks, detected.landmarks)

    def test_overlap_and_distance_compare_mesh_and_detector(self) -> None:
        def answer(chips: Float) -> Mapping[str, Float]:
            middle = np.full((len(chips), 5, 2), 0.5, np.float32)
            outputs = mesh_of(np.full(len(chips), 35, np.float32), middle)
            outputs["points"][:, :, :2] = SIDE / 2
            outputs["points"][:, 10, :2] = SIDE / 6  # the box, in a chip of 1.5 times its side
            outputs["points"][:, 152, :2] = SIDE * 5 / 6
            return outputs

        detected = detections((50, 50, 150, 150), landmarks=True)
        found = orient(FaceMesh(FakeEngine(answer)), half_red(0), detected)
        expected = np.linalg.norm(UPRIGHT - 0.5, axis=1).mean()
        assert found.distance[0] == pytest.approx(expected, abs=1e-3)
        assert found.overlap[0] == pytest.approx(1, abs=1e-3)

    def test_a_little_more_is_no_turn(self) -> None:
        def answer(chips: Float) -> Mapping[str, Float]:
            logits = np.array([0.0, 4.9, 4.9, 4.9], np.float32)[red_side(chips)]
            return mesh_of(logits, np.repeat(UPRIGHT[None], len(chips), axis=0))

        detected = detections((50, 50, 150, 150), landmarks=True)
        found = orient(FaceMesh(FakeEngine(answer)), half_red(0), detected)
        assert found.turns.tolist() == [0]
        assert (found.own[0], found.best[0]) == pytest.approx((0, 4.9))

    @pytest.mark.parametrize(
        ("angle", "logits", "expected"),
        [
            (25, [20, 30], 25),  # the detector's
            (35, [20, 30], 35 + 12 + 3),  # of the second look, level by the first one's points
            (35, [20, 15], 35 + 12),
            (35, [4, 5], 35 + 12 + 3),
            (35, [2, 2.5], 35),  # not to be trusted
            (100, [4, 30], 100 + 12 + 3),
        ],
    )
    def test_a_face_that_is_turned_is_levelled_by_the_mesh(
        self, angle: float, logits: list[float], expected: float
    ) -> None:
        found = orient(looking([12, 3], logits), half_red(0), turned_by(angle))
        assert np.degrees(roll_angles(found.landmarks))[0] == pytest.approx(expected, abs=0.1)

    @pytest.mark.parametrize(("logits", "expected"), [([4, 6], 35), ([4, 12], 35 + 120)])
    def test_a_large_change_needs_a_clear_face(self, logits: list[float], expected: float) -> None:
        found = orient(looking([120, 0], logits), half_red(0), turned_by(35))
        degrees = np.degrees(roll_angles(found.landmarks))[0]
        assert degrees == pytest.approx(expected, abs=0.1)

    def test_the_work_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(orientation, "MAX_FACES", 5)
        monkeypatch.setattr(orientation, "MAX_TURNED", 2)
        engine = FakeEngine(red_is_up, batch=1)
        boxes = [(80.0 - i, 80.0 - i, 120.0 + i, 120.0 + i) for i in range(20)]
        found = orient(FaceMesh(engine), half_red(2), detections(*boxes, landmarks=True))
        assert len(engine.shapes) == 5 + 3 * 2 + 2
        assert np.flatnonzero(~np.isnan(found.own)).tolist() == [15, 16, 17, 18, 19]
        assert np.flatnonzero(found.turns).tolist() == [18, 19]

    def test_faces_on_their_side_are_looked_at_twice(self) -> None:
        engine = FakeEngine(red_is_up, batch=1)
        boxes = [(80.0 - i, 80.0 - i, 120.0 + i, 120.0 + i) for i in range(4)]
        detected = detections(*boxes, landmarks=True)
        assert detected.landmarks is not None
        for i in (1, 3):
            middle = np.float32(100)
            detected.landmarks[i] = (detected.landmarks[i] - middle)[:, ::-1] * [-1, 1] + middle
        found = orient(FaceMesh(engine), half_red(1), detected)
        assert np.flatnonzero(found.own > 30).tolist() == [1, 3]
        # The other two are tried in three more turns, and level.
        assert len(engine.shapes) == 4 + 2 + 2 * 4

    def test_tiny_and_no_faces_cost_nothing(self) -> None:
        engine = FakeEngine(red_is_up)
        tiny = orient(FaceMesh(engine), half_red(0), detections((5, 5, 17, 19), landmarks=True))
        none = orient(FaceMesh(engine), half_red(0), detections())
        assert engine.shapes == []
        assert np.isnan(tiny.own).all()
        assert none.landmarks.shape == (0, 5, 2)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh(LiteRTEngine(model("facemesh.tflite"), CpuShares(1)))


class TestRealMesh:
    @pytest.mark.parametrize("turn", [0, 1, 2, 3])
    def test_a_portrait_is_turned_upright(self, mesh: FaceMesh, turn: int) -> None:
        image, box = rotated_portrait(turn)
        found = orient(mesh, image, Detections(box, np.ones(1, np.float32)))
        assert found.best[0] > 20
        degrees = np.degrees(roll_angles(found.landmarks))[0] - 90 * turn
        assert (degrees + 180) % 360 - 180 == pytest.approx(0, abs=6)
        if turn == 0:
            (points,) = found.landmarks
            expected = [[102, 103], [146, 103], [124, 128], [104, 140], [146, 140]]
            np.testing.assert_allclose(points, expected, atol=6)

    def test_what_is_no_face_has_a_low_logit(self, mesh: FaceMesh) -> None:
        shapes = np.full((300, 300, 3), 128, np.uint8)
        shapes[100:110, 100:150] = shapes[150:220, 80:90] = 255
        noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
        for image in (np.zeros((300, 300, 3), np.uint8), shapes, noise):
            assert orient(mesh, image, Detections(PORTRAIT_BOX, np.ones(1, np.float32))).best[0] < 0
