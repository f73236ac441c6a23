"""Metrics by group, and their tables in the model card."""

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

OVER_AGES = (18, 20, 25, 60)
OVER_LIMITS = (0.5, 0.9, 0.99)
"""Probabilities from which someone would be taken for that old."""
SIZE_EDGES = (12, 16, 24, 32, 48, 64)
"""Limits in pixels between the groups of face sizes."""
SHARPNESS_EDGES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Limits between the groups of sharpness (see `age_gender.vision.quality`)."""
CALIBRATION_GROUPS = 10

Metrics = dict[str, Any]


def group_metrics(predicted: Attributes, labels: Labels) -> Metrics:
    """Compute all metrics of one group of faces.

    Args:
        predicted: of N faces.
        labels: of the same.

    Returns:
        Counts, means and shares with 95 % confidence intervals; of ages only for exact ages, of
        buckets only for age ranges.
    """
    exact, count = labels.exact, len(labels)
    correct = (predicted.male >= 0.5) == labels.male
    stated = np.maximum(predicted.male, 1 - predicted.male)
    metrics: Metrics = {
        "faces": count,
        "gender": _share(correct),
        "gender_stated": float(stated.mean()) if count else float("nan"),
    }
    if exact.any():
        off = np.abs(predicted.ages - labels.low)[exact]
        low, high = predicted.intervals[exact].T
        inside = (low <= labels.low[exact]) & (labels.low[exact] <= high)
        metrics["mae"] = [float(off.mean()), *mean_interval(off)]
        metrics["bias"] = float((predicted.ages - labels.low)[exact].mean())
        metrics["within_5"] = _share(off <= 5)
        metrics["coverage"] = _share(inside)
        metrics["interval_width"] = float((high - low).mean())
    if not exact.all():
        off_by = np.abs(age_band(predicted.ages) - age_band(labels.low))[~exact]
        metrics["bucket"] = _share(off_by == 0)
        metrics["bucket_within_one"] = _share(off_by <= 1)
    return metrics


def _share(hits: NDArray[np.bool_]) -> list[float]:
    low, high = share_interval(int(hits.sum()), len(hits))
    return [float(hits.mean()) if len(hits) else float("nan"), low, high]


def by_group(predicted: Attributes, labels: Labels, names: Sequence[str]) -> dict[str, Metrics]:
    """Compute `group_metrics` for each group.

    Args:
        predicted: of N faces.
        labels: of the same.
        names: ``[N]``, group of each face.
    """
    array = np.asarray(names)
    return {
        str(name): group_metrics(predicted[array == name], labels[array == name])
        for name in sorted(set(names), key=_by_number)
    }


def _by_number(name: str) -> tuple[float, str]:
    """Sort key: by the leading number, names without one last."""
    first = re.match(r"\d+(\.\d+)?", name)
    return (float(first[0]) if first else math.inf, name)


def tables(predicted: Attributes, labels: Labels) -> Metrics:
    """Group one data set by age band, race, gender, and all three."""
    bands = [AGE_BANDS[i] for i in age_band(labels.low)]
    genders = ["M" if m else "F" for m in labels.male]
    races = [race or "not given" for race in labels.race.tolist()]
    cells = [" / ".join(cell) for cell in zip(bands, races, genders, strict=True)]
    metrics: Metrics = {
        "all": group_metrics(predicted, labels),
        "by_age": by_group(predicted, labels, bands),
        "by_race": by_group(predicted, labels, races),
        "by_gender": by_group(predicted, labels, genders),
        "by_cell": by_group(predicted, labels, cells),
    }
    if labels.exact.all():
        for key, low, high in (("21_60", 21, 60), ("over_60", 61, 200), ("over_70", 71, 200)):
            rows = (labels.low >= low) & (labels.low <= high)
            if rows.any():
                metrics[f"ages_{key}"] = group_metrics(predicted[rows], labels[rows])
    return metrics


def over_age(predicted: Attributes, labels: Labels) -> dict[str, Metrics]:
    """Compare the probability of being at least N years old with the labels.

    Returns:
        For each of `OVER_AGES`, by whether the face is taken for that old from `OVER_LIMITS` on:
        ``younger_passed`` and ``older_refused`` are shares with confidence intervals; their groups
        of age (years from the threshold) and of gender and race too. ``predicted`` and ``share``
        are the mean probability and what is true. Where ranges lie across an age, only exact ages
        count: the other ranges alone are the easy faces.
    """
    result: dict[str, Metrics] = {}
    for age in OVER_AGES:
        across = (labels.low < age) & (labels.high >= age)
        known = labels.exact if across.any() else np.ones(len(labels), bool)
        truth, older = labels[known], labels.low[known] >= age
        probability = predicted.older[known, age]
        if not len(truth):
            continue
        table: Metrics = {
            "faces": len(truth),
            "predicted": float(probability.mean()),
            "share": float(older.mean()),
        }
        for limit in OVER_LIMITS:
            passed = probability >= limit
            table[f"{limit:g}"] = {
                "younger_passed": _share(passed[~older]),
                "older_refused": _share(~passed[older]),
            }
        wrong = (probability >= OVER_LIMITS[0]) != older
        table["by_group"] = {
            name: {"faces": int(rows.sum()), "wrong": _share(wrong[rows])}
            for name, rows in _over_groups(truth, age).items()
        }
        result[str(age)] = table
    return result


def _over_groups(labels: Labels, age: int) -> dict[str, NDArray[np.bool_]]:
    """Groups of faces: years from the threshold where ages are exact, gender, race."""
    groups: dict[str, NDArray[np.bool_]] = {}
    if labels.exact.all():
        for years in (3, 6):
            groups[f"up to {years} years younger"] = (labels.low < age) & (
                labels.low >= age - years
            )
            groups[f"up to {years} years older"] = (labels.low >= age) & (labels.low < age + years)
    groups |= {"M": labels.male, "F": ~labels.male}
    groups |= {str(race): labels.race == race for race in np.unique(labels.race) if race}
    return {name: rows for name, rows in groups.items() if rows.any()}


def size_names(sizes: NDArray[np.floating]) -> list[str]:
    """Name the group of each face size ``[N]`` in pixels."""
    return _ranges(sizes, SIZE_EDGES, " px")


def sharpness_names(sharpness: NDArray[np.floating]) -> list[str]:
    """Name the group of each sharpness ``[N]``."""
    return _ranges(sharpness, SHARPNESS_EDGES, "")


def _ranges(values: NDArray[np.floating], edges: Sequence[float], unit: str) -> list[str]:
    """Name the range between two edges that holds each value."""
    names = [f"{a:g} to {b:g}{unit}" for a, b in pairwise((0, *edges))]
    names.append(f"{edges[-1]:g}{unit} and more")
    return [names[group] for group in np.digitize(values, edges)]


def gender_calibration(male: NDArray[np.floating], truth: NDArray[np.bool_]) -> Metrics:
    """Compare the predicted probability of the more likely gender with the share that is correct.

    Args:
        male: ``[N]``, probability of male.
        truth: bool ``[N]``, whether the label is male.

    Returns:
        ``predicted`` and ``correct`` by group, and ``ece``, the mean gap (expected calibration
        error, Guo et al. 2017).
    """
    confidence = np.maximum(male, 1 - male)
    hits = (male >= 0.5) == truth
    groups = np.array_split(np.argsort(confidence), CALIBRATION_GROUPS)
    predicted = [float(confidence[g].mean()) for g in groups]
    correct = [float(hits[g].mean()) for g in groups]
    gaps = [abs(a - b) * len(g) for a, b, g in zip(predicted, correct, groups, strict=True)]
    return {"predicted": predicted, "correct": correct, "ece": sum(gaps) / len(male)}


def share(value: Sequence[float]) -> str:
    """Format a share with its confidence interval, in per cent."""
    return f"{value[0] * 100:.1f} % ({value[1] * 100:.1f}–{value[2] * 100:.1f})"  # noqa: RUF001


def years(value: Sequence[float]) -> str:
    """Format a mean of years with its confidence interval."""
    return f"{value[0]:.2f} ({value[1]:.2f}–{value[2]:.2f})"  # noqa: RUF001


COLUMNS: Mapping[str, tuple[str, Any]] = {
    "faces": ("faces", str),
    "mae": ("MAE, years", years),
    "bias": ("bias", lambda v: f"{v:+.1f}"),
    "within_5": ("within ±5", share),
    "coverage": ("80 % interval coverage", share),
    "bucket": ("bucket", share),
    "bucket_within_one": ("within one bucket", share),
    "gender": ("gender", share),
    "gender_stated": ("its probability as stated", lambda v: f"{v * 100:.1f} %"),
}
"""Columns of the card's tables: heading and format."""


def table(groups: Mapping[str, Metrics], heading: str) -> str:
    """Format a Markdown table, one row per group."""
    shown = [name for name in COLUMNS if any(name in g for g in groups.values())]
    rows = [[heading, *(COLUMNS[name][0] for name in shown)], ["---"] * (len(shown) + 1)]
    for group, metrics in groups.items():
        cells = [COLUMNS[n][1](metrics[n]) if n in metrics else "" for n in shown]
        rows.append([group.strip(), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
