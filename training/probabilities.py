"""Fits what a model's probabilities are divided by and shifted by, so that they come true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from age_gender.vision.attributes import calibrate
from age_gender.vision.model_spec import Calibration, ModelSpec
from training.data import Labels
from training.evaluated import Seen

Float = NDArray[np.floating]

TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(2.5), 106))
"""Candidates of the grid search."""
OLDER_AGES = (3, 10, 15, 18, 20, 21, 25, 30, 40, 50, 60, 70, 80)
"""Ages for which the probability of being at least that old is fitted, where labels allow it."""
GENDER_AGES = (1.0, 5.0, 12.0, 20.0, 40.0, 62.0, 74.0)
"""Predicted ages for which the temperature of the gender is fitted."""
HOLD = 8.0
"""Nats that a temperature e times the usual one costs, in the loss of all faces together."""
MIN_FACES = 30
"""Faces on either side of an age that its curve needs."""


def fit_probabilities(seen: Seen, labels: Labels, spec: ModelSpec) -> Calibration:
    """Fit temperatures and the curves of being at least N years old; no margins.

    Args:
        seen: N faces of sets that the model was trained on.
        labels: of the same.
        spec: of the model; its calibration is ignored.
    """
    age, gender = fit_temperatures(seen, labels)
    bare = Calibration(age_temperature=age, gender_temperature=gender)
    tempered = spec.model_copy(update={"calibration": bare})
    attributes = calibrate(seen.distributions, seen.male, tempered)
    ages, slopes, shifts = fit_older(attributes.older, labels)
    by_age = fit_gender(seen.male, attributes.ages, labels.male, gender)
    return bare.model_copy(
        update={
            "gender_ages": GENDER_AGES,
            "gender_temperatures": by_age,
            "older_ages": ages,
            "older_slopes": slopes,
            "older_shifts": shifts,
        }
    )


def fit_temperatures(seen: Seen, labels: Labels) -> tuple[float, float]:
    """Fit the temperatures of age and gender that maximise the likelihood of the labels.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        seen: N faces.
        labels: of the same.

    Returns:
        Temperature of the age distribution, of the gender.
    """
    log_p = np.log(np.maximum(seen.distributions, 1e-12)).astype(np.float64)
    years = np.arange(log_p.shape[1])
    last = log_p.shape[1] - 1
    low, high = (np.minimum(a, last)[:, None] for a in (labels.low, labels.high))
    inside = (years >= low) & (years <= high)

    def age_loss(temperature: float) -> float:
        p = np.exp(log_p / temperature)
        return -float(np.log((p * inside).sum(axis=1) / p.sum(axis=1)).mean())

    logits = _right_logits(seen.male, labels.male)

    def gender_loss(temperature: float) -> float:
        return float(np.logaddexp(0, -logits / temperature).mean())

    return _argmin(age_loss), _argmin(gender_loss)


def fit_gender(
    male: Float, ages: Float, is_male: NDArray[np.bool_], usual: float
) -> tuple[float, ...]:
    """Fit the temperature of the gender at each of `GENDER_AGES`, interpolated in between.

    Those of babies and old people are less often right than one temperature for all ages says.

    Args:
        male: ``[N]``, raw probability of male.
        ages: ``[N]``, predicted, years.
        is_male: ``[N]``, the labels.
        usual: the temperature of all ages, from which few faces move it little.
    """
    logits = _right_logits(male, is_male)
    first = np.full(len(GENDER_AGES), np.log(usual))

    def loss(logarithms: Float) -> float:
        temperatures = np.interp(ages, GENDER_AGES, np.exp(logarithms))
        surprise = np.logaddexp(0, -logits / temperatures).sum()
        return float(surprise + HOLD * np.square(logarithms - first).sum())

    found = minimize(loss, first, method="L-BFGS-B").x
    return tuple(round(float(t), 4) for t in np.exp(found))


def _right_logits(male: Float, is_male: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logits of the genders that are right, ``[N]``."""
    p = np.clip(male.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)) * np.where(is_male, 1, -1))


def _argmin(loss: Callable[[float], float]) -> float:
    return float(TEMPERATURES[int(np.argmin([loss(t) for t in TEMPERATURES]))])


def fit_older(
    older: Float, labels: Labels
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Fit slope and shift of the logit of being at least N years old (Platt 1999), age by age.

    Args:
        older: ``[N, 101]``, as `attributes.Attributes.older`, not calibrated.
        labels: of the same faces. Where ranges lie across an age, only exact ages are used: the
            other ranges alone are the easy faces.

    Returns:
        Ages with enough faces on both sides, slopes, shifts.
    """
    fitted = []
    for age in OLDER_AGES:
        across = (labels.low < age) & (labels.high >= age)
        known = labels.exact if across.any() else np.ones(len(labels), bool)
        truth = (labels.low >= age)[known].astype(np.float64)
        if min(truth.sum(), len(truth) - truth.sum()) >= MIN_FACES:
            p = np.clip(older[known, age].astype(np.float64), 1e-6, 1 - 1e-6)
            fitted.append((float(age), *_logistic(np.log(p / (1 - p)), truth)))
    ages, slopes, shifts = zip(*fitted, strict=True) if fitted else ((), (), ())
    return ages, slopes, shifts


def _logistic(logit: Float, truth: Float) -> tuple[float, float]:
    """Slope and shift of the most likely logistic curve, by Newton's method, drawn towards 1, 0."""
    features = np.stack([logit, np.ones_like(logit)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        gradient = features.T @ (p - truth) + (weights - [1.0, 0.0])
        curvature = (features * (p * (1 - p))[:, None]).T @ features + np.eye(2)
        weights = weights - np.linalg.solve(curvature, gradient)
    return round(max(float(weights[0]), 0.1), 3), round(float(weights[1]), 3)
