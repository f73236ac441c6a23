"""Labelled pictures: reading the tables, the fixed validation part, and the prepared arrays."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

OLDEST = 100
"""Last bin of the age distribution; older people are counted as this old."""
VALIDATION_SHARE = 0.1
BORDER = 0.3
"""Border added around a loosely cropped face before detection, in picture sides."""

AGE_EDGES = (3, 10, 20, 30, 40, 50, 60, 70)
"""First ages of FairFace's buckets after the first (0-2, 3-9, 10-19, ... 60-69, 70 and more)."""
AGE_BANDS = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")


class DataError(ValueError):
    """A table or a prepared folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Labels:
    """What is known of N pictures.

    Attributes:
        name: ``[N]``, file names relative to the folder of pictures.
        low: int ``[N]``, least age in whole years.
        high: int ``[N]``, greatest age; equal to ``low`` where the age is exact.
        male: bool ``[N]``.
        race: ``[N]``, in the words of the data set.
    """

    name: NDArray[np.str_]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    male: NDArray[np.bool_]
    race: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.name)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Labels:
        return Labels(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Whether the age is known to the year, ``[N]``."""
        return np.asarray(self.low == self.high)


def read_labels(table: Path) -> Labels:
    """Read a CSV with ``file, gender, race`` and ``age`` or ``age_low, age_high``.

    Raises:
        DataError: a column is missing or a value is not what it should be.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    try:
        low = [int(row["age"] if "age" in row else row["age_low"]) for row in rows]
        high = [int(row["age"] if "age" in row else row["age_high"]) for row in rows]
        return Labels(
            np.array([row["file"] for row in rows]),
            np.array(low),
            np.array(high),
            np.array([{"M": True, "F": False}[row["gender"]] for row in rows]),
            np.array([row["race"] for row in rows]),
        )
    except (KeyError, ValueError) as error:
        raise DataError(f"{table.name}: missing column or bad value: {error}") from error


def concatenated(parts: Sequence[Labels]) -> Labels:
    """All rows of ``parts``, in order."""
    return Labels(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Labels)}
    )


def is_validation(files: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each picture is in the validation part: by its file name, the same for ever.

    Neither data set names its people, so different photos of one person can be in both parts;
    copies of a photo are found by `training.prepare` and left out of training.

    Args:
        files: ``[N]``, only the last component counts.

    Returns:
        bool ``[N]``.
    """
    return np.asarray(_draws(files)[:, 0] < VALIDATION_SHARE)


def in_second_half(files: Sequence[str]) -> NDArray[np.bool_]:
    """Which half each picture is in when calibration is fitted on one and judged on the other.

    Args:
        files: ``[N]``, as for `is_validation`, of which this is independent.

    Returns:
        bool ``[N]``.
    """
    return np.asarray(_draws(files)[:, 1] < 0.5)


def _draws(files: Sequence[str]) -> NDArray[np.float64]:
    """Two numbers from 0 to 1 of each file name, ``[N, 2]``."""
    digests = [hashlib.sha256(Path(file).name.encode()).digest() for file in files]
    numbers = [[int.from_bytes(d[i : i + 8], "big") for i in (0, 8)] for d in digests]
    return np.array(numbers, np.float64).reshape(-1, 2) / 2**64


def age_band(ages: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.intp]:
    """Index into `AGE_BANDS` of each age, by whole years."""
    return np.digitize(np.floor(np.asarray(ages, np.float64) + 1e-9), AGE_EDGES)


@dataclass(frozen=True)
class Prepared:
    """Pictures and the face that the product's detector found in each.

    Attributes:
        pictures: uint8 ``[N, S, S, 3]``, RGB, without the border; memory-mapped.
        boxes: float32 ``[N, 4]``, pixels of ``pictures`` (may lie outside).
        landmarks: float32 ``[N, 5, 2]``, pixels.
        found: bool ``[N]``; where False, box and landmarks are zeros.
        leaked: bool ``[N]``, training pictures that are also in the validation part.
        labels: of all N.
    """

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    found: NDArray[np.bool_]
    leaked: NDArray[np.bool_]
    labels: Labels

    @property
    def validation(self) -> NDArray[np.bool_]:
        """Whether each picture is in the validation part, ``[N]``."""
        return is_validation(list(self.labels.name))


def load_prepared(folder: Path) -> Prepared:
    """Open what ``python -m training.prepare`` wrote."""
    try:
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        with np.load(folder / "faces.npz") as faces:
            arrays = dict(faces)
    except FileNotFoundError as error:
        raise DataError(f"{folder} is not prepared: run `python -m training.prepare`") from error
    labels = Labels(**{f.name: arrays.pop(f.name) for f in fields(Labels)})
    return Prepared(pictures=pictures, labels=labels, **arrays)
