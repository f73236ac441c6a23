"""Which faces are trained on, in which part of cross-fitting, and how often each is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data import Labels, age_band, set_names

FOLDS = 3
"""Parts of cross-fitting: a teacher learns from two of them."""
BALANCE = 0.25
"""How much more often rare groups are drawn: 0 not at all, 1 to equal shares."""
MIN_WEIGHT, MAX_WEIGHT = 0.5, 3.0
"""Of one face, relative to the mean."""
OLD, OLDEST = 60, 70
"""Ages from which faces are drawn half and fully as often as asked for."""


def folds(files: Sequence[str]) -> NDArray[np.int64]:
    """Part of cross-fitting of each image, by a hash of its file name, ``[N]``.

    Args:
        files: ``[N]``, only the last component counts; independent of the validation part.
    """
    digests = [hashlib.sha256(Path(file).name.encode()).digest() for file in files]
    return np.array([digest[20] % FOLDS for digest in digests], np.int64)


def sampling_weights(labels: Labels, old: float = 1.0) -> NDArray[np.float64]:
    """How often each face is drawn, ``[N]``, sum 1.

    Rare combinations of age band, gender and race are drawn more often, per data set, since sets
    name races differently; so are old people.

    Args:
        labels: of the training images.
        old: factor from `OLDEST` on, half as strong from `OLD` on.
    """
    bands, sets = age_band(labels.low), set_names(labels.name)
    cells = [
        f"{band}/{male}/{race}/{name}"
        for band, male, race, name in zip(bands, labels.male, labels.race, sets, strict=True)
    ]
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    weights = counts[inverse] ** -BALANCE
    weights = np.clip(weights / weights.mean(), MIN_WEIGHT, MAX_WEIGHT)
    weights *= np.where(labels.low >= OLDEST, old, np.where(labels.low >= OLD, (1 + old) / 2, 1.0))
    return np.asarray(weights / weights.sum(), np.float64)


def groups(labels: Labels) -> NDArray[np.int64]:
    """Group of race and gender of each face with an age range, from 1; 0 for all others, ``[N]``.

    Sets with exact ages label races coarsely or not at all.
    """
    known = ~labels.exact & (labels.race != "")
    races = np.unique(labels.race[known])
    numbers = np.searchsorted(races, labels.race)
    return np.where(known, 1 + 2 * numbers + labels.male, 0).astype(np.int64)


def training_rows(
    labels: Labels,
    usable: NDArray[np.bool_],
    data: Sequence[str],
    left_out: Sequence[str] = (),
) -> NDArray[np.intp]:
    """Rows of the images to train on, ``[M]``.

    Args:
        labels: of N images.
        usable: bool ``[N]``: in the training part, with a face, not also in the validation part.
        data: names of the sets; empty: all.
        left_out: files that are better left out.
    """
    chosen = usable & ~np.isin(labels.name, list(left_out))
    if data:
        chosen &= np.isin(set_names(labels.name), list(data))
    return np.flatnonzero(chosen)
