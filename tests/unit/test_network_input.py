"""Bounds of the detector network's inputs."""

import numpy as np
import pytest

from age_gender.limits.capacity import NETWORK_PIXELS, SEARCH_PIXELS
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from tests.unit.fakes import FakeEngine

MAX_SEARCHED = 2 * SEARCH_PIXELS
"""With overlaps and padding."""


def inputs(size: tuple[int, int], min_face: int | None) -> list[int]:
    """Search an image of ``size`` (height, width), and return the pixels of each input."""
    engine = FakeEngine(
        lambda batch: {
            "boxes": np.zeros((1, 1, 4), np.float32),
            "landmarks": np.zeros((1, 1, 10), np.float32),
            "scores": np.zeros((1, 1, 1), np.float32),
        }
    )
    RetinaFaceDetector(engine).detect(np.zeros((*size, 3), np.uint8), 0.5, 0.5, min_face)
    return [height * width for _, height, width, _ in engine.shapes]


@pytest.mark.defends("tiny-min-face")
@pytest.mark.parametrize(
    "size", [(1600, 1600), (3500, 3500), (6000, 100), (300, 9000), (64, 64), (1, 65_500)]
)
@pytest.mark.parametrize("min_face", [1, 2, 16, None])
def test_is_bounded(size: tuple[int, int], min_face: int | None) -> None:
    pixels = inputs(size, min_face)
    assert max(pixels) <= NETWORK_PIXELS
    assert sum(pixels) <= MAX_SEARCHED


def test_by_default_a_picture_is_searched_in_one_run() -> None:
    """And a small one follows where nothing was found."""
    for size in ((3000, 4000), (533, 5600), (3200, 2430)):
        first, small = inputs(size, None)
        assert first > 1_000_000
        assert small <= 320 * 320
