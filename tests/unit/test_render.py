"""Rendering: labels are readable anywhere, and blur cannot be undone."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from age_gender.settings import FUNCTION_DIR
from age_gender.vision import render
from age_gender.vision.render import draw_faces
from tests.unit.pictures import RED, decoded, marked, noise

Pixels = NDArray[np.uint8]

SIZES = [(1, 1), (2, 5), (17, 3), (1, 4000), (64, 48), (640, 480), (4000, 3000)]


def boxes_of(*boxes: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def detail(image: Pixels) -> float:
    """Energy of the highest frequencies."""
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std())


def white_pixels(image: Pixels) -> int:
    return int((image > 200).all(axis=-1).sum())


def drawn(width: int, height: int, *box: int, label: str = "34 M") -> Pixels:
    return render.draw_faces(np.zeros((height, width, 3), np.uint8), boxes_of(box), [label], ["M"])


class TestDrawing:
    @pytest.mark.parametrize(("width", "height"), SIZES)
    def test_any_image_size(self, width: int, height: int) -> None:
        image = np.full((height, width, 3), 9, np.uint8)
        before = image.copy()
        boxes = boxes_of(
            (0, 0, 1, 1), (0, 0, width, height), (width - 1, height - 1, width, height)
        )
        canvas = render.draw_faces(image, boxes, ["3 M", "104 F", "90%"], ["M", "F", None])
        np.testing.assert_array_equal(image, before)
        assert canvas.shape == image.shape
        assert canvas.dtype == np.uint8
        assert (canvas != before).any()

    def test_no_faces_no_change(self) -> None:
        image = noise(30, 20)
        np.testing.assert_array_equal(render.draw_faces(image, boxes_of(), [], []), image)

    @pytest.mark.parametrize(("width", "height"), [(64, 28), (120, 90), (200, 50), (640, 480)])
    def test_the_whole_label_is_always_inside(self, width: int, height: int) -> None:
        side = min(width, height) // 3
        middle = ((width - side) // 2, height - side, (width + side) // 2, height)
        visible = white_pixels(drawn(width, height, *middle))
        assert visible > 20
        for left in {0, 1, width // 2, width - side - 1, width - side}:
            for top in range(0, height - side + 1, max(1, height // 40)):
                canvas = drawn(width, height, left, top, left + side, top + side)
                assert white_pixels(canvas) == visible, (left, top)

    @pytest.mark.parametrize("height", [20, 24, 30, 48])
    def test_the_label_of_a_face_as_high_as_the_image_is_inside(self, height: int) -> None:
        visible = white_pixels(drawn(200, 200, 100, 100, 110, 110, label="7 F"))
        for top in range(height - 1):
            canvas = drawn(200, height, 100, top, 110, height, label="7 F")
            assert white_pixels(canvas) == visible, top

    def test_labels_lie_over_the_boxes_of_other_faces(self) -> None:
        alone = drawn(200, 200, 50, 80, 130, 160)
        crossing = render.draw_faces(
            np.zeros((200, 200, 3), np.uint8),
            boxes_of((50, 80, 130, 160), (60, 60, 70, 150)),
            ["34 M", ""],
            ["M", "M"],
        )
        assert white_pixels(crossing) == white_pixels(alone)

    @pytest.mark.parametrize("gender", ["M", "F", None])
    def test_colour_depends_on_gender(self, gender: str | None) -> None:
        canvas = render.draw_faces(
            np.zeros((300, 300, 3), np.uint8), boxes_of((50, 100, 200, 250)), [""], [gender]
        )
        # Smoothed lines reach some nine tenths of their colour.
        assert np.abs(canvas[249, 120].astype(int) - render.COLOURS[gender]).max() < 30
        assert not canvas[150:200, 100:150].any()
        assert not canvas[255:].any()

    def test_lines_and_letters_grow_with_the_image(self) -> None:
        def relative_size(scale: int) -> tuple[float, float]:
            canvas = drawn(200 * scale, 200 * scale, *(v * scale for v in (50, 80, 130, 160)))
            line = (canvas[120 * scale, : 100 * scale, 2] > 89).sum()
            return line / scale, white_pixels(canvas) / scale**2

        (line, text), (large_line, large_text) = relative_size(3), relative_size(15)
        assert large_line == pytest.approx(line, rel=0.4)
        assert large_text == pytest.approx(text, rel=0.4)

    def test_threads_draw_the_same_as_one(self) -> None:
        expected = drawn(300, 200, 100, 60, 200, 160)
        with ThreadPoolExecutor(8) as pool:
            for canvas in pool.map(lambda _: drawn(300, 200, 100, 60, 200, 160), range(32)):
                np.testing.assert_array_equal(canvas, expected)


class TestBlur:
    def test_detail_is_lost_inside_and_kept_outside(self) -> None:
        image = noise(400, 300)
        before = image.copy()
        blurred = render.blur_faces(image, boxes_of((150, 100, 250, 220)))
        np.testing.assert_array_equal(image, before)
        # The largest rectangle within the ellipse inscribed into the box.
        assert detail(blurred[120:200, 167:233]) < 0.02 * detail(image[120:200, 167:233])
        outside = np.ones((300, 400), bool)
        outside[100 - 25 : 220 + 26, 150 - 21 : 250 + 22] = False
        np.testing.assert_array_equal(blurred[outside], image[outside])

    def test_blurred_faces_cannot_be_distinguished(self) -> None:
        """Two images with the same averages look the same afterwards."""
        checker = np.repeat((np.indices((240, 240)).sum(0) % 2 * 200)[..., None], 3, axis=2)
        box = boxes_of((60, 60, 180, 180))
        blurred = [
            render.blur_faces(image, box)[90:150, 90:150].astype(int)
            for image in (checker.astype(np.uint8), np.full((240, 240, 3), 100, np.uint8))
        ]
        assert np.abs(blurred[0] - blurred[1]).max() <= 3

    def test_the_whole_box_is_covered(self) -> None:
        image = noise(200, 200)
        blurred = render.blur_faces(image, boxes_of((50, 50, 150, 150)))
        inside = (blurred != image).any(axis=-1)[50:150, 50:150]
        assert inside.mean() > 0.99

    @pytest.mark.parametrize(("width", "height"), SIZES)
    def test_any_size_and_place(self, width: int, height: int) -> None:
        image = noise(min(width, 1000), min(height, 1000))
        height, width = image.shape[:2]
        boxes = boxes_of(
            (0, 0, 1, 1),
            (0, 0, width, height),
            (width - 1, height - 1, width, height),
            (0, height // 2, max(1, width // 3), height),
        )
        assert render.blur_faces(image, boxes).shape == image.shape

    def test_faces_at_the_border_are_blurred(self) -> None:
        image = noise(200, 200)
        for x, y in ((0, 0), (140, 0), (0, 140), (140, 140)):
            blurred = render.blur_faces(image, boxes_of((x, y, x + 60, y + 60)))
            centre = (slice(y + 15, y + 45), slice(x + 15, x + 45))
            assert detail(blurred[centre]) < 0.05 * detail(image[centre])


def test_jpeg_keeps_size_and_colour_order() -> None:
    data = render.encode_jpeg(marked(60, 40))
    image = decoded(data)
    assert data.startswith(b"\xff\xd8\xff")
    assert image.shape == (40, 60, 3)
    assert np.abs(image[5, 5].astype(int) - RED).max() < 30


@pytest.mark.defends("drawing-threads")
def test_memory_does_not_grow_with_the_threads_that_draw() -> None:
    boxes = np.array([[10, 30, 60, 80]], np.float32)
    process = psutil.Process()

    def draw(_: int) -> None:
        draw_faces(marked(100, 100), boxes, ["30 F"], ["F"])
        together.wait()

    together = threading.Barrier(1)
    draw(0)
    before = process.memory_info().rss
    together = threading.Barrier(32)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(draw, range(32)))
        grown = process.memory_info().rss - before
    assert grown < 64 << 20  # two megabytes a thread; with fonts of its own, each takes six


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_drawing_works_in_a_forked_process() -> None:
    code = (
        "import os, numpy as np\n"
        "from age_gender.vision.render import draw_faces\n"
        "def draw(): draw_faces(np.zeros((50, 50, 3), np.uint8), "
        "np.array([[5, 20, 30, 40]], np.float32), ['1'], [None])\n"
        "draw()\n"
        "child = os.fork()\n"
        "draw()\n"
        "if child: raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=FUNCTION_DIR, timeout=60, check=True)


@pytest.mark.defends("overlapping-faces")
def test_blur_of_many_overlapping_faces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(2100, 2100)
    corners = np.random.default_rng(0).integers(0, 100, (1000, 2))
    boxes = np.concatenate([corners, corners + 2000], axis=1).astype(np.float32)
    monkeypatch.setattr(cv2, "ellipse", lambda *_: pytest.fail("one by one"))
    blurred = render.blur_faces(image, boxes)
    assert detail(blurred) < detail(image) / 50
