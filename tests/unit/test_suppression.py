"""Suppression is checked against brute force, and on two boxes of one face and two faces."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from age_gender.vision.detectors.base import Detections, joined
from age_gender.vision.geometry import ios_matrix, iou_matrix
from age_gender.vision.suppression import SAME_LANDMARKS, distinct_faces, nms
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
