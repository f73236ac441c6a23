"""Large JPEGs, decoded into an array that is there already."""

import os

import cv2
import numpy as np
import pytest

from age_gender.vision.decode import decode
from age_gender.vision.formats import in_place
from testing import photos

FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
HALF = FLAGS | cv2.IMREAD_REDUCED_GRAYSCALE_2
SIZE = (1250, 1001)


@pytest.fixture(scope="module")
def picture() -> bytes:
    return photos.resized("astronaut", *SIZE)


def usual(data: bytes, flags: int = FLAGS) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory on this system")
class TestInMemory:
    def test_the_same_pixels(self, picture: bytes) -> None:
        image = in_place.decode(picture, *SIZE, FLAGS)
        assert image is not None
        np.testing.assert_array_equal(image, usual(picture))

    def test_reduced(self) -> None:
        picture = photos.resized("astronaut", 2500, 2000)
        image = in_place.decode(picture, 1250, 1000, HALF)
        assert image is not None
        np.testing.assert_array_equal(image, usual(picture, HALF))

    def test_no_file_stays_open(self, picture: bytes) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for data in (picture, picture[:-2000] + b"\xff\xd9", picture[:700] + b"\xff\xd9"):
            in_place.decode(data, *SIZE, FLAGS)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_nothing_of_a_failure_is_returned(self, picture: bytes) -> None:
        """What memory held before could be someone else's picture."""
        tables = picture.index(b"\xff\xc4")
        broken = picture[:tables] + b"\xff\xc4\0\3\7" + picture[tables:]
        assert usual(broken) is None
        assert in_place.decode(broken, *SIZE, FLAGS) is None

    def test_an_image_of_another_size(self, picture: bytes) -> None:
        assert in_place.decode(picture, SIZE[0] + 8, SIZE[1], FLAGS) is None


def test_files_that_the_usual_way_knows_better(picture: bytes) -> None:
    assert in_place.decode(picture[:-2], *SIZE, FLAGS) is None
    assert in_place.decode(picture, 64, 64, FLAGS) is None


def test_without_such_files(picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", fail, raising=False)
    image = decode(picture, max_bytes=10**7, max_pixels=10**7)
    np.testing.assert_array_equal(image, usual(picture))
