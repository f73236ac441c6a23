"""Fits a model's whole calibration, and evaluates it on faces that it was not fitted on.

Probabilities are fitted on the sets that the model was trained on, margins of the intervals on all
labelled faces, each set alike (`training.intervals`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes, calibrate
from age_gender.vision.model_spec import Calibration, ModelSpec
from training.data import Labels, in_second_half, merged_sets, set_names, set_weights
from training.evaluated import TRUE_EDGES, Seen
from training.intervals import fit_margins
from training.probabilities import fit_probabilities
from training.recipes import load_recipe

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]

MIN_EXACT = 50
"""Exact ages from which they alone say how many years too narrow the intervals are."""


def trained_on(labels: Labels, name: str) -> Bools:
    """Whether each image is from the data sets in the model's recipe, ``[N]``."""
    data = load_recipe(name).data
    return np.isin(set_names(labels.name), data) if data else np.ones(len(labels), bool)


def fit(seen: Seen, labels: Labels, spec: ModelSpec) -> Calibration:
    """Fit the whole calibration of a model.

    Args:
        seen: N faces, some of them of sets that the model was trained on.
        labels: of the same.
        spec: of the model; its calibration is ignored.
    """
    known = np.flatnonzero(trained_on(labels, spec.name))
    calibration = fit_probabilities(seen[known], labels[known], spec)
    sets = merged_sets(labels)
    return fit_intervals(seen, labels, sets, spec.model_copy(update={"calibration": calibration}))


def fit_intervals(
    seen: Seen, labels: Labels, sets: NDArray[np.str_], spec: ModelSpec
) -> Calibration:
    """Fit the margins of the interval.

    Where hardly any age is exact, each is drawn from the face's own distribution within its range;
    such ages justify no narrower interval than the distribution's.

    Args:
        seen: N faces.
        labels: of the same.
        sets: ``[N]``, name of the data set of each.
        spec: of the model; margins of its calibration are replaced.
    """
    empty = {"interval_margin": 0.0, "interval_edges": (), "interval_margins": ()}
    calibration = spec.calibration.model_copy(update=empty)
    bare = calibrate(
        seen.distributions, seen.male, spec.model_copy(update={"calibration": calibration})
    )
    drawn = not labels.exact.all() and labels.exact.sum() < MIN_EXACT
    if drawn:
        tempered = seen.distributions ** (1 / calibration.age_temperature)
        ages = drawn_ages(tempered, labels).astype(np.int64)
        labels = replace(labels, low=ages, high=ages)
    groups = groups_to_hold(labels, sets, seen.of("sharpness_along"))
    fitted = fit_margins(bare, labels, set_weights(sets), groups, calibration)
    if drawn:
        margins = tuple((max(a, 0.0), max(b, 0.0)) for a, b in fitted.interval_margins)
        fitted = fitted.model_copy(update={"interval_margins": margins})
    return fitted


def groups_to_hold(labels: Labels, sets: NDArray[np.str_], sharpness: Float) -> list[Bools]:
    """Groups whose intervals must hold: poor pictures, sets, ages within a set, ages.

    Args:
        labels: of N faces.
        sets: ``[N]``, name of the data set of each.
        sharpness: ``[N]``.
    """
    bands = np.digitize(labels.low, TRUE_EDGES)
    groups = [sharpness <= np.quantile(sharpness, 0.1)]
    for name in np.unique(sets):
        rows = sets == name
        groups += [rows, *(rows & (bands == band) for band in np.unique(bands))]
    return [*groups, *(bands == band for band in np.unique(bands))]


def drawn_ages(distributions: Float, labels: Labels) -> Float:
    """Return exact ages, and draw the others from the face's distribution within the range.

    Args:
        distributions: ``[N, K]``, over the ages 0 to K - 1; rows need not sum to 1.
        labels: of the same faces.

    Returns:
        ``[N]``, years.
    """
    last = distributions.shape[1] - 1
    years = np.arange(last + 1)
    low, high = (np.minimum(a, last)[:, None] for a in (labels.low, labels.high))
    inside = np.where((years >= low) & (years <= high), distributions + 1e-9, 0)
    cumulative = inside.cumsum(axis=1)
    draws = np.random.default_rng(0).random(len(labels))[:, None] * cumulative[:, -1:]
    drawn = (cumulative < draws).sum(axis=1)
    return np.where(labels.exact, labels.low, drawn).astype(np.float64)


def cross_fitted(seen: Seen, labels: Labels, spec: ModelSpec, use: Bools) -> Attributes:
    """Predict each face with a calibration fitted on the other half of the faces.

    Args:
        seen: N faces.
        labels: of the same.
        spec: of the model; its calibration is ignored.
        use: bool ``[N]``, faces to fit on.
    """
    second = in_second_half(list(labels.name))
    halves = []
    for half in (second, ~second):
        rows = np.flatnonzero(use & ~half)
        calibration = fit(seen[rows], labels[rows], spec)
        other = spec.model_copy(update={"calibration": calibration})
        halves.append(calibrate(seen.distributions, seen.male, other))
    for_second, for_first = halves
    where = np.flatnonzero(~second)
    return for_second.with_rows(where, for_first[where])
