"""Metrics: age errors, correct age buckets, correct genders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data import Labels, age_band

Float = NDArray[np.floating]


def share_interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return float(middle - half), float(middle + half)


def mean_interval(values: Float, z: float = 1.96) -> tuple[float, float]:
    """Normal 95 % confidence interval of the mean of values ``[N]``."""
    half = z * float(np.std(values)) / np.sqrt(max(len(values), 1))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def summary(ages: Float, male: Float, labels: Labels) -> dict[str, float]:
    """Compute the headline metrics that the labels allow.

    Args:
        ages: ``[N]``, years.
        male: ``[N]``, probability of male.
        labels: of the same N faces.
    """
    exact = labels.exact
    correct = (male >= 0.5) == labels.male
    result = {}
    if exact.any():
        errors = np.abs(ages - labels.low)[exact]
        middle = (labels.low[exact] >= 21) & (labels.low[exact] <= 60)
        result["mae"] = float(errors.mean())
        result["mae_21_60"] = float(errors[middle].mean()) if middle.any() else float("nan")
        result["within_5"] = float((errors <= 5).mean())
        result["gender_exact"] = float(correct[exact].mean())
    if not exact.all():
        ranged = ~exact
        off = np.abs(age_band(ages[ranged]) - age_band(labels.low[ranged]))
        result["bucket"] = float((off == 0).mean())
        result["bucket_within_one"] = float((off <= 1).mean())
        result["gender_ranged"] = float(correct[ranged].mean())
        shares = [correct[ranged & (labels.race == race)].mean() for race in _races(labels[ranged])]
        result["gender_min_race"] = float(min(shares))
        result["gender_max_race"] = float(max(shares))
    return result


def _races(labels: Labels) -> list[str]:
    return [str(race) for race in np.unique(labels.race)]
