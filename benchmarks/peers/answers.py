"""Answers of a program, kept in a file so that an interrupted comparison goes on from there."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.accuracy_table import Estimates

Answer = tuple[float | None, str]
"""Age in years and gender (``M``, ``F``, or else); no age and an empty word without a face."""


class Answers:
    """Answers by name of the picture; a line of JSON each."""

    def __init__(self, path: Path):
        """Read what is there; a last line that was cut off is dropped.

        Args:
            path: of the file, which may not exist yet.
        """
        self._path = path
        self._known: dict[str, Answer] = {}
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        for line in lines:
            name, age, gender = json.loads(line)
            self._known[name] = (age, gender)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def add(self, name: str, answer: Answer) -> None:
        """Keep one answer."""
        self._known[name] = answer
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, *answer]) + "\n")

    def of(self, names: NDArray[np.str_]) -> Estimates:
        """Return the answers for some pictures, which must all be there."""
        answers = [self._known[str(name)] for name in names]
        ages = [np.nan if age is None else age for age, _ in answers]
        return Estimates(np.array(ages, np.float64), np.array([gender for _, gender in answers]))
