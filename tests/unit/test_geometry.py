"""Boxes are checked against brute force, chips against the expected content."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from age_gender.vision import geometry
from age_gender.vision.geometry import (
    HEAD,
    Image,
    chip_transforms,
    clip_boxes,
    ios_matrix,
    iou_matrix,
    resize,
    resize_quickly,
    roll_angles,
    unmirrored,
    warp_chips,
)
from tests.unit.pictures import noise

Float = NDArray[np.float32]

FACE = np.array([[-20, -15], [20, -15], [0, 5], [-15, 25], [15, 25]], np.float32)
"""Landmarks of an upright face around its centre."""


def rotated(points: Float, degrees: float) -> Float:
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ rotation.T, np.float32)


def seen(yaw: float) -> Float:
    """Landmarks of a head turned aside by ``yaw`` degrees, seen from far away."""
    angle = np.radians(yaw)
    across = HEAD[:, 0] * np.cos(angle) + HEAD[:, 2] * np.sin(angle)
    return np.stack([across, HEAD[:, 1]], axis=1).astype(np.float32)


def mapped(transform: Float, points: Float) -> Float:
    return np.asarray(points @ transform[:, :2].T + transform[:, 2], np.float32)


@st.composite
def whole_boxes(draw: st.DrawFn, max_size: int = 12) -> Float:
    corner, side = st.integers(0, 12), st.integers(0, 8)
    corners = draw(st.lists(st.tuples(corner, corner, side, side), max_size=max_size))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in corners], np.float32).reshape(-1, 4)


def iou_by_cells(a: Float, b: Float) -> float:
    def cells(box: Float) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, box)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    union = cells(a) | cells(b)
    return len(cells(a) & cells(b)) / len(union) if union else 0.0


class TestBoxes:
    @settings(max_examples=60)
    @given(whole_boxes(), whole_boxes())
    def test_iou_counts_cells(self, a: Float, b: Float) -> None:
        got = iou_matrix(a, b)
        assert got.shape == (len(a), len(b))
        assert got.dtype == np.float32
        want = np.array([[iou_by_cells(x, y) for y in b] for x in a]).reshape(got.shape)
        np.testing.assert_allclose(got, want, atol=1e-6)

    def test_iou_of_inverted_boxes_is_zero(self) -> None:
        inverted = np.array([[10, 10, 0, 0]], np.float32)
        assert iou_matrix(inverted, inverted) == 0

    def test_ios_of_nested_boxes_is_one(self) -> None:
        boxes = np.array([[0, 0, 8, 8], [2, 2, 4, 4], [6, 0, 14, 8], [3, 3, 3, 9]], np.float32)
        expected = np.array([[1, 1, 0.25, 0], [1, 1, 0, 0], [0.25, 0, 1, 0], [0, 0, 0, 0]])
        np.testing.assert_allclose(ios_matrix(boxes, boxes), expected)

    def test_clip(self) -> None:
        boxes = np.array([[-5, -6, 200, 300], [10, 20, 30, 40]], np.float32)
        np.testing.assert_array_equal(
            clip_boxes(boxes, 100, 50), [[0, 0, 100, 50], [10, 20, 30, 40]]
        )


class TestTransforms:
    @given(st.floats(-179, 179))
    def test_roll_is_the_rotation_of_the_face(self, degrees: float) -> None:
        angle = np.degrees(roll_angles(rotated(FACE, degrees)[None]))
        assert angle == pytest.approx(degrees, abs=0.1)

    @given(
        points=st.lists(st.floats(-50, 50), min_size=10, max_size=10),
        degrees=st.floats(-180, 180),
        zoom=st.floats(0.1, 10),
    )
    def test_a_rotated_image_gives_exactly_that_much_more(
        self, points: list[float], degrees: float, zoom: float
    ) -> None:
        landmarks = np.array(points, np.float32).reshape(5, 2)
        axes = np.stack([landmarks[1] - landmarks[0], landmarks[3] - landmarks[0]])
        assume(abs(np.linalg.det(axes)) > 10)
        (before,) = roll_angles(landmarks[None])
        after = roll_angles(rotated(landmarks, degrees)[None] * np.float32(zoom) + 7)
        difference = np.degrees(after - before)[0] - degrees
        assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=0.5)

    @pytest.mark.parametrize("yaw", [-90, -60, -30, 0, 30, 60, 90])
    @pytest.mark.parametrize("degrees", [-120, 0, 35])
    def test_a_head_that_turns_aside_keeps_its_roll(self, yaw: float, degrees: float) -> None:
        points = rotated(seen(yaw), degrees)
        assert np.degrees(roll_angles(points[None]))[0] == pytest.approx(degrees, abs=3)

    def test_profiles_are_not_turned_by_noise(self) -> None:
        """Where the eyes nearly coincide, a pixel of noise would turn their line by any angle."""
        noisy = seen(85) * 20 + np.random.default_rng(1).normal(0, 1, (200, 5, 2))
        angles = np.abs(np.degrees(roll_angles(noisy.astype(np.float32))))
        eyes = noisy[:, 1] - noisy[:, 0]
        eye_line = np.abs(np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0])))
        assert np.percentile(angles, 95) < 10
        assert np.percentile(eye_line, 95) > 20

    def test_landmarks_seen_from_behind_are_put_right(self) -> None:
        swapped = [1, 0, 2, 4, 3]
        upside_down = rotated(FACE, 180)
        (fixed,) = unmirrored(upside_down[swapped][None])
        np.testing.assert_array_equal(fixed, upside_down)
        assert abs(np.degrees(roll_angles(fixed[None]))[0]) == pytest.approx(180, abs=0.1)
        for degrees in range(0, 360, 30):
            for yaw in (-85, -60, 0, 60, 85):
                points = rotated(seen(yaw), degrees)[None]
                np.testing.assert_array_equal(unmirrored(points), points)

    @given(
        degrees=st.floats(-180, 180),
        centre=st.tuples(st.floats(-50, 500), st.floats(-50, 500)),
        sides=st.tuples(st.floats(2, 400), st.floats(2, 400)),
        scale=st.floats(0.8, 2),
        size=st.integers(32, 512),
    )
    def test_face_ends_up_centred_level_and_to_scale(
        self,
        degrees: float,
        centre: tuple[float, float],
        sides: tuple[float, float],
        scale: float,
        size: int,
    ) -> None:
        middle, half = np.array(centre), np.array(sides) / 2
        boxes = np.concatenate([middle - half, middle + half])[None].astype(np.float32)
        landmarks = (rotated(FACE, degrees) + middle).astype(np.float32)
        (transform,) = chip_transforms(boxes, landmarks[None], scale, size)
        zoom = size / (scale * max(sides))
        exact = 0.002 * size + 0.02 * zoom
        assert mapped(transform, middle[None])[0] == pytest.approx([size / 2] * 2, abs=exact)
        in_chip = mapped(transform, landmarks)
        # Level eyes alone would also allow an upside-down face.
        np.testing.assert_allclose(in_chip - size / 2, FACE * zoom, atol=20 * exact)

    def test_without_landmarks_nothing_is_rotated(self) -> None:
        boxes = np.array([[10, 20, 50, 100]], np.float32)
        (transform,) = chip_transforms(boxes, None, 1.0, 160)
        corners = mapped(transform, np.array([[-10, 20], [70, 100]]))
        np.testing.assert_allclose(corners, [[0, 0], [160, 160]], atol=1e-3)

    def test_an_empty_box_gives_a_finite_transform(self) -> None:
        boxes = np.array([[5, 5, 5, 5]], np.float32)
        assert np.isfinite(chip_transforms(boxes, None, 1.25, 64)).all()

    def test_no_faces(self) -> None:
        none = chip_transforms(np.zeros((0, 4), np.float32), None, 1.25, 64)
        assert warp_chips(noise(8, 8), none, 64).shape == (0, 64, 64, 3)


def ramps(width: int, height: int) -> NDArray[np.uint8]:
    """Red grows with x and green with y, linearly, so that each colour stands for one place."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.rint((np.arange(width) + 0.5) * 255 / width)
    image[..., 1] = np.rint((np.arange(height) + 0.5) * 255 / height)[:, None]
    return image


def places(chip: NDArray[np.uint8], width: int, height: int) -> Float:
    """Return where in the image of ramps each pixel of a chip comes from, ``[S, S, 2]``."""
    return (chip[..., :2] / 255 * (width, height)).astype(np.float32)


def expected_places(transform: Float, size: int) -> Float:
    steps = np.arange(size) + 0.5
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    inverse = np.linalg.inv(transform[:, :2])
    return ((grid - transform[:, 2]) @ inverse.T).reshape(size, size, 2).astype(np.float32)


class TestChips:
    @settings(max_examples=40)
    @given(
        degrees=st.floats(-180, 180),
        centre=st.tuples(st.floats(-10, 266), st.floats(-10, 266)),
        side=st.floats(8, 400),
        size=st.sampled_from([32, 64]),
    )
    def test_every_pixel_comes_from_its_place(
        self, degrees: float, centre: tuple[float, float], side: float, size: int
    ) -> None:
        """At all scales, with plain sampling and with averaging first."""
        middle = np.array(centre)
        boxes = np.array([[*(middle - side / 2), *(middle + side / 2)]], np.float32)
        landmarks = (rotated(FACE, degrees) + middle).astype(np.float32)[None]
        transforms = chip_transforms(boxes, landmarks, 1.25, size)
        (chip,) = warp_chips(ramps(256, 256), transforms, size)
        # Areas outside the image repeat the nearest border pixel.
        expected = np.clip(expected_places(transforms[0], size), 0.5, 255.5)
        error = np.abs(places(chip, 256, 256) - expected)
        step = 1.25 * side / size  # of the source for one pixel of the chip
        inside = np.all((expected > step) & (expected < 256 - step), axis=-1)
        assume(inside.any())
        # Only the rounding of colours, up to three times, adds to the error.
        assert error[inside].max() < 1.6
        assert error.max() < max(1.6, step + 1)

    @pytest.mark.parametrize("side", [24, 200])
    def test_a_marker_ends_at_its_pixel(self, side: int) -> None:
        image = np.zeros((300, 400, 3), np.uint8)
        centre, size = np.array([150.0, 130.0]), 50
        marker = centre + np.array([side / 5, -side / 10])
        spread = max(1, side // 40)
        x, y = marker.astype(int)
        image[y - spread : y + spread, x - spread : x + spread] = 255
        boxes = np.array([[*(centre - side / 2), *(centre + side / 2)]], np.float32)
        (chip,) = warp_chips(image, chip_transforms(boxes, None, 1.0, size), size)
        weights = chip[..., 0].astype(float)
        rows, columns = np.indices(weights.shape) + 0.5
        centroid = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
        expected = (np.floor(marker) - centre) * size / side + size / 2
        np.testing.assert_allclose(centroid, expected, atol=0.3)

    def test_shrinking_averages_instead_of_skipping(self) -> None:
        boxes = np.array([[100, 100, 900, 900]], np.float32)
        (chip,) = warp_chips(noise(1000, 1000), chip_transforms(boxes, None, 1.0, 64), 64)
        # The mean of independent pixels stays, and their deviation of 74 nearly vanishes.
        assert chip.mean() == pytest.approx(127.5, abs=2)
        assert chip.std() < 20

    @pytest.mark.parametrize("degrees", [0.0, 37.0, 180.0])
    def test_a_chip_is_sampled_as_from_the_whole_image(self, degrees: float) -> None:
        image = noise(200, 300)
        corners = np.array([[120, 60], [-25, 90], [260, -20], [150, 170], [400, 90]], np.float32)
        boxes = np.concatenate([corners, corners + 60], axis=1)
        angles = np.full(len(boxes), np.radians(degrees), np.float32)
        transforms = geometry.rotated_transforms(boxes, angles, 1.25, 64)
        for chip, transform in zip(warp_chips(image, transforms, 64), transforms, strict=True):
            # From pixel i spanning i to i+1 to OpenCV's pixels, which are centred on i.
            shift = transform[:, :2].sum(axis=1, keepdims=True) * 0.5 - 0.5
            centred = np.concatenate([transform[:, :2], transform[:, 2:] + shift], axis=1)
            expected = cv2.warpAffine(image, centred, (64, 64), borderMode=cv2.BORDER_REPLICATE)
            difference = np.abs(chip.astype(int) - expected)
            assert difference.mean() < 0.1
            assert difference.max() <= 2

    def test_outside_is_the_border_and_not_black(self) -> None:
        image = np.full((40, 40, 3), 200, np.uint8)
        boxes = np.array([[-30, -30, 30, 30], [1000, 1000, 1100, 1100]], np.float32)
        chips = warp_chips(image, chip_transforms(boxes, None, 1.25, 32), 32)
        assert (chips == 200).all()

    @pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3)])
    @pytest.mark.parametrize("side", [1, 40, 4000])
    def test_images_of_any_shape(self, shape: tuple[int, int], side: int) -> None:
        image = np.full((*shape, 3), 77, np.uint8)
        boxes = np.array([[0, 0, side, side]], np.float32)
        chips = warp_chips(image, chip_transforms(boxes, None, 1.25, 48), 48)
        assert (chips == 77).all()

    @pytest.mark.defends("overlapping-faces")
    def test_many_overlapping_chips_share_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image = np.full((4200, 4200, 3), 90, np.uint8)
        corners = np.random.default_rng(0).integers(0, 1000, (300, 2))
        boxes = np.concatenate([corners, corners + 3200], axis=1).astype(np.float32)
        averaged = 0

        def counted(image: Image, width: int, height: int) -> Image:
            nonlocal averaged
            averaged += image.shape[0] * image.shape[1]
            return resize(image, width, height)

        monkeypatch.setattr(geometry, "resize", counted)
        chips = warp_chips(image, chip_transforms(boxes, None, 1.25, 112), 112)
        assert (chips == 90).all()
        # Without sharing, each of the 300 takes more than half of the image.
        assert averaged < 10 * image.shape[0] * image.shape[1]

    def test_chips_that_share_the_work_are_nearly_the_same(self) -> None:
        blurred = cv2.GaussianBlur(noise(2400, 2400), (0, 0), 12)
        image = np.asarray(
            cv2.normalize(blurred, np.empty_like(blurred), 0, 255, cv2.NORM_MINMAX), np.uint8
        )
        sides = np.linspace(300, 1900, 60)
        corners = np.random.default_rng(0).integers(0, 400, (60, 2))
        boxes = np.concatenate([corners, corners + sides[:, None]], axis=1).astype(np.float32)
        landmarks = np.tile(
            np.array([[0, 0], [9, 2], [5, 5], [1, 9], [8, 11]], np.float32), (60, 1, 1)
        )
        transforms = chip_transforms(boxes, landmarks, 1.25, 112)
        together = warp_chips(image, transforms, 112).astype(int)
        alone = np.concatenate([warp_chips(image, t[None], 112) for t in transforms])
        assert not np.array_equal(together, alone)
        assert np.abs(together - alone).mean(axis=(1, 2, 3)).max() < 3

    def test_the_image_is_not_changed(self) -> None:
        image = noise(60, 60)
        before = image.copy()
        boxes = np.array([[5, 5, 50, 50]], np.float32)
        warp_chips(image, chip_transforms(boxes, None, 1.0, 32), 32)
        np.testing.assert_array_equal(image, before)


class TestResize:
    @pytest.mark.parametrize("size", [(400, 304), (401, 304), (800, 640), (96, 64)])
    @pytest.mark.parametrize("target", [(90, 70), (100, 76), (37, 60)])
    def test_resize_quickly_gives_nearly_the_same(
        self, size: tuple[int, int], target: tuple[int, int]
    ) -> None:
        smooth = cv2.GaussianBlur(noise(*size), (0, 0), 6)
        cv2.normalize(smooth, smooth, 0, 255, cv2.NORM_MINMAX)
        image = np.asarray(smooth, np.uint8)
        quick = resize_quickly(image, *target)
        assert quick.shape == (target[1], target[0], 3)
        slow = resize(image, *target).astype(int)
        by_one_pixel = np.abs(np.roll(slow, 1, axis=1) - slow).mean()
        assert np.abs(quick - slow).mean() < by_one_pixel / 4

    def test_the_same_size_returns_the_same_image(self) -> None:
        image = noise(9, 7)
        assert resize(image, 9, 7) is image

    @pytest.mark.parametrize("size", [(30, 20), (90, 14), (5, 40), (1, 1)])
    def test_width_comes_first(self, size: tuple[int, int]) -> None:
        width, height = size
        assert resize(noise(31, 21), width, height).shape == (height, width, 3)
        assert resize(noise(31, 21)[..., 0], width, height).shape == (height, width)

    def test_shrinking_averages(self) -> None:
        checker = np.indices((64, 64)).sum(0) % 2 * 255
        shrunk = resize(checker.astype(np.uint8), 16, 16)
        assert np.abs(shrunk.astype(int) - 127.5).max() <= 1

    def test_growing_blends(self) -> None:
        edge = np.array([[0, 200]], np.uint8)
        grown = resize(np.repeat(edge, 2, axis=0), 8, 2)[0].astype(int)
        assert (np.diff(grown) >= 0).all()
        assert len(set(grown.tolist())) > 2
