"""Joining several looks at one image, with hand-made boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from age_gender.vision.detectors.base import Detections, joined
from age_gender.vision.detectors.looks import tiles, with_large_faces
from age_gender.vision.geometry import Float, distinct_faces, inside_matrix

FACE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


def found(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] = ()) -> Detections:
    """Make detections with landmarks as in frontal faces, with ``scores``, or 0.9 each."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = array[:, None, :2] + (array[:, None, 2:] - array[:, None, :2]) * FACE
    given = np.array(scores or [0.9] * len(array), np.float32)
    return Detections(array, given, points.astype(np.float32))


class TestLargeFaces:
    LARGE = (100, 100, 500, 500)

    def join(self, fine: Detections, coarse: Detections) -> list[list[float]]:
        boxes: list[list[float]] = with_large_faces(fine, coarse, 300).boxes.tolist()
        return sorted(boxes)

    def test_parts_of_a_large_face_are_replaced_by_it(self) -> None:
        parts = found((120, 120, 300, 300), (300, 150, 520, 420), (60, 300, 220, 460))
        assert self.join(parts, found(self.LARGE)) == [[*self.LARGE]]

    def test_other_faces_stay(self) -> None:
        small = (600, 100, 640, 150)
        assert self.join(found(small), found(self.LARGE)) == [[*self.LARGE], [*small]]

    def test_a_small_face_in_front_of_a_large_one_stays_if_both_looks_see_it(self) -> None:
        child, part = (350, 350, 450, 450), (120, 120, 300, 300)
        assert self.join(found(child, part), found(self.LARGE, (348, 352, 452, 448))) == [
            [*self.LARGE],
            [*child],
        ]

    def test_a_coarse_look_that_is_not_sure_replaces_nothing(self) -> None:
        part = (120, 120, 300, 300)
        assert self.join(found(part), found(self.LARGE, scores=(0.4,))) == [[*part]]

    def test_small_faces_are_left_to_the_fine_look(self) -> None:
        assert self.join(found(), found((10, 10, 60, 60))) == []

    def test_a_coarse_look_decides_where_the_fine_one_is_not_sure(self) -> None:
        doubtful, sure = (0, 10, 80, 100), (0, 12, 84, 104)
        joint = with_large_faces(found(doubtful, scores=(0.3,)), found(sure), 300)
        assert joint.suppressed(0.5).boxes.tolist() == [[*sure]]

    def test_nothing_found(self) -> None:
        assert len(with_large_faces(found(), found(), 100)) == 0


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


def test_share_inside() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    b = np.array([[5, 0, 100, 100], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(inside_matrix(a, b), [[0.5, 0], [0, 0]])


class TestTurnedOver:
    def test_corners_and_landmarks(self) -> None:
        turned = found((10, 20, 30, 60)).turned_over(100, 200)
        np.testing.assert_allclose(turned.boxes, [[70, 140, 90, 180]])
        assert turned.landmarks is not None
        left_eye, right_eye = turned.landmarks[0, :2]
        assert left_eye[0] > right_eye[0]  # the face's left is at the right now
        assert turned.landmarks[0, 3, 1] < left_eye[1]

    def test_twice_is_as_before(self) -> None:
        before = found((10, 20, 30, 60), (0, 0, 5, 5))
        again = before.turned_over(90, 70).turned_over(90, 70)
        np.testing.assert_allclose(again.boxes, before.boxes)
        np.testing.assert_allclose(again.landmarks, before.landmarks, rtol=1e-5)  # type: ignore[arg-type]


class TestTiles:
    @given(
        width=st.integers(1, 5000),
        height=st.integers(1, 5000),
        side=st.integers(200, 1100),
        overlap=st.integers(0, 128),
        place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    )
    def test_every_face_is_whole_in_the_one_tile_that_owns_it(
        self, width: int, height: int, side: int, overlap: int, place: tuple[float, float]
    ) -> None:
        face = min(overlap, width, height) * 0.98
        x, y = place[0] * (width - face), place[1] * (height - face)
        box = found((x, y, x + face, y + face))
        owners = []
        for tile in tiles(width, height, side, overlap):
            assert 0 <= tile.x <= width - tile.width
            assert 0 <= tile.y <= height - tile.height
            assert max(tile.width, tile.height) <= side
            if len(tile.own(box)):
                owners.append(tile)
        (tile,) = owners
        assert tile.x <= x + 1
        assert tile.y <= y + 1
        assert tile.x + tile.width >= x + face - 1
        assert tile.y + tile.height >= y + face - 1

    def test_few_tiles(self) -> None:
        assert len([*tiles(1000, 1000, 1000, 100)]) == 1
        assert len([*tiles(1900, 1000, 1000, 100)]) == 2
        assert len([*tiles(1901, 1000, 1000, 100)]) == 3

    def test_faces_beyond_the_border_belong_to_a_tile(self) -> None:
        beyond: Float = np.array([[-30, 10, 20, 60], [990, 980, 1040, 1030]], np.float32)
        owned = [
            len(tile.own(Detections(beyond, np.ones(2, np.float32))))
            for tile in tiles(1000, 1000, 600, 100)
        ]
        assert sum(owned) == 2
