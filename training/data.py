"""Labelled images: tables, the fixed validation part, and the prepared arrays."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VALIDATION_SHARE = 0.1
BORDER = 0.3
"""Border added around a cropped face before detection, in image sides."""

AGE_EDGES = (3, 10, 20, 30, 40, 50, 60, 70)
"""Lower ends of FairFace's buckets from the second on (0-2, 3-9, 10-19, ... 60-69, 70+)."""
AGE_BANDS = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")

FULL_SET = 400
"""Images from which a data set counts as much as any other."""


class DataError(ValueError):
    """A table or a prepared folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Labels:
    """Labels of N images.

    Attributes:
        name: ``[N]``, file names relative to the image folder.
        low: int ``[N]``, lowest age in whole years.
        high: int ``[N]``, highest age; equal to ``low`` where the age is exact.
        male: bool ``[N]``.
        race: ``[N]``, as the data set names it; empty if it does not.
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
    """Read a CSV with ``file, gender``, ``age`` or ``age_low, age_high``, and perhaps ``race``.

    Raises:
        DataError: a column is missing or a value is invalid.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    try:
        low = [int(row["age"] if "age" in row else row["age_low"]) for row in rows]
        high = [int(row["age"] if "age" in row else row["age_high"]) for row in rows]
        return Labels(
            np.array([row["file"] for row in rows], str),
            np.array(low),
            np.array(high),
            np.array([{"M": True, "F": False}[row["gender"]] for row in rows]),
            np.array([row.get("race") or "" for row in rows], str),
        )
    except (KeyError, ValueError) as error:
        raise DataError(f"{table.name}: missing column or bad value: {error}") from error


def read_tables(tables: Sequence[Path], leave_out: Path | None = None) -> Labels:
    """Read several tables as one.

    Args:
        tables: see `read_labels`.
        leave_out: CSV whose column ``file`` names images to leave out.
    """
    labels = concatenated([read_labels(table) for table in tables])
    return labels[~np.isin(labels.name, read_names(leave_out))]


def read_names(table: Path | None) -> list[str]:
    """Read the column ``file`` of a CSV; no table, no names.

    Raises:
        DataError: the column is missing.
    """
    if table is None:
        return []
    with table.open(newline="", encoding="utf-8") as lines:
        try:
            return [row["file"] for row in csv.DictReader(lines)]
        except KeyError:
            raise DataError(f"{table.name}: missing column file") from None


def set_names(files: Sequence[str] | NDArray[np.str_]) -> NDArray[np.str_]:
    """Data set of each image: the first folder in its name, empty if there is none; ``[N]``."""
    return np.array([file.split("/")[0] if "/" in file else "" for file in map(str, files)], str)


def merged_sets(labels: Labels) -> NDArray[np.str_]:
    """Data set of each image, as `set_names`; FairFace's two parts are one; ``[N]``."""
    sets = set_names(labels.name)
    return np.where(np.char.startswith(sets, "fairface"), "fairface", sets)


def set_weights(sets: NDArray[np.str_]) -> NDArray[np.float64]:
    """Weights of N images that let each data set count the same, but for small ones, ``[N]``."""
    weights = np.zeros(len(sets))
    for name in np.unique(sets):
        rows = sets == name
        weights[rows] = min(1.0, float(rows.sum()) / FULL_SET) / rows.sum()
    return weights


def concatenated(parts: Sequence[Labels]) -> Labels:
    """Concatenate all rows of ``parts``."""
    return Labels(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Labels)}
    )


def is_validation(files: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each image is in the validation part, by a hash of its file name.

    The data sets do not identify people, so photos of one person can be in both parts. Copies of a
    photo are found by `training.prepare` and left out of training.

    Args:
        files: ``[N]``, only the last component counts.

    Returns:
        bool ``[N]``.
    """
    return np.asarray(_draws(files)[:, 0] < VALIDATION_SHARE)


def in_second_half(files: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each image is in the second half, for cross-fitting the calibration.

    Args:
        files: ``[N]``, as for `is_validation`; the two are independent.

    Returns:
        bool ``[N]``.
    """
    return np.asarray(_draws(files)[:, 1] < 0.5)


def _draws(files: Sequence[str]) -> NDArray[np.float64]:
    """Two pseudo-random numbers from 0 to 1 per file name, ``[N, 2]``."""
    digests = [hashlib.sha256(Path(file).name.encode()).digest() for file in files]
    numbers = [[int.from_bytes(d[i : i + 8], "big") for i in (0, 8)] for d in digests]
    return np.array(numbers, np.float64).reshape(-1, 2) / 2**64


def age_band(ages: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.intp]:
    """Index into `AGE_BANDS` of each age in years, ``[N]``."""
    return np.digitize(np.floor(np.asarray(ages, np.float64) + 1e-9), AGE_EDGES)


@dataclass(frozen=True)
class Prepared:
    """Images, and the face that the service's detector detected in each.

    Attributes:
        images: uint8 ``[N, S, S, 3]``, RGB, without the border; memory-mapped.
        boxes: float32 ``[N, 4]``, pixels of ``images`` (may lie outside).
        landmarks: float32 ``[N, 5, 2]``, pixels.
        detected: bool ``[N]``; where False, box and landmarks are zeros.
        leaked: bool ``[N]``, training images that are also in the validation part.
        labels: of all N.
        rolls: float32 ``[N]``, in-plane rotation in radians, see `geometry.roll_angles`; kept so
            that training needs no other library.
    """

    images: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    detected: NDArray[np.bool_]
    leaked: NDArray[np.bool_]
    labels: Labels
    rolls: NDArray[np.float32]

    @property
    def validation(self) -> NDArray[np.bool_]:
        """Whether each image is in the validation part, ``[N]``."""
        return is_validation(list(self.labels.name))


def load_prepared(folder: Path) -> Prepared:
    """Open what ``python -m training.prepare`` wrote."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        with np.load(folder / "faces.npz") as faces:
            arrays = dict(faces)
    except FileNotFoundError as error:
        raise DataError(f"{folder} is not prepared: run `python -m training.prepare`") from error
    labels = Labels(**{f.name: arrays.pop(f.name) for f in fields(Labels)})
    return Prepared(images=images, labels=labels, **arrays)
