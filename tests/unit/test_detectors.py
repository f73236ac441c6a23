"""Detectors: from a network's outputs to boxes in image coordinates."""

import inspect
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision import suppression
from age_gender.vision.detectors import hog as hog_module
from age_gender.vision.detectors import retinaface
from age_gender.vision.detectors.base import MAX_CANDIDATES, Detections, InputScale, joined
from age_gender.vision.detectors.hog import (
    FILTERS,
    MIN_SCORE,
    HogDetector,
    confidence_of,
    score_for,
)
from age_gender.vision.detectors.retinaface import (
    MARGIN,
    ROOM,
    SHAPES,
    STRIDES,
    RetinaFaceDetector,
    _anchors,
    _decode_boxes,
    _decode_landmarks,
    _shape_for,
)
from age_gender.vision.suppression import nms
from modelbuild import hog
from tests.unit.fakes import FakeEngine
from tests.unit.pictures import portrait

Float = NDArray[np.float32]


class TestAnchors:
    def test_order_and_values(self) -> None:
        anchors = _anchors(64, 96)
        cells = [(64 // s) * (96 // s) for s in STRIDES]
        assert anchors.shape == (2 * sum(cells), 3)
        # Row by row, both sides of a cell together, the finest stride first.
        np.testing.assert_array_equal(
            anchors[:4], [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]]
        )
        np.testing.assert_array_equal(anchors[2 * 12], [4, 12, 16])
        start = 2 * cells[0]
        np.testing.assert_array_equal(
            anchors[start : start + 3, :], [[8, 8, 64], [8, 8, 128], [24, 8, 64]]
        )
        np.testing.assert_array_equal(anchors[-2:], [[80, 48, 256], [80, 48, 512]])

    @pytest.mark.parametrize("shape", SHAPES)
    def test_shapes_fit_the_network(self, shape: tuple[int, int]) -> None:
        assert shape[0] % 32 == shape[1] % 32 == 0

    def test_decoding(self) -> None:
        anchors = np.array([[100, 50, 32]], np.float32)
        offsets = np.array([[1, -2, 0, np.log(2) / 0.2]], np.float32)
        # Centre 100 + 0.1 * 32, 50 - 0.2 * 32; sides 32 and 64.
        np.testing.assert_allclose(
            _decode_boxes(offsets, anchors), [[87.2, 11.6, 119.2, 75.6]], rtol=1e-5
        )
        points = _decode_landmarks(
            np.array([[1, 2, 0, 0, 0, 0, 0, 0, -5, 10]], np.float32), anchors
        )
        np.testing.assert_allclose(points[0, 0], [103.2, 56.4], rtol=1e-5)
        np.testing.assert_allclose(points[0, 1], [100, 50])
        np.testing.assert_allclose(points[0, 4], [84, 82], rtol=1e-5)


def planted(batch: Float, boxes: Float, score: float = 0.9) -> Mapping[str, Float]:
    """Outputs of a network that detects ``boxes``, given in pixels of its input."""
    anchors = _anchors(batch.shape[1], batch.shape[2])
    count = len(anchors)
    outputs = {
        "boxes": np.zeros((1, count, 4), np.float32),
        "landmarks": np.zeros((1, count, 10), np.float32),
        "scores": np.zeros((1, count, 1), np.float32),
    }
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        centre, sides = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1])
        distance = np.abs(anchors[:, :2] - centre).sum(1) + np.abs(anchors[:, 2] - sides.max())
        i = int(distance.argmin())
        x, y, side = anchors[i]
        outputs["boxes"][0, i, :2] = (centre - (x, y)) / side / 0.1
        outputs["boxes"][0, i, 2:] = np.log(sides / side) / 0.2
        landmarks = np.array([[x1, y1], [x2, y1], [*centre], [x1, y2], [x2, y2]])
        outputs["landmarks"][0, i] = ((landmarks - (x, y)) / side / 0.1).ravel()
        outputs["scores"][0, i] = score - n / 100
    return outputs


def _scored(batch: Float, boxes: Float, scores: tuple[float, ...]) -> Mapping[str, Float]:
    """Outputs of a network that detects each box with a score of its own."""
    parts = [planted(batch, box[None], s) for box, s in zip(boxes, scores, strict=True)]
    return {name: sum(part[name] for part in parts) for name in parts[0]}  # type: ignore[misc]


def red_rectangle(image: Float) -> Float:
    """Return the red rectangle of a network's input, as ``[1, 4]``, or ``[0, 4]`` without one."""
    red = image[..., 0] > 127
    if not red.any():
        return np.zeros((0, 4), np.float32)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    return np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)


class TestRetinaFace:
    @settings(max_examples=40)
    @given(
        width=st.integers(40, 1500),
        height=st.integers(40, 1500),
        place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        fraction=st.floats(0.3, 0.8),
        min_face=st.sampled_from([None, 8, 16, 40]),
    )
    def test_boxes_are_in_image_coordinates(
        self,
        width: int,
        height: int,
        place: tuple[float, float],
        fraction: float,
        min_face: int | None,
    ) -> None:
        """The network detects a red rectangle in images of any size and aspect."""
        side = max(12, round(fraction * min(width, height)))
        x, y = round(place[0] * (width - side)), round(place[1] * (height - side))
        image = np.zeros((height, width, 3), np.uint8)
        image[y : y + side, x : x + side, 0] = 255
        engine = FakeEngine(lambda batch: planted(batch, red_rectangle(batch[0])))
        detected = RetinaFaceDetector(engine).detect(image, 0.5, 0.5, min_face)
        assert len(detected) == 1
        assert detected.landmarks is not None
        # A large one is seen again at a smaller scale; small parts of an image come last.
        in_height, in_width = min(shape[1:3] for shape in engine.shapes)
        # A pixel of the network's input, in pixels of the image.
        pixel = max(1.0, max(width, height) / max(in_height, in_width)) * 1.5
        np.testing.assert_allclose(detected.boxes[0], [x, y, x + side, y + side], atol=pixel)
        np.testing.assert_allclose(detected.landmarks[0, 0], [x, y], atol=pixel)
        np.testing.assert_allclose(
            detected.landmarks[0, 4], [x + side] * 1 + [y + side], atol=pixel
        )
        assert detected.scores[0] == pytest.approx(0.9)

    @settings(max_examples=60)
    @given(st.integers(1, 2200), st.integers(1, 2200))
    def test_the_shape_holds_the_image(self, height: int, width: int) -> None:
        shape = _shape_for(height, width)
        assert shape[0] >= height
        assert shape[1] >= width
        assert shape[0] % 32 == shape[1] % 32 == 0

    def test_padding_is_around_the_image(self) -> None:
        """Cut-off faces at the left and the top need a little of it."""
        inputs: list[Float] = []

        def answer(batch: Float) -> Mapping[str, Float]:
            inputs.append(batch.copy())
            return planted(batch, np.zeros((0, 4), np.float32))

        image = np.full((200, 300, 3), 255, np.uint8)
        assert len(RetinaFaceDetector(FakeEngine(answer)).detect(image, 0.5, 0.5)) == 0
        for batch in inputs:
            filled = batch[0, ..., 0] > 0
            rows, columns = filled.any(1).sum(), filled.any(0).sum()
            bottom, right = MARGIN + rows, MARGIN + columns
            assert filled[MARGIN:bottom, MARGIN:right].all()
            assert not filled[:MARGIN].any()
            assert not filled[:, :MARGIN].any()
            assert not filled[bottom:].any()
            assert not filled[:, right:].any()
            assert columns / rows == pytest.approx(1.5, rel=0.01)

    @pytest.mark.parametrize(
        ("width", "height"),
        [(640, 480), (480, 640), (512, 512), (1024, 768), (1000, 1000), (4000, 3000), (3000, 90)],
    )
    def test_every_image_has_room_at_the_right_and_a_doubtful_one_at_the_bottom(
        self, width: int, height: int
    ) -> None:
        """Half faces are missed there without it, even in images that fill their shape."""
        box = np.array([[50, 0, 60, 10]], np.float32)
        batches: list[Float] = []

        def answer(batch: Float) -> Mapping[str, Float]:
            batches.append(batch.copy())
            return planted(batch, box, score=0.06)

        image = np.full((height, width, 3), 255, np.uint8)
        RetinaFaceDetector(FakeEngine(answer)).detect(image, 0.5, 0.5)
        if batches[0].shape[1] < batches[1].shape[1]:  # no room yet
            del batches[0]
        for batch in batches:
            filled = batch[0, ..., 0] > 0
            rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
            assert rows[-1] + 1 <= filled.shape[0] - ROOM
            assert columns[-1] + 1 <= filled.shape[1] - ROOM
            assert columns[0] == MARGIN
            assert len(columns) / len(rows) == pytest.approx(width / height, rel=0.05)
        # What needs no scaling is not blurred by any.
        if width * height < 1_000_000 and (width, height) != (3000, 90):
            filled = batches[0][0, ..., 0] > 0
            assert (filled.any(1).sum(), filled.any(0).sum()) == (height, width)

    @pytest.mark.parametrize(
        ("top", "score", "shapes"),
        [
            (440, 0.3, [480, 512]),
            (0, 0.06, [480, 512]),
            (440, 0.98, [480, 512]),
            (436, 0.98, [480]),
            (436, 0.96, [480, 512]),
            (200, 0.3, [480]),
            (440, 0.03, [480]),
        ],
    )
    def test_room_is_given_where_a_face_may_be_cut_off(
        self, top: float, score: float, shapes: list[int]
    ) -> None:
        boxes = np.array([[212, 100, 262, 150], [300, top, 340, top + 40]], np.float32)
        engine = FakeEngine(lambda batch: _scored(batch, boxes, (0.99, score)))
        image = np.zeros((480, 640, 3), np.uint8)
        found = RetinaFaceDetector(engine).detect(image, 0.1, 0.5)
        assert [shape[1] for shape in engine.shapes if shape[2] == 672] == shapes
        # Of the last look: with room, the image begins lower in the input.
        assert found.boxes[0, 1] == pytest.approx(100 - (MARGIN if len(shapes) == 2 else 0), abs=1)
        # A lower confidence adds boxes, and leaves the others as they are.
        engine.shapes.clear()
        more = RetinaFaceDetector(engine).detect(image, 0.01, 0.5)
        assert [shape[1] for shape in engine.shapes if shape[2] == 672] == shapes
        np.testing.assert_array_equal(more.boxes[: len(found)], found.boxes)

    def test_a_trace_of_a_large_face_starts_no_coarse_look(self) -> None:
        boxes = np.array([[20, 20, 70, 70], [160, 80, 480, 400]], np.float32)
        engine = FakeEngine(lambda batch: _scored(batch, boxes, (0.99, 0.06)))
        RetinaFaceDetector(engine).detect(np.zeros((480, 640, 3), np.uint8), 0.5, 0.5)
        assert [shape[1:3] for shape in engine.shapes] == [(480, 672)]

    def test_confidence_and_nms(self) -> None:
        boxes = np.array([[20, 20, 60, 60], [24, 20, 64, 60], [150, 100, 190, 140]], np.float32)
        detector = RetinaFaceDetector(FakeEngine(lambda batch: planted(batch, boxes)))
        # Images of the network's own shape are searched at their own scale.
        shape = max(SHAPES, key=lambda s: s[0] * s[1])
        image = np.zeros((*shape, 3), np.uint8)
        min_face = int(retinaface.INPUT_SCALE.wanted_side)

        def scores(confidence: float, nms: float) -> list[float]:
            return [*map(float, detector.detect(image, confidence, nms, min_face).scores.round(2))]

        assert scores(0.5, 0.5) == pytest.approx([0.9, 0.88])
        assert scores(0.5, 0.9) == pytest.approx([0.9, 0.89, 0.88])
        assert scores(0.885, 0.9) == pytest.approx([0.9, 0.89])
        assert scores(0.95, 0.9) == []

    def test_faces_in_the_padding_are_dropped(self) -> None:
        outside = np.array([[10, 300, 50, 340]], np.float32)
        detector = RetinaFaceDetector(FakeEngine(lambda batch: planted(batch, outside)))
        image = np.zeros((200, 800, 3), np.uint8)
        assert len(detector.detect(image, 0.5, 0.5, int(retinaface.INPUT_SCALE.wanted_side))) == 0

    def test_confidence_zero_is_bounded(self) -> None:
        """All anchors pass the threshold, and non-maximum suppression is quadratic."""

        def everywhere(batch: Float) -> Mapping[str, Float]:
            outputs = planted(batch, np.zeros((0, 4), np.float32))
            scores = np.linspace(0, 1, outputs["scores"].shape[1])
            outputs["scores"][0, :, 0] = scores
            return outputs

        detector = RetinaFaceDetector(FakeEngine(everywhere))
        detected = detector.detect(np.zeros((800, 800, 3), np.uint8), 0.0, 1.0)
        assert 0 < len(detected) <= 1000
        # The best are kept, best first.
        assert detected.scores[0] == 1
        assert (np.diff(detected.scores) <= 0).all()


class TestInputScale:
    @staticmethod
    def scale(width: int, height: int, min_face: int | None) -> float:
        scale = InputScale(
            default_min_face=40,
            min_detectable=80.0,
            wanted_side=100.0,
            default_pixels=10**6,
            max_pixels=16 * 10**6,
        )
        return scale.scale_for(width, height, min_face)

    @pytest.mark.parametrize(
        ("width", "height", "min_face", "scale"),
        [
            (300, 200, None, 2.0),  # 40 pixels become the 80 that can be detected
            (200, 300, None, 2.0),
            (500, 400, None, 2.0),
            (2000, 2000, None, 0.5),  # capped at a million pixels
            (8000, 500, None, 0.5),  # however long
            (500, 8000, None, 0.5),
            (300, 200, 50, 2.0),  # what is asked for becomes a little larger
            (300, 200, 100, 1.0),
            (300, 200, 200, 0.5),
            (2000, 2000, 50, 2.0),  # an explicit size goes up to 16 million pixels
            (4000, 4000, 50, 1.0),
            (400, 100, 1, 20.0),
        ],
    )
    def test_values(self, width: int, height: int, min_face: int | None, scale: float) -> None:
        assert self.scale(width, height, min_face) == pytest.approx(scale)

    @given(st.integers(1, 65500), st.integers(1, 65500), st.none() | st.integers(1, 100_000))
    def test_bounds(self, width: int, height: int, min_face: int | None) -> None:
        scale = self.scale(width, height, min_face)
        assert scale > 0
        assert scale**2 * width * height <= 16.001 * 10**6

    @given(st.integers(1, 5000), st.integers(1, 5000))
    def test_a_larger_min_face_never_costs_more(self, width: int, height: int) -> None:
        scales = [self.scale(width, height, m) for m in (10, 20, 40, 80, 160)]
        assert scales == sorted(scales, reverse=True)


class TestHog:
    @given(st.floats(0.02, 0.999))
    def test_score_and_confidence_are_inverse(self, confidence: float) -> None:
        back = confidence_of(np.array([score_for(confidence)], np.float64))
        assert float(back[0]) == pytest.approx(confidence, abs=1e-4)

    @given(st.floats(-5, 5), st.floats(0.001, 5))
    def test_confidence_is_monotone_and_a_fraction(self, score: float, more: float) -> None:
        low, high = confidence_of(np.array([score, score + more]))
        assert 0 <= low <= high <= 1

    def test_thresholds_at_the_ends(self) -> None:
        assert score_for(0.0) == MIN_SCORE
        assert np.isfinite(score_for(1.0))
        assert score_for(1.0) > score_for(0.99)

    def test_no_scores(self) -> None:
        assert confidence_of(np.array([])).shape == (0,)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (39, 39)])
    @pytest.mark.parametrize("min_face", [None, 40, 100_000])
    def test_images_too_small_for_a_face(
        self, shape: tuple[int, int], min_face: int | None
    ) -> None:
        detected = HogDetector().detect(np.zeros((*shape, 3), np.uint8), 0.5, 0.5, min_face)
        assert detected.boxes.shape == (0, 4)
        assert detected.scores.shape == (0,)
        assert detected.landmarks is None

    def test_the_filters_are_dlibs_own(self) -> None:
        assert FILTERS.read_bytes() == hog.filters()

    @pytest.mark.parametrize("threads", [1, 3])
    def test_a_face_at_several_levels_is_detected_once(self, threads: int) -> None:
        """So does dlib with a pyramid of its own."""
        image = portrait()
        detected = HogDetector(threads).detect(image, 0.5, 1.0, 40)
        windows, scores, _ = dlib.get_frontal_face_detector().run(
            cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=1.75, fy=1.75), 0, -0.1
        )
        assert len(detected) == len(windows) == 1
        assert detected.scores[0] == pytest.approx(confidence_of(np.array(scores))[0], abs=0.1)
        middle = windows[0].center() / 1.75
        x1, _, x2, _ = detected.boxes[0]
        assert float(x1 + x2) / 2 == pytest.approx(middle.x, abs=float(x2 - x1) * 0.1)

    def test_one_detector_used_by_eight_threads(self) -> None:
        """A shared object of dlib would crash the process."""
        detector = HogDetector()
        expected = detector.detect(portrait(), 0.5, 0.5, 80)
        assert len(expected) == 1
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(detector.detect, portrait(), 0.5, 0.5, 80) for _ in range(24)]
            for job in jobs:
                np.testing.assert_array_equal(job.result().boxes, expected.boxes)
                np.testing.assert_array_equal(job.result().scores, expected.scores)

    def test_min_face(self) -> None:
        """A face of some 90 pixels is detected unless only larger ones are wanted."""
        detector = HogDetector()
        assert len(detector.detect(portrait(), 0.5, 0.5, 40)) == 1
        assert len(detector.detect(portrait(), 0.5, 0.5, 300)) == 0


def test_the_budget_keeps_any_default_shape_prepared() -> None:
    kept = inspect.signature(LiteRTEngine).parameters["keep_pixels"].default
    assert max(height * width for height, width in SHAPES) <= kept


@pytest.mark.parametrize("content", [None, b"", b"no filters"])
def test_unreadable_filters_are_reported(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hog.svm"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(hog_module, "FILTERS", file)
    with pytest.raises(ModelUnavailable, match=r"hog\.svm .* is missing or damaged") as caught:
        HogDetector().detect(np.zeros((100, 100, 3), np.uint8), 0.5, 0.5)
    assert str(tmp_path) not in caught.value.message


def test_hog_windows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = HogDetector()
    windows = np.tile(np.array([[0.1, 0.1, 0.3, 0.3]], np.float32), (4000, 1))
    scores = np.linspace(0, 1, 4000, dtype=np.float32)
    monkeypatch.setattr(detector, "_scan", lambda *_: (windows, scores))
    compared: list[int] = []

    def counting(boxes: Float, *args: Any, **options: Any) -> NDArray[np.intp]:
        compared.append(len(boxes))
        return nms(boxes, *args, **options)

    monkeypatch.setattr(suppression, "nms", counting)
    detected = detector.detect(np.zeros((100, 100, 3), np.uint8), 0.0, 0.5)
    assert compared == [MAX_CANDIDATES, 1]
    assert len(detected) == 1


class TestDetections:
    DETECTIONS = Detections(
        np.array(
            [[0, 0, 10, 10], [-20, 5, -1, 15], [95, 40, 130, 60], [99.5, 0, 120, 9]], np.float32
        ),
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        np.arange(40, dtype=np.float32).reshape(4, 5, 2),
    )

    def test_inside_drops_boxes_outside_the_image(self) -> None:
        inside = self.DETECTIONS.inside(100, 50)
        np.testing.assert_array_equal(inside.boxes, self.DETECTIONS.boxes[[0, 2]])
        np.testing.assert_array_equal(inside.scores, self.DETECTIONS.scores[[0, 2]])
        assert inside.landmarks is not None
        assert self.DETECTIONS.landmarks is not None
        np.testing.assert_array_equal(inside.landmarks, self.DETECTIONS.landmarks[[0, 2]])

    def test_the_highest_score_of_all_stays(self) -> None:
        seen = replace(self.DETECTIONS, highest=0.95)
        changed = seen[np.array([], np.intp)].moved(3, 4).scaled(2).inside(100, 50).suppressed(0.5)
        assert changed.highest == 0.95
        assert joined(replace(seen, highest=0.1), changed).highest == 0.95

    def test_length(self) -> None:
        assert len(self.DETECTIONS) == 4
        assert len(self.DETECTIONS.inside(1, 1)) == 1
