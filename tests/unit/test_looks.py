"""Joining several looks at one image, with hand-made boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.looks import tiles, with_large_faces
from age_gender.vision.geometry import Float, inside_matrix
from tests.unit.fakes import found


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


def test_share_inside() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    b = np.array([[5, 0, 100, 100], [20, 20, 30, 30]], np.float32)
    assert inside_matrix(a, b).tolist() == [[0.5, 0], [0, 0]]


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
