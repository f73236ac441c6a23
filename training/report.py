"""From answers and labels to numbers by group, and to the model card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes
from training.data import AGE_BANDS, Labels, age_band
from training.metrics import mean_interval, share_interval

SIZE_EDGES = (12, 16, 24, 32, 48, 64)
"""Face sizes in pixels between the groups of the table by size."""
SHARPNESS_EDGES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Sharpness between the groups of the table by sharpness (see `age_gender.vision.quality`)."""
CALIBRATION_GROUPS = 10

Numbers = dict[str, Any]


def group_numbers(told: Attributes, labels: Labels) -> Numbers:
    """Everything counted in one group of faces.

    Args:
        told: what the model says of N faces.
        labels: of the same.

    Returns:
        Counts, means and shares with 95 % confidence intervals; those of ages only where ages are
        exact, those of buckets only where they are ranges.
    """
    exact, count = labels.exact, len(labels)
    right = (told.male >= 0.5) == labels.male
    numbers: Numbers = {"faces": count, "sex": _share(right)}
    if exact.any():
        off = np.abs(told.ages - labels.low)[exact]
        low, high = told.intervals[exact].T
        inside = (low <= labels.low[exact]) & (labels.low[exact] <= high)
        numbers["mae"] = [float(off.mean()), *mean_interval(off)]
        numbers["bias"] = float((told.ages - labels.low)[exact].mean())
        numbers["within_5"] = _share(off <= 5)
        numbers["coverage"] = _share(inside)
        numbers["interval_width"] = float((high - low).mean())
    if not exact.all():
        off_by = np.abs(age_band(told.ages) - age_band(labels.low))[~exact]
        numbers["bucket"] = _share(off_by == 0)
        numbers["bucket_within_one"] = _share(off_by <= 1)
    return numbers


def _share(hits: NDArray[np.bool_]) -> list[float]:
    low, high = share_interval(int(hits.sum()), len(hits))
    return [float(hits.mean()) if len(hits) else float("nan"), low, high]


def by_group(told: Attributes, labels: Labels, names: Sequence[str]) -> dict[str, Numbers]:
    """`group_numbers` of each group of faces that share a name.

    Args:
        told: of N faces.
        labels: of the same.
        names: ``[N]``, each face's group.
    """
    array = np.asarray(names)
    return {
        str(name): group_numbers(select(told, array == name), labels[array == name])
        for name in sorted(set(names), key=_by_number)
    }


def _by_number(name: str) -> tuple[float, str]:
    """Bands and sizes in the order of the number that they begin with; other names after them."""
    first = re.match(r"\d+(\.\d+)?", name)
    return (float(first[0]) if first else math.inf, name)


def select(told: Attributes, index: NDArray[np.bool_] | NDArray[np.intp]) -> Attributes:
    """Some of the faces."""
    return Attributes(told.ages[index], told.intervals[index], told.male[index])


def tables(told: Attributes, labels: Labels) -> Numbers:
    """All groupings of one data set: band, race, sex, and the three together."""
    bands = [AGE_BANDS[i] for i in age_band(labels.low)]
    sexes = ["M" if m else "F" for m in labels.male]
    races = labels.race.tolist()
    cells = [" / ".join(cell) for cell in zip(bands, races, sexes, strict=True)]
    middle = (labels.low >= 21) & (labels.low <= 60)
    numbers: Numbers = {
        "all": group_numbers(told, labels),
        "by_age": by_group(told, labels, bands),
        "by_race": by_group(told, labels, races),
        "by_sex": by_group(told, labels, sexes),
        "by_cell": by_group(told, labels, cells),
    }
    if labels.exact.all():
        numbers["ages_21_60"] = group_numbers(select(told, middle), labels[middle])
    return numbers


def size_names(sizes: NDArray[np.floating]) -> list[str]:
    """Group of each face size."""
    return _ranges(sizes, SIZE_EDGES, " px")


def sharpness_names(sharpness: NDArray[np.floating]) -> list[str]:
    """Group of each face's sharpness."""
    return _ranges(sharpness, SHARPNESS_EDGES, "")


def _ranges(values: NDArray[np.floating], edges: Sequence[float], unit: str) -> list[str]:
    """The range between two edges that each value is in, in words."""
    names = [f"{a:g} to {b:g}{unit}" for a, b in pairwise((0, *edges))]
    names.append(f"{edges[-1]:g}{unit} and more")
    return [names[group] for group in np.digitize(values, edges)]


def gender_calibration(male: NDArray[np.floating], truth: NDArray[np.bool_]) -> Numbers:
    """Told probability of the likelier sex against the share that is right.

    Returns:
        ``told`` and ``right`` by group, and ``ece``, the mean gap (expected calibration error,
        Guo et al. 2017).
    """
    confidence = np.maximum(male, 1 - male)
    right = (male >= 0.5) == truth
    groups = np.array_split(np.argsort(confidence), CALIBRATION_GROUPS)
    told = [float(confidence[g].mean()) for g in groups]
    hit = [float(right[g].mean()) for g in groups]
    gaps = [abs(a - b) * len(g) for a, b, g in zip(told, hit, groups, strict=True)]
    return {"told": told, "right": hit, "ece": sum(gaps) / len(male)}


def share(value: Sequence[float]) -> str:
    """A share with its confidence interval, in per cent."""
    return f"{value[0] * 100:.1f} % ({value[1] * 100:.1f}–{value[2] * 100:.1f})"  # noqa: RUF001


def years(value: Sequence[float]) -> str:
    """A mean of years with its confidence interval."""
    return f"{value[0]:.2f} ({value[1]:.2f}–{value[2]:.2f})"  # noqa: RUF001


COLUMNS: Mapping[str, tuple[str, Any]] = {
    "faces": ("faces", str),
    "mae": ("MAE, years", years),
    "bias": ("bias", lambda v: f"{v:+.1f}"),
    "within_5": ("within ±5", share),
    "coverage": ("80 % interval holds", share),
    "bucket": ("bucket", share),
    "bucket_within_one": ("within one bucket", share),
    "sex": ("sex", share),
}
"""What the tables of the card show: heading and form of each number."""


def table(groups: Mapping[str, Numbers], heading: str) -> str:
    """Markdown table, one row a group."""
    shown = [name for name in COLUMNS if any(name in g for g in groups.values())]
    rows = [[heading, *(COLUMNS[name][0] for name in shown)], ["---"] * (len(shown) + 1)]
    for group, numbers in groups.items():
        cells = [COLUMNS[n][1](numbers[n]) if n in numbers else "" for n in shown]
        rows.append([group.strip(), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
