"""Fit temperatures, the margin of the interval and the limits of reliability on validation data.

::

    python -m training.calibrate --names agn-v1 --models DIR --images DIR --labels a.csv b.csv

Only the rows of the validation part are used (see `training.data.is_validation`), and of these
only what the model's recipe lets it learn from.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.attributes import Attributes, calibrate
from age_gender.vision.model_spec import Calibration, ModelSpec, Reliability, load_spec
from training.data import (
    AGE_BANDS,
    AGE_EDGES,
    Labels,
    age_band,
    concatenated,
    in_second_half,
    is_validation,
    read_labels,
)
from training.export import write_spec
from training.observe import Faces, Observations, find, make_detector, observe, set_threads
from training.recipes import load_recipe

Float = NDArray[np.floating]

GRID = np.exp(np.linspace(np.log(0.4), np.log(2.5), 106))
"""Temperatures tried."""
TOLERATED = 1.4
"""Mean error, in parts of that over all faces, from which on a face counts as unreliable."""
FLOOR = 0.745
"""Least coverage wanted in each band of true ages, with a little to spare."""
MOST = 0.92
"""Most coverage asked of a band for that: beyond it intervals grow to decades for few faces."""
FEWEST = 30
"""Faces that a band must have to get margins of its own."""
ROUNDS = 60
"""Most times that a band's coverage is raised."""
BINS = 20
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

    def gender_loss(temperature: float) -> float:
        return float(np.logaddexp(0, -logit / temperature).mean())

    return _argmin(age_loss), _argmin(gender_loss)


def learnt_from(labels: Labels, name: str) -> NDArray[np.bool_]:
    """Whether each picture is of the data that the model's recipe lets it learn from, ``[N]``."""
    return np.asarray(np.char.startswith(labels.name, load_recipe(name).data))


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
    return _rank(np.maximum(low - ages, ages - high), coverage)


def banded_margins(
    low: Float, high: Float, told: Float, ages: Float, coverage: float, floor: float = FLOOR
) -> list[tuple[float, float]]:
    """Margins below and above for each band of the age told.

    Conformal prediction within groups (Vovk's Mondrian predictors, 2003), the two ends apart. The
    coverage asked of a band is raised as long as some band of *true* ages has less than ``floor``
    and most of its misses lie there: the model's old faces, say, are told too young.

    Args:
        low: ``[N]``, lower ends.
        high: ``[N]``, upper ends.
        told: ``[N]``, ages told.
        ages: ``[N]``, true ages.
        coverage: wanted over all, 0-1.
        floor: wanted at least in each band of true ages, 0-1.
    """
    bands, truth, count = age_band(told), age_band(ages), len(AGE_BANDS)
    wanted = np.full(count, coverage)
    for _ in range(ROUNDS):
        margins = np.zeros((count, 2))
        for band in range(count):
            some = bands == band
            if some.sum() < FEWEST:
                some = np.ones(len(bands), bool)
            # At half the share of misses on each side.
            one_sided = (1 + wanted[band]) / 2
            margins[band] = (
                _rank(low[some] - ages[some], one_sided),
                _rank(ages[some] - high[some], one_sided),
            )
        below, above = margins[bands].T
        missed = (ages < low - below) | (ages > high + above)
        short = [
            band
            for band in range(count)
            if (truth == band).sum() >= FEWEST and missed[truth == band].mean() > 1 - floor
        ]
        if not short:
            break
        for band in short:
            worst = np.bincount(bands[missed & (truth == band)], minlength=count).argmax()
            wanted[worst] = min(wanted[worst] + 0.01, MOST)
    return [(round(float(b), 2), round(float(a), 2)) for b, a in margins]


def _rank(values: Float, share: float) -> float:
    """The value that ``share`` of future ones will not exceed (with the finite-sample excess)."""
    ordered = np.sort(values)
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * share)) - 1, len(ordered) - 1)])


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
    banded = banded_margins(low[use], high[use], told.ages[use], ages[use], bare.coverage)
    if not labels.exact.any():  # what the model itself has drawn is no reason to be surer
        margin = max(margin, 0.0)
        banded = [(max(below, 0.0), max(above, 0.0)) for below, above in banded]
    return bare.model_copy(
        update={
            "interval_margin": round(margin, 3),
            "interval_edges": tuple(float(edge) for edge in AGE_EDGES),
            "interval_margins": tuple(banded),
        }
    )


def cross_fitted(
    observed: Observations, labels: Labels, spec: ModelSpec, use: NDArray[np.bool_]
) -> Attributes:
    """What the model says of each face when it was calibrated on the other half of the faces.

    So that no face is judged by numbers that were fitted on it.

    Args:
        observed: of N pictures.
        labels: of the same.
        spec: of the model; its calibration is ignored.
        use: bool ``[N]``, whether the model may be calibrated on each.
    """
    second = in_second_half(list(labels.name))
    halves = []
    for half in (second, ~second):
        rows = observed.found & use & ~half
        calibration = fit(observed[rows], labels[rows], spec)
        halves.append(
            calibrate(
                observed.distributions,
                observed.male,
                spec.model_copy(update={"calibration": calibration}),
            )
        )
    one, other = halves
    return Attributes(
        np.where(second, one.ages, other.ages),
        np.where(second[:, None], one.intervals, other.intervals),
        np.where(second, one.male, other.male),
    )


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
        Lower edge of the first group of faces, from the worst seen on, whose error is tolerable.
    """
    order = np.argsort(quality)
    usual = float(errors[order[len(order) // 2 :]].mean())
    groups = np.array_split(order, min(BINS, len(order)))
    for group in groups:
        if errors[group].mean() <= tolerated * usual:
            return float(quality[group].min())
    return float(quality.max())


def _errors(observed: Observations, labels: Labels, spec: ModelSpec) -> Float:
    """Years off and sexes wrong, each in parts of its own mean, added up; ``[N]``."""
    told = calibrate(observed.distributions, observed.male, spec)
    off = np.maximum(np.maximum(labels.low - told.ages, told.ages - labels.high), 0)
    wrong = (told.male >= 0.5) != labels.male
    return np.asarray(off / max(float(off.mean()), 1e-9) + wrong / max(float(wrong.mean()), 1e-9))


def fit_limits(
    observed: Observations,
    labels: Labels,
    degraded_views: Degraded,
    spec: ModelSpec,
) -> Reliability:
    """Limits of reliability from the error against size, sharpness and yaw.

    Args:
        observed: of N faces, all found, in pictures as they are: for the yaw.
        labels: of the same.
        degraded_views: the same kind of faces, made smaller and less sharp.
        spec: calibrated.
    """
    errors = _errors(observed, labels, spec)
    by_size = _errors(degraded_views.smaller, degraded_views.smaller_labels, spec)
    by_sharpness = _errors(degraded_views.blurred, degraded_views.blurred_labels, spec)
    return Reliability(
        min_size=round(limit_where_worse(degraded_views.smaller.size, by_size), 1),
        min_sharpness=round(limit_where_worse(degraded_views.blurred.sharpness, by_sharpness), 3),
        max_yaw=round(-limit_where_worse(-np.abs(observed.yaw), errors), 2),
    )


SHRINK = (1.0, 0.6, 0.4, 0.3, 0.22, 0.16)
"""Factors by which pictures are made smaller to see how the error grows."""
BLUR = (0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)
"""Standard deviations, in pixels of faces of some 100, by which they are blurred for the same."""


@dataclass(frozen=True)
class Degraded:
    """Faces in pictures that were made worse, all found.

    Attributes:
        smaller: in pictures shrunk by the factors of `SHRINK`.
        smaller_labels: of the same.
        blurred: in pictures blurred as `BLUR` says.
        blurred_labels: of the same.
    """

    smaller: Observations
    smaller_labels: Labels
    blurred: Observations
    blurred_labels: Labels


def pooled(
    views: list[Faces], labels: Labels, engine: LiteRTEngine, spec: ModelSpec
) -> tuple[Observations, Labels]:
    """What the network says of the same pictures in several states, where they were found."""
    seen = [observe(view, engine, spec) for view in views]
    return (
        Observations.concatenated([view[view.found] for view in seen]),
        concatenated([labels[view.found] for view in seen]),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Calibrate a model on the validation part.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--sample", type=int, default=600, help="pictures for the limits")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = concatenated([read_labels(table) for table in args.labels])
    labels = labels[is_validation(list(labels.name))]
    detector = make_detector("accurate", args.models, args.threads)
    faces = find([args.images / name for name in labels.name], detector)
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        known = learnt_from(labels, name)
        observed = observe(faces, engine, spec)
        rows = observed.found & known
        calibration = fit(observed[rows], labels[rows], spec)
        spec = spec.model_copy(update={"calibration": calibration})
        few = np.random.default_rng(0).permutation(np.flatnonzero(known))[: args.sample]
        some = [args.images / file for file in labels.name[few]]
        smaller = [find(some, detector, shrink=s) for s in SHRINK]
        blurred = [find(some, detector, blur=s) for s in BLUR]
        degraded_views = Degraded(
            *pooled(smaller, labels[few], engine, spec),
            *pooled(blurred, labels[few], engine, spec),
        )
        limits = fit_limits(observed[rows], labels[rows], degraded_views, spec)
        spec = spec.model_copy(update={"reliability": limits})
        write_spec(spec, args.models)
        print(spec.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
