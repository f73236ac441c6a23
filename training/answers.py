"""A model's answers to single labelled pictures, as a table that later versions can read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """A model's answers to N pictures.

    Attributes:
        ages: ``[N]``, years; NaN where no face was found.
        male: ``[N]``, probability.
    """

    ages: Float
    male: Float

    def __getitem__(self, index: NDArray[np.intp]) -> Answers:
        return Answers(self.ages[index], self.male[index])

    @property
    def found(self) -> Bools:
        """Whether there is a face, ``[N]``."""
        return np.asarray(~np.isnan(self.ages))


def write_answers(path: Path, names: NDArray[np.str_], found: Bools, answers: Attributes) -> None:
    """Write the answers to N pictures as a table; a row for each face that was found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(("file", "age", "age_low", "age_high", "male"))
        rows = zip(names, answers.ages, answers.intervals, answers.male, strict=True)
        for here, (name, age, (low, high), male) in zip(found, rows, strict=True):
            if here:
                writer.writerow((name, f"{age:.3f}", f"{low:.3f}", f"{high:.3f}", f"{male:.4f}"))


def read_answers(path: Path, names: NDArray[np.str_]) -> Answers:
    """Read the answers to some pictures."""
    with path.open(newline="", encoding="utf-8") as lines:
        found = {
            row["file"]: (float(row["age"]), float(row["male"])) for row in csv.DictReader(lines)
        }
    rows = np.array([found.get(str(name), (np.nan, np.nan)) for name in names], np.float64)
    return Answers(rows[:, 0], rows[:, 1])
