"""Edited photos stay photos of the same face."""

import cv2
import numpy as np

from testing.photos import decoded, portraits
from training.retouch import compressed, evenly_lit, grained, retouched, sharpened, smoothed


def test_a_retouched_portrait_is_the_same_face() -> None:
    image = photo()
    box = np.array([30, 30, 130, 130], np.float32)
    points = np.zeros((5, 2), np.float32)
    before = image.mean(axis=2).ravel()
    greys, changed = 0, []
    for seed in range(24):
        edited = retouched(image, box, points, np.random.default_rng(seed))
        assert edited.shape == image.shape
        assert edited.dtype == np.uint8
        after = edited.mean(axis=2).ravel()
        assert np.corrcoef(before, after)[0, 1] > 0.9
        channels = edited.reshape(-1, 3).astype(float)
        greys += bool((channels.std(axis=0) > 5).all() and np.corrcoef(channels.T).min() > 0.995)
        changed.append(np.abs(after - before).mean())
    assert 4 <= greys <= 20
    assert min(changed) > 0
    assert max(changed) > 10


def photo() -> np.ndarray:
    image = cv2.resize(decoded(portraits()[0].data), (160, 160), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


def detail(image: np.ndarray) -> float:
    return float(np.abs(cv2.Laplacian(image.astype(np.float32).mean(axis=2), -1)).mean())


def test_smoothing_takes_detail_and_sharpening_adds_some() -> None:
    image = photo()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        assert detail(smoothed(image, 100.0, rng)) < detail(image) < detail(sharpened(image, rng))


def test_flat_light_takes_shadows_away() -> None:
    image = np.full((160, 160, 3), 150, np.uint8)
    image[:, 80:] = 50
    image[:20, :20] = 0
    for seed in range(6):
        lit = evenly_lit(image, 100.0, np.random.default_rng(seed)).astype(float)
        assert lit[80, 10].mean() / lit[80, 150].mean() < 2.5
        assert (lit[:10, :10] == 0).all()


def test_grain_is_alike_all_over() -> None:
    grey = np.full((161, 159, 3), 128, np.uint8)
    for seed in range(12):
        grain = grained(grey, np.random.default_rng(seed))[..., 0].astype(float)
        assert grain.shape == grey.shape[:2]
        corner, centre = grain[:50, :50].std(), grain[55:105, 55:105].std()
        assert 0.75 < corner / centre < 1.33
        assert 1 < grain.std() < 10


def test_compression_keeps_the_order_of_channels() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 8:24] = (250, 40, 10)
    written = cv2.imencode(".jpg", image[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    read = cv2.imdecode(written, cv2.IMREAD_COLOR)
    assert read is not None
    np.testing.assert_array_equal(compressed(image, 50), read[..., ::-1])
