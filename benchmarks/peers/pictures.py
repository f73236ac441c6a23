"""Labelled pictures to compare accuracy on: the same for every program, chosen by a hash."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Image
from training.data import Labels, is_validation, set_names
from training.evaluate import SETS
from training.prepare import read_image, with_border


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures of N faces.

    Attributes:
        folder: that the names in ``labels`` are relative to.
        labels: of N pictures.
        sets: ``[N]``, name of each picture's data set.
    """

    folder: Path
    labels: Labels
    sets: NDArray[np.str_]

    def read(self, index: int) -> Image:
        """One picture with the border that training and evaluation add, uint8 ``[H, W, 3]``, RGB.

        Raises:
            DataError: it is missing or cannot be decoded.
        """
        return with_border(read_image(self.folder / str(self.labels.name[index])))[0]


def choose(folder: Path, labels: Labels, per_set: int) -> Pictures:
    """Take some pictures of the validation part of each data set; always the same ones.

    Args:
        folder: of the pictures.
        labels: of all pictures.
        per_set: how many at most; a smaller choice is part of a larger one.
    """
    labels = labels[is_validation(list(labels.name))]
    sets = np.array([SETS.get(name, name) for name in set_names(labels.name).tolist()], str)
    ranks = np.argsort([_number(str(name)) for name in labels.name], kind="stable")
    chosen = [ranks[sets[ranks] == name][:per_set] for name in dict.fromkeys(sets.tolist())]
    rows = np.concatenate(chosen) if chosen else np.empty(0, np.intp)
    return Pictures(folder, labels[rows], sets[rows])


def _number(name: str) -> float:
    """A pseudo-random number from 0 to 1 that goes with nothing else that is drawn by name."""
    digest = hashlib.sha256(f"peers {Path(name).name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
