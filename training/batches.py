"""Batches as a pure function of seed and step, prefetched by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import chip_transforms, warp_chips
from training.augment import degrade, jittered_chips
from training.data import Labels, Prepared, age_band

BALANCE = 0.25
"""How strongly rare groups are weighted up: 0 not at all, 1 to equal shares."""
MIN_WEIGHT, MAX_WEIGHT = 0.5, 3.0
"""Of one image, relative to the mean."""


@dataclass(frozen=True)
class Batch:
    """Input of one training step.

    Attributes:
        chips: float32 ``[B, S, S, 3]``, RGB, 0-255.
        ages: float32 ``[B, 2]``, lowest and highest.
        male: float32 ``[B, 1]``.
        weights: float32 ``[B]``, mean about 1.
    """

    chips: NDArray[np.float32]
    ages: NDArray[np.float32]
    male: NDArray[np.float32]
    weights: NDArray[np.float32]


def balancing_weights(labels: Labels) -> NDArray[np.float32]:
    """Weights that favour rare combinations of age band, gender and race, ``[N]``, mean 1.

    Args:
        labels: of the training part. Races count per data set, which name them differently.
    """
    cells = np.array(
        [
            f"{band}/{male}/{race}/{exact}"
            for band, male, race, exact in zip(
                age_band(labels.low), labels.male, labels.race, labels.exact, strict=True
            )
        ]
    )
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    weights = counts[inverse] ** -BALANCE
    weights = np.clip(weights / weights.mean(), MIN_WEIGHT, MAX_WEIGHT)
    return np.asarray(weights / weights.mean(), np.float32)


class TrainingBatches:
    """Endless augmented batches; batch ``i`` depends on the seed and ``i`` only."""

    def __init__(
        self,
        data: Prepared,
        rows: NDArray[np.intp],
        *,
        size: int,
        scale: float,
        batch: int,
        degradation: float,
        seed: int,
    ):
        """Compute the weights; read no image yet.

        Args:
            data: all images.
            rows: ``[M]``, indices of the training images.
            size: side of the chips, pixels.
            scale: side of the chips in box lengths.
            batch: images per batch.
            degradation: factor of the probabilities of degradation.
            seed: of order and augmentation.
        """
        self._data = data
        self._rows = rows
        self._size, self._scale = size, scale
        self._batch, self._degradation = batch, degradation
        self._seed = seed
        self._weights = balancing_weights(data.labels[rows])
        self.per_epoch = len(rows) // batch

    def make(self, step: int) -> Batch:
        """Make batch number ``step``, from 0."""
        epoch, index = divmod(step, self.per_epoch)
        order = np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._rows))
        chosen = np.sort(order[index * self._batch : (index + 1) * self._batch])
        rows = self._rows[chosen]
        rng = np.random.default_rng((self._seed, 1, step))
        chips = jittered_chips(
            self._data.images[rows],
            self._data.boxes[rows],
            self._data.landmarks[rows],
            self._scale,
            self._size,
            rng,
        )
        labels = self._data.labels[rows]
        return Batch(
            np.stack([degrade(chip, rng, self._degradation) for chip in chips]).astype(np.float32),
            np.stack([labels.low, labels.high], axis=1).astype(np.float32),
            labels.male[:, None].astype(np.float32),
            self._weights[chosen],
        )

    def stream(self, start: int, ahead: int = 6, threads: int = 2) -> Generator[Batch, None, None]:
        """Yield batches from number ``start`` on, ``ahead`` of them prefetched."""
        with ThreadPoolExecutor(threads) as pool:
            pending = deque(pool.submit(self.make, start + i) for i in range(ahead))
            step = start + ahead
            while True:
                batch = pending.popleft().result()
                pending.append(pool.submit(self.make, step))
                step += 1
                yield batch


def plain_chips(
    data: Prepared,
    rows: NDArray[np.intp],
    *,
    size: int,
    scale: float,
    rng: np.random.Generator | None = None,
) -> NDArray[np.uint8]:
    """Cut chips without degradation.

    Args:
        data: all images.
        rows: ``[M]``, indices of the images.
        size: side of the chips, pixels.
        scale: side of the chips in box lengths.
        rng: source of jitter as in training; None gives the service's own chips.

    Returns:
        uint8 ``[M, size, size, 3]``, RGB.
    """
    if rng is not None:
        return jittered_chips(
            data.images[rows], data.boxes[rows], data.landmarks[rows], scale, size, rng
        )
    transforms = chip_transforms(data.boxes[rows], data.landmarks[rows], scale, size)
    return np.concatenate(
        [
            warp_chips(data.images[row], transform[None], size)
            for row, transform in zip(rows, transforms, strict=True)
        ]
    )
