"""Measures of face quality."""

import cv2
import numpy as np
import pytest

from age_gender.vision.quality import assess, sharpness
from tests.unit.pictures import noise
from tests.unit.test_pose import FRONTAL


class TestSharpness:
    def test_falls_as_an_image_is_blurred(self) -> None:
        edges = cv2.resize(noise(14, 14), (224, 224), interpolation=cv2.INTER_NEAREST)
        chips = [edges, *(cv2.GaussianBlur(edges, (0, 0), sigma) for sigma in (2, 4, 8))]
        measured = [sharpness(np.asarray(chip, np.uint8)) for chip in chips]
        assert measured == sorted(measured, reverse=True)
        assert measured[-1] < measured[0] / 5

    def test_does_not_depend_on_contrast(self) -> None:
        chip = noise(224, 224)
        faint = (chip // 4 + 90).astype(np.uint8)
        assert sharpness(faint) == pytest.approx(sharpness(chip), rel=0.1)

    def test_flat_chip(self) -> None:
        assert sharpness(np.full((64, 64, 3), 100, np.uint8)) == 0


def test_assess() -> None:
    boxes = np.array([[0, 0, 100, 120], [10, 10, 60, 40]], np.float32)
    chips = np.stack([noise(64, 64), np.full((64, 64, 3), 9, np.uint8)])
    first, second = assess(boxes, None, chips)
    assert (first.size, second.size) == (100, 30)
    assert first.sharpness > second.sharpness == 0
    assert (first.yaw, first.roll) == (None, None)

    landmarks = np.stack([FRONTAL, FRONTAL[:, ::-1] * (-1, 1)]).astype(np.float32)
    upright, lying = assess(boxes, landmarks, chips)
    assert upright.roll == pytest.approx(0)
    assert lying.roll == pytest.approx(90)
    assert upright.yaw == pytest.approx(0)


def test_assess_no_faces() -> None:
    none = np.zeros((0, 4), np.float32)
    assert assess(none, None, np.zeros((0, 64, 64, 3), np.uint8)) == []
