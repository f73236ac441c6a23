"""Edited photos stay photos of the same face."""

import cv2
import numpy as np

from testing.photos import decoded, portraits
from training.retouch import retouched


def test_a_retouched_portrait_is_the_same_face() -> None:
    photo = portraits()[0]
    image = cv2.resize(decoded(photo.data), (160, 160), interpolation=cv2.INTER_AREA)
    box = np.array([30, 30, 130, 130], np.float32)
    points = np.zeros((5, 2), np.float32)
    before = image.mean(axis=2).ravel()
    greys, changed = 0, []
    for seed in range(24):
        edited = retouched(np.asarray(image, np.uint8), box, points, np.random.default_rng(seed))
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
