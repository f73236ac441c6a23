"""Fit temperatures, the margin of the interval and the limits of reliability on validation data.

::

    python -m training.calibrate --names agn-v1 --models DIR --images DIR --labels a.csv b.csv

Only the rows of the validation part are used (see `training.data.is_validation`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.attributes import calibrate
from age_gender.engine import LiteRTEngine
from age_gender.model_spec import Calibration, ModelSpec, Reliability, load_spec
from training.data import Labels, concatenated, is_validation, read_labels
from training.export import write_spec
from training.observe import Observations, find, make_detector, observe, set_threads

Float = NDArray[np.floating]

GRID = np.exp(np.linspace(np.log(0.4), np.log(2.5), 106))
"""Temperatures tried."""
TOLERATED = 1.25
"""Mean error, in parts of that over all faces, from which on a face counts as unreliable."""
BINS = 12
"""Groups of equal size in which the error is measured against a quality."""


def fit_temperatures(observed: Observations, labels: Labels) -> tuple[float, float]:
    """Temperatures of the age distribution and of the sex that make the labels likeliest.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        observed: of N faces, all found.
        labels: of the same.

    Returns:
        Of the ages, of the sex.
    """
    log_p = np.log(np.maximum(observed.distributions, 1e-12)).astype(np.float64)
    years = np.arange(log_p.shape[1])
    last = log_p.shape[1] - 1
    low, high = (np.minimum(a, last)[:, None] for a in (labels.low, labels.high))
    inside = (years >= low) & (years <= high)

    def age_loss(temperature: float) -> float:
        p = np.exp(log_p / temperature)
        return -float(np.log((p * inside).sum(axis=1) / p.sum(axis=1)).mean())

    p = np.clip(observed.male.astype(np.float64), 1e-6, 1 - 1e-6)
    logit = np.log(p / (1 - p)) * np.where(labels.male, 1, -1)

    def sex_loss(temperature: float) -> float:
        return float(np.logaddexp(0, -logit / temperature).mean())

    return _argmin(age_loss), _argmin(sex_loss)


def _argmin(loss: Callable[[float], float]) -> float:
    return float(GRID[int(np.argmin([loss(t) for t in GRID]))])


def conformal_margin(low: Float, high: Float, ages: Float, coverage: float) -> float:
    """Years by which intervals must be widened to hold ``coverage`` of the ages.

    Split conformal prediction (Romano et al., "Conformalized Quantile Regression", NeurIPS 2019).

    Args:
        low: ``[N]``, lower ends.
        high: ``[N]``, upper ends.
        ages: ``[N]``, true ages.
        coverage: wanted, 0-1.
    """
    misses = np.sort(np.maximum(low - ages, ages - high))
    rank = int(np.ceil((len(misses) + 1) * coverage)) - 1
    return float(misses[min(rank, len(misses) - 1)])


def fit(observed: Observations, labels: Labels, spec: ModelSpec) -> Calibration:
    """All of a model's calibration.

    Args:
        observed: of N faces, all found.
        labels: of the same; the margin is fitted on those whose age is exact. Where there are
            none, each age is drawn from the model's own distribution within the range.
        spec: of the model; its calibration is ignored.
    """
    age_temperature, gender_temperature = fit_temperatures(observed, labels)
    bare = Calibration(age_temperature=age_temperature, gender_temperature=gender_temperature)
    told = calibrate(
        observed.distributions, observed.male, spec.model_copy(update={"calibration": bare})
    )
    low, high = told.intervals.T
    ages = drawn_ages(observed.distributions ** (1 / age_temperature), labels)
    use = labels.exact if labels.exact.any() else np.ones(len(labels), bool)
    margin = conformal_margin(low[use], high[use], ages[use], bare.coverage)
    return bare.model_copy(update={"interval_margin": round(margin, 3)})


def drawn_ages(distributions: Float, labels: Labels) -> Float:
    """Exact ages as they are; others drawn from each face's distribution within its range.

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


def limit_where_worse(quality: Float, errors: Float, tolerated: float = TOLERATED) -> float:
    """The quality under which the mean error is too large.

    Args:
        quality: ``[N]``, more is better.
        errors: ``[N]``, of the same faces, in any unit.
        tolerated: largest mean error, in parts of that of the better half of all faces.

    Returns:
        Lower edge of the lowest group of faces from which on upwards the error is tolerable;
        the least quality seen if it is everywhere.
    """
    order = np.argsort(quality)
    groups = np.array_split(order, min(BINS, len(order)))
    usual = float(errors[order[len(order) // 2 :]].mean())
    for lower, upper in zip(reversed(groups[:-1]), reversed(groups[1:]), strict=True):
        if errors[lower].mean() > tolerated * usual:
            return float(quality[upper].min())
    return float(quality.min())


def fit_limits(observed: Observations, labels: Labels, spec: ModelSpec) -> Reliability:
    """Limits of reliability from the error against size, sharpness and yaw.

    Args:
        observed: of N faces, all found, in pictures shrunk by various factors.
        labels: of the same.
        spec: calibrated.
    """
    told = calibrate(observed.distributions, observed.male, spec)
    off = np.maximum(np.maximum(labels.low - told.ages, told.ages - labels.high), 0)
    wrong = (told.male >= 0.5) != labels.male
    # Years and sexes count alike: each in parts of its own mean.
    errors = off / max(float(off.mean()), 1e-9) + wrong / max(float(wrong.mean()), 1e-9)
    sharp = observed.size >= np.median(observed.size)  # blur by itself, not by being small
    return Reliability(
        min_size=round(limit_where_worse(observed.size, errors), 1),
        min_sharpness=round(limit_where_worse(observed.sharpness[sharp], errors[sharp]), 3),
        max_yaw=round(-limit_where_worse(-np.abs(observed.yaw[sharp]), errors[sharp]), 2),
    )


SHRINK = (1.0, 0.6, 0.4, 0.3, 0.22, 0.16)
"""Factors by which pictures are made smaller to see how the error grows."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Calibrate a model on the validation part.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--data", default="", help="only files whose names begin so")
    parser.add_argument("--sample", type=int, default=600, help="pictures for the limits")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = concatenated([read_labels(table) for table in args.labels])
    labels = labels[is_validation(list(labels.name)) & np.char.startswith(labels.name, args.data)]
    sample = np.random.default_rng(0).permutation(len(labels))[: args.sample]
    detector = make_detector("accurate", args.models, args.threads)
    paths = [args.images / name for name in labels.name]
    faces = find(paths, detector)
    small = [find([paths[i] for i in sample], detector, shrink=s) for s in SHRINK]
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", args.threads)
        observed = observe(faces, engine, spec)
        seen = observed.found
        calibration = fit(observed[seen], labels[seen], spec)
        spec = spec.model_copy(update={"calibration": calibration})
        views = [observe(some, engine, spec) for some in small]
        everything = Observations.concatenated([v[v.found] for v in views])
        known = concatenated([labels[sample][v.found] for v in views])
        spec = spec.model_copy(update={"reliability": fit_limits(everything, known, spec)})
        write_spec(spec, args.models)
        print(spec.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
