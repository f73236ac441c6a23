"""Suppression is checked against brute force, and on two boxes of one face and two faces."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from age_gender.vision.detectors.base import Detections, joined
from age_gender.vision.geometry import ios_matrix, iou_matrix
from age_gender.vision.suppression import SAME_LANDMARKS, distinct_faces, nms, whole_faces
from tests.unit.fakes import found
from tests.unit.test_geometry import iou_by_cells, whole_boxes

Float = NDArray[np.float32]


class TestNms:
    @settings(max_examples=100)
    @given(whole_boxes(), st.integers(0, 64), st.randoms(use_true_random=False))
    def test_nms_is_the_greedy_choice(self, boxes: Float, level: int, random: Random) -> None:
        threshold = level / 64 + 0.001
        scores = np.array([random.randint(0, 5) / 5 for _ in boxes], np.float32)
        kept: list[int] = []
        for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
            if all(iou_by_cells(boxes[i], boxes[k]) <= threshold for k in kept):
                kept.append(i)
        assert nms(boxes, scores, threshold).tolist() == kept

    def test_nms_by_ios_drops_nested_boxes(self) -> None:
        boxes = np.array([[0, 0, 8, 8], [2, 2, 4, 4], [6, 0, 14, 8]], np.float32)
        scores = np.array([0.7, 0.8, 0.9], np.float32)
        assert nms(boxes, scores, 0.5).tolist() == [2, 1, 0]
        assert nms(boxes, scores, 0.5, overlap=ios_matrix).tolist() == [2, 1]

    def test_nms_at_one_keeps_even_copies(self) -> None:
        boxes = np.array([[0, 0, 9, 9]] * 3, np.float32)
        assert len(nms(boxes, np.ones(3, np.float32), 1.0)) == 3

    def test_nms_at_zero_keeps_boxes_that_only_touch(self) -> None:
        boxes = np.array([[0, 0, 9, 9], [9, 0, 18, 9], [8, 0, 12, 9]], np.float32)
        assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.0).tolist() == [0, 1]


class TestDistinctFaces:
    """Two boxes of one face against two faces close together."""

    @staticmethod
    def kept(detections: Detections, threshold: float = 0.5) -> list[int]:
        indices: list[int] = distinct_faces(
            detections.boxes, detections.scores, detections.landmarks, threshold
        ).tolist()
        return indices

    def second_box(self) -> Detections:
        """A face, and a larger box around the same landmarks, as detectors give them."""
        face = found((100, 100, 160, 180))
        assert face.landmarks is not None
        wide = np.array([[80, 85, 165, 200]], np.float32)
        return joined(face, Detections(wide, np.array([0.8], np.float32), face.landmarks + 6))

    def test_a_second_box_with_the_same_landmarks_is_dropped(self) -> None:
        twice = self.second_box()
        assert self.kept(twice) == [0]
        without = Detections(twice.boxes, twice.scores)
        assert self.kept(without, 0.55) == [0, 1]

    def test_the_callers_threshold_counts(self) -> None:
        assert self.kept(self.second_box(), 1.0) == [0, 1]

    @pytest.mark.parametrize(
        "second",
        [
            (155, 105, 255, 225),  # cheek to cheek
            (140, 160, 200, 235),  # a child held in the arms
            (150, 150, 190, 198),  # a small face in front of a large one
        ],
    )
    def test_two_faces_stay(self, second: tuple[float, float, float, float]) -> None:
        assert sorted(self.kept(found((100, 100, 200, 220), second))) == [0, 1]

    @settings(max_examples=100)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.8]))
    def test_each_box_kept_is_no_second_one_of_a_better_box(self, seed: int, level: float) -> None:
        random = np.random.default_rng(seed)
        corners, sides = random.uniform(0, 60, (30, 2)), random.uniform(9, 50, 30)
        boxes = np.concatenate([corners, corners + sides[:, None]], axis=1).tolist()
        faces = found(*boxes, scores=tuple(random.uniform(0, 1, 30)))
        assert faces.landmarks is not None
        shifted = (faces.landmarks + random.normal(0, 6, (30, 1, 2))).astype(np.float32)
        iou, ios = iou_matrix(faces.boxes, faces.boxes), ios_matrix(faces.boxes, faces.boxes)
        between = np.linalg.norm(shifted[:, None] - shifted, axis=3).mean(axis=2)
        smaller = np.minimum(faces.sides[:, None], faces.sides)
        same = (iou > level) | ((ios > level) & (between < SAME_LANDMARKS * smaller))
        kept: list[int] = []
        for i in np.argsort(-faces.scores).tolist():
            if not same[i, kept].any():
                kept.append(i)
        assert distinct_faces(faces.boxes, faces.scores, shifted, level).tolist() == kept


class TestWholeFaces:
    """Faces side by side, and what a detector sees across the seams."""

    @staticmethod
    def row(count: int) -> tuple[Float, Float]:
        """Faces of 60 x 80 pixels without space between them, then those across the seams."""
        faces = found(*((60.0 * k, 0.0, 60.0 * k + 60, 80.0) for k in range(count)))
        points = faces.landmarks
        assert points is not None
        across = np.empty((count - 1, 5, 2), np.float32)
        across[:, [0, 3]] = points[:-1, [1, 4]] + 3
        across[:, [1, 4]] = points[1:, [0, 3]] - 3
        across[:, 2] = np.add(across[:, [0, 1]].mean(axis=1), [0, 15])
        boxes = faces.boxes[:-1] + np.array([30, 0, 30, 0], np.float32)
        return np.concatenate([faces.boxes, boxes]), np.concatenate([points, across])

    @pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
    @pytest.mark.parametrize("quarters", [0, 1, 2, 3])
    def test_only_the_faces_stay(self, count: int, quarters: int) -> None:
        boxes, points = self.row(count)
        for _ in range(quarters):  # (x, y) becomes (1000 - y, x)
            points = np.stack([1000 - points[..., 1], points[..., 0]], axis=-1)
            x1, y1, x2, y2 = boxes.T
            boxes = np.stack([1000 - y2, x1, 1000 - y1, x2], axis=-1)
        order = np.random.default_rng(count).permutation(len(boxes))
        kept = whole_faces(boxes[order], points[order])
        assert sorted(order[kept].tolist()) == list(range(count))

    def test_a_face_that_shares_one_side_stays(self) -> None:
        boxes, points = self.row(2)
        assert whole_faces(boxes[[0, 2]], points[[0, 2]]).tolist() == [0, 1]

    def test_faces_of_one_place_in_a_circle_end(self) -> None:
        boxes, points = self.row(2)
        same = np.repeat(points[:1, :1], 5, axis=1).repeat(3, axis=0)
        assert len(whole_faces(boxes, same)) == 1

    def test_one_face_and_none(self) -> None:
        boxes, points = self.row(2)
        for count in (0, 1):
            assert whole_faces(boxes[:count], points[:count]).tolist() == list(range(count))
