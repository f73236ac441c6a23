"""Batches as a pure function of the seed and the step, made ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import chip_transforms, warp_chips
from training.augment import damaged, jittered_chips
from training.data import Labels, Prepared, age_band

BALANCE = 0.25
"""How far rare groups are weighted up: 0 not at all, 1 to equal shares."""
WEIGHTS = (0.5, 3.0)
"""Least and greatest weight of a picture."""


@dataclass(frozen=True)
class Batch:
    """What one training step takes.

    Attributes:
        chips: float32 ``[B, S, S, 3]``, RGB, 0-255.
        ages: float32 ``[B, 2]``, least and greatest.
        male: float32 ``[B, 1]``.
        weights: float32 ``[B]``, mean about 1.
    """

    chips: NDArray[np.float32]
    ages: NDArray[np.float32]
    male: NDArray[np.float32]
    weights: NDArray[np.float32]


def balancing_weights(labels: Labels) -> NDArray[np.float32]:
    """Weights that lift rare combinations of age band, sex and race, ``[N]``, mean 1.

    Args:
        labels: of the training part. Races count for each data set by itself, since the words
            differ.
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
    weights = np.clip(weights / weights.mean(), *WEIGHTS)
    return np.asarray(weights / weights.mean(), np.float32)


class TrainingBatches:
    """Endless augmented batches; batch ``i`` is the same in every run with the same seed."""

    def __init__(
        self,
        data: Prepared,
        rows: NDArray[np.intp],
        *,
        size: int,
        scale: float,
        batch: int,
        damage: float,
        seed: int,
    ):
        """Look at nothing yet.

        Args:
            data: all pictures.
            rows: ``[M]``, indices of those to train with.
            size: side of the chips, pixels.
            scale: side of the chips in box lengths.
            batch: pictures in a batch.
            damage: factor of the probabilities of damage.
            seed: of order and augmentation.
        """
        self._data = data
        self._rows = rows
        self._size, self._scale = size, scale
        self._batch, self._damage = batch, damage
        self._seed = seed
        self._weights = balancing_weights(data.labels[rows])
        self.per_epoch = len(rows) // batch

    def make(self, step: int) -> Batch:
        """Batch number ``step``, from 0."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._rows))
        chosen = np.sort(order[place * self._batch : (place + 1) * self._batch])
        rows = self._rows[chosen]
        rng = np.random.default_rng((self._seed, 1, step))
        chips = jittered_chips(
            self._data.pictures[rows],
            self._data.boxes[rows],
            self._data.landmarks[rows],
            self._scale,
            self._size,
            rng,
        )
        labels = self._data.labels[rows]
        return Batch(
            np.stack([damaged(chip, rng, self._damage) for chip in chips]).astype(np.float32),
            np.stack([labels.low, labels.high], axis=1).astype(np.float32),
            labels.male[:, None].astype(np.float32),
            self._weights[chosen],
        )

    def stream(self, start: int, ahead: int = 6, threads: int = 2) -> Generator[Batch, None, None]:
        """Batches from number ``start`` on, ``ahead`` of them being made beforehand."""
        with ThreadPoolExecutor(threads) as pool:
            waiting = deque(pool.submit(self.make, start + i) for i in range(ahead))
            step = start + ahead
            while True:
                batch = waiting.popleft().result()
                waiting.append(pool.submit(self.make, step))
                step += 1
                yield batch


def plain_chips(
    data: Prepared, rows: NDArray[np.intp], *, size: int, scale: float
) -> NDArray[np.uint8]:
    """Chips just as the product cuts them, uint8 ``[len(rows), size, size, 3]``."""
    transforms = chip_transforms(data.boxes[rows], data.landmarks[rows], scale, size)
    return np.concatenate(
        [
            warp_chips(data.pictures[row], transform[None], size)
            for row, transform in zip(rows, transforms, strict=True)
        ]
    )


def jittered_plain(
    data: Prepared,
    rows: NDArray[np.intp],
    size: int,
    scale: float,
    rng: np.random.Generator | None,
) -> NDArray[np.uint8]:
    """Undamaged chips, with the jitter of training unless ``rng`` is None."""
    if rng is None:
        return plain_chips(data, rows, size=size, scale=scale)
    return jittered_chips(
        data.pictures[rows], data.boxes[rows], data.landmarks[rows], scale, size, rng
    )
