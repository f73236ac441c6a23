"""Bounds of the detector network's input."""

import numpy as np
import pytest

from age_gender.limits.capacity import NETWORK_PIXELS
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from tests.unit.fakes import FakeEngine


@pytest.mark.defends("tiny-min-face")
@pytest.mark.parametrize("size", [(1600, 1600), (7000, 7000), (6000, 100), (300, 9000), (64, 64)])
@pytest.mark.parametrize("min_face", [1, 2, 16])
def test_is_bounded(size: tuple[int, int], min_face: int) -> None:
    engine = FakeEngine(
        lambda batch: {
            "boxes": np.zeros((1, 1, 4), np.float32),
            "landmarks": np.zeros((1, 1, 10), np.float32),
            "scores": np.zeros((1, 1, 2), np.float32),
        }
    )
    RetinaFaceDetector(engine).detect(np.zeros((*size, 3), np.uint8), 0.5, 0.5, min_face)
    ((_, height, width, _),) = engine.shapes
    # Sides are rounded up to multiples of 32, and 6000 x 100 gets a shape of its own.
    assert height * width <= (NETWORK_PIXELS**0.5 + 32) ** 2
    assert max(height, width) <= 1536
