"""Metrics of several programs on the same labelled faces, and their table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import table
from training.data import Labels, age_band
from training.metrics import mean_interval, share_interval
from training.report import share, years

Bools = NDArray[np.bool_]
Metrics = dict[str, Any]

MIN_COMMON = 30
"""Faces below which no figures of the faces that all find are given."""


@dataclass(frozen=True)
class Estimates:
    """What one program makes of N pictures.

    Attributes:
        ages: ``[N]``, years; NaN where it finds no face.
        genders: ``[N]``, ``M``, ``F``, or anything else, which is never right.
    """

    ages: NDArray[np.float64]
    genders: NDArray[np.str_]

    @property
    def found(self) -> Bools:
        """Whether there is a face, ``[N]``."""
        return np.asarray(~np.isnan(self.ages))


def summary(
    programs: Sequence[Mapping[str, Any]],
    answers: Sequence[Estimates | str],
    labels: Labels,
    sets: NDArray[np.str_],
) -> dict[str, Any]:
    """Compute the metrics of each program on each data set.

    Args:
        programs: ``name``, ``data`` (the sets it was trained on, or None), ``ours``.
        answers: of each program on N pictures, or why there are none.
        labels: of the N pictures.
        sets: ``[N]``, name of each picture's data set.

    Returns:
        ``sets`` with the pictures of each set and the faces that all programs find; ``programs``
        with ``sets`` (metrics of the faces found, and of those that all find) or ``unavailable``.
    """
    found = [answer.found for answer in answers if isinstance(answer, Estimates)]
    common = np.logical_and.reduce(found) if found else np.zeros(len(labels), bool)
    names = list(dict.fromkeys(sets.tolist()))
    rows = []
    for program, answer in zip(programs, answers, strict=True):
        if isinstance(answer, str):
            rows.append({**program, "unavailable": answer})
            continue
        by_set = {}
        for name in names:
            index = sets == name
            missed = index & ~answer.found
            both = index & common
            by_set[name] = {
                "missed": _share(missed[index]),
                "found": metrics(answer, labels, index & answer.found),
                "common": metrics(answer, labels, both) if both.sum() >= MIN_COMMON else {},
            }
        rows.append({**program, "sets": by_set})
    counts = {
        name: {
            "pictures": int((sets == name).sum()),
            "common": int((common & (sets == name)).sum()),
        }
        for name in names
    }
    return {"sets": counts, "programs": rows}


def metrics(answer: Estimates, labels: Labels, rows: Bools) -> Metrics:
    """Mean error or right buckets, and right genders, of some faces, with 95 % intervals.

    Args:
        answer: of N pictures.
        labels: of the same; of one kind of ages.
        rows: bool ``[N]``, the faces that count; all of them found.
    """
    if not rows.any():
        return {}
    truth, ages = labels[rows], answer.ages[rows]
    right = answer.genders[rows] == np.where(truth.male, "M", "F")
    result: Metrics = {"gender": _share(right)}
    if truth.exact.all():
        errors = np.abs(ages - truth.low)
        result["mae"] = _rounded(float(errors.mean()), *mean_interval(errors))
    else:
        result["bucket"] = _share(age_band(ages) == age_band(truth.low))
    return result


def _share(hits: Bools) -> list[float]:
    low, high = share_interval(int(hits.sum()), len(hits))
    return _rounded(float(hits.mean()), low, high)


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]


def comparison(results: Mapping[str, Any]) -> str:
    """Render one table of all programs on all data sets."""
    rows = [
        _row(name, program)
        for name in results["sets"]
        for program in results["programs"]
        if "sets" in program
    ]
    counts = ", ".join(
        f"{name} {n['pictures']} ({n['common']})" for name, n in results["sets"].items()
    )
    heads = ("set", "program", "trained on this set", "not found", "age", "gender")
    lines = [
        f"Pictures, and in brackets those in which every program finds a face: {counts}.\n",
        table((*heads, "age, faces that all find", "gender, faces that all find"), rows),
    ]
    absent = [p for p in results["programs"] if "unavailable" in p]
    lines += [f"\n{p['name']}: not measured, {p['unavailable']}" for p in absent]
    return "\n".join(lines)


def _row(name: str, program: Mapping[str, Any]) -> list[str]:
    measured = program["sets"][name]
    cells = [cell(measured[part]) for part in ("found", "common") for cell in (_age, _gender)]
    return [name, program["name"], _knows(program, name), share(measured["missed"]), *cells]


def _age(measured: Metrics) -> str:
    if "mae" in measured:
        return f"{years(measured['mae'])} years"
    return share(measured["bucket"]) if "bucket" in measured else "-"


def _gender(measured: Metrics) -> str:
    return share(measured["gender"]) if measured else "-"


def _knows(program: Mapping[str, Any], name: str) -> str:
    """Whether a program was trained on a data set."""
    if program["data"] is None:
        return "not published"
    if name not in program["data"]:
        return "no"
    return "yes, not these pictures" if program["ours"] else "yes, probably these too"
