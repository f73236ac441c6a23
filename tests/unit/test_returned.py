"""The returned image is as large as is wanted, and as fits."""

from typing import Any

import numpy as np
import pytest

from age_gender.vision.face import Face
from age_gender.vision.returned import fitted_jpeg
from tests.unit.pictures import Pixels, decoded, noise

WHITE = np.full((300, 400, 3), 255, np.uint8)


def faces(*boxes: tuple[int, int, int, int]) -> list[Face]:
    return [Face(box=box, confidence=0.9, landmarks=None, attributes=None) for box in boxes]


def returned(image: Pixels, **options: Any) -> tuple[Pixels, tuple[str, ...], int]:
    options = {"faces": [], "blurred": None, "draw": False} | options
    jpeg, warnings = fitted_jpeg(image, **options)
    return decoded(jpeg), warnings, len(jpeg)


@pytest.mark.parametrize(
    ("side", "size"),
    [(None, (300, 400)), (400, (300, 400)), (5000, (300, 400)), (200, (150, 200)), (1, (1, 1))],
)
def test_the_longer_side_is_at_most(side: int | None, size: tuple[int, int]) -> None:
    image, warnings, _ = returned(WHITE, max_side=side)
    assert image.shape[:2] == size
    assert warnings == ()


def test_boxes_are_drawn_where_the_faces_are() -> None:
    """With lines for the size that is returned, which are not made thinner."""
    image, *_ = returned(WHITE, faces=faces((200, 100, 300, 250)), draw=True, max_side=200)
    ink = (255 - image.astype(int)).max(axis=2) > 100
    rows, columns = np.nonzero(ink[:, 95:155])
    assert abs(columns.min() + 95 - 100) <= 1
    assert abs(columns.max() + 95 - 149) <= 1
    assert abs(rows.max() - 124) <= 1
    assert ink[80:120, 99:102].any(axis=1).all()


def test_all_of_a_face_is_blurred_at_any_size() -> None:
    image = noise(400, 300)
    box = np.array([[100, 100, 200, 200]], np.int64)
    plain, *_ = returned(image, max_side=200)
    blurred, *_ = returned(image, blurred=box, max_side=200)
    inside = (slice(55, 95), slice(55, 95))
    assert blurred[inside].std() < 0.6 * plain[inside].std()
    np.testing.assert_array_equal(plain[:, 130:], blurred[:, 130:])


@pytest.mark.parametrize("limit", [60_000, 20_000, 2_000, 700])
def test_too_large_a_file_becomes_smaller_and_says_so(limit: int) -> None:
    image = noise(400, 300)
    whole, none, size = returned(image, max_bytes=10_000_000)
    assert (whole.shape[:2], none) == ((300, 400), ())
    assert size > limit
    smaller, (warning,), size = returned(image, max_bytes=limit)
    assert size <= limit
    height, width = smaller.shape[:2]
    assert width / height == pytest.approx(4 / 3, rel=0.1)
    assert f"{width} x {height} instead of 400 x 300 pixels" in warning
    assert size > limit / 4, "needlessly small"


def test_an_end_even_where_nothing_fits() -> None:
    image, (warning,), _ = returned(noise(40, 30), max_bytes=1)
    assert image.shape[:2] == (1, 1)
    assert "1 x 1" in warning


def test_the_image_itself_is_not_changed() -> None:
    image = WHITE.copy()
    returned(image, faces=faces((10, 10, 50, 50)), draw=True, max_side=100, max_bytes=1000)
    np.testing.assert_array_equal(image, WHITE)
