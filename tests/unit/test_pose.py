"""How heads are turned, from landmarks."""

import numpy as np
import pytest

from age_gender.vision.pose import HEAD, Poses

FRONTAL = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def looking(nose_x: float) -> float:
    points = FRONTAL.copy()
    points[2, 0] = nose_x
    return float(Poses.of(points[None]).yaws[0])


def test_yaw() -> None:
    assert looking(50) == pytest.approx(0)
    assert looking(60) == pytest.approx(0.5)
    assert looking(40) == pytest.approx(-0.5)
    assert looking(70) == pytest.approx(1)
    assert looking(500) == 1
    assert looking(-500) == -1


def test_yaw_does_not_depend_on_roll() -> None:
    points = FRONTAL.copy()
    points[2, 0] = 60
    angle = np.radians(35)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert Poses.of((points @ rotation.T).astype(np.float32)[None]).yaws == pytest.approx(
        0.5, abs=1e-3
    )


def test_yaw_of_coinciding_eyes_is_finite() -> None:
    assert np.isfinite(Poses.of(np.zeros((1, 5, 2), np.float32)).yaws).all()


@pytest.mark.parametrize("degrees", [-50, 0, 25, 60])
def test_degrees_of_the_mean_head(degrees: float) -> None:
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    aside = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    back = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    seen = np.stack([(HEAD @ turn.T)[:, :2] for turn in (aside, back)]).astype(np.float32)
    poses = Poses.of(seen * 3 + 5000)
    assert poses.yaw_degrees == pytest.approx([degrees, 0], abs=4)
    assert poses.pitch_degrees == pytest.approx([0, degrees], abs=4)


def test_boxes_are_around_the_faces() -> None:
    poses = Poses.of((HEAD[None, :, :2] * 2 + 300).astype(np.float32))
    assert poses.boxes[0] == pytest.approx([180, 124, 420, 428], abs=1)
