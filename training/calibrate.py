"""Fits temperatures, interval margins and the limits of reliability on validation data.

::

    python -m training.calibrate --names agn-v2 --models DIR --images DIR --labels a.csv b.csv

Uses the rows of the validation part (see `training.data.is_validation`) that come from the model's
training data sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
    read_tables,
    set_names,
)
from training.export import write_spec
from training.observe import (
    Faces,
    Observations,
    detect_faces,
    make_detector,
    observe,
    set_threads,
)
from training.recipes import load_recipe

Float = NDArray[np.floating]

TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(2.5), 106))
"""Candidates of the grid search."""
MAX_ERROR_RATIO = 1.4
"""Mean error of reliable faces, relative to the better half of all faces."""
MIN_BAND_COVERAGE = 0.745
"""Required coverage in each band of true ages, with a little to spare."""
MAX_TARGET_COVERAGE = 0.92
"""Highest target to reach it; above, intervals grow to decades for the sake of few faces."""
MIN_BAND_FACES = 30
"""Faces that a band needs for margins of its own."""
OLDER_AGES = (3, 10, 15, 18, 20, 21, 25, 30, 40, 50, 60, 70, 80)
"""Ages for which the probability of being at least that old is fitted, where labels allow it."""
MIN_EXACT = 0.25
"""Share of exact ages from which the margins are fitted on them alone."""
MAX_ROUNDS = 60
"""Of raising the targets."""
QUALITY_BINS = 20
"""Equally large groups in which the error is measured against a quality."""


class Outputs(Protocol):
    """A network's outputs for N faces.

    Attributes:
        distributions: float32 ``[N, K]``, over ages.
        male: float32 ``[N]``, raw probability of male.
    """

    @property
    def distributions(self) -> NDArray[np.float32]:
        """See the class."""

    @property
    def male(self) -> NDArray[np.float32]:
        """See the class."""


def fit_temperatures(observed: Outputs, labels: Labels) -> tuple[float, float]:
    """Fit the temperatures of age and gender that maximise the likelihood of the labels.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        observed: of N detected faces.
        labels: of the same.

    Returns:
        Temperature of the age distribution, of the gender.
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


def trained_on(labels: Labels, name: str) -> NDArray[np.bool_]:
    """Whether each image is from the data sets in the model's recipe, ``[N]``."""
    data = load_recipe(name).data
    return np.isin(set_names(labels.name), data) if data else np.ones(len(labels), bool)


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
        if min(truth.sum(), len(truth) - truth.sum()) >= MIN_BAND_FACES:
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


def conformal_margin(low: Float, high: Float, ages: Float, coverage: float) -> float:
    """Compute the years by which to widen intervals so that they hold ``coverage`` of the ages.

    Split conformal prediction (Romano et al., "Conformalized Quantile Regression", NeurIPS 2019).

    Args:
        low: ``[N]``, lower ends.
        high: ``[N]``, upper ends.
        ages: ``[N]``, true ages.
        coverage: target, 0-1.
    """
    return _quantile(np.maximum(low - ages, ages - high), coverage)


def banded_margins(
    low: Float,
    high: Float,
    predicted: Float,
    ages: Float,
    coverage: float,
    min_coverage: float = MIN_BAND_COVERAGE,
) -> list[tuple[float, float]]:
    """Compute the margins below and above for each band of the predicted age.

    Conformal prediction within groups (Vovk's Mondrian predictors, 2003), for each end separately.
    While a band of *true* ages has less than ``min_coverage``, the target of the predicted band
    with most of its misses is raised: the ages of old faces, say, are predicted too low.

    Args:
        low: ``[N]``, lower ends.
        high: ``[N]``, upper ends.
        predicted: ``[N]``, predicted ages.
        ages: ``[N]``, true ages.
        coverage: initial target of every band, 0-1.
        min_coverage: required in each band of true ages, 0-1.
    """
    bands, truth, count = age_band(predicted), age_band(ages), len(AGE_BANDS)
    targets = np.full(count, coverage)
    for _ in range(MAX_ROUNDS):
        margins = np.zeros((count, 2))
        for band in range(count):
            rows = bands == band
            if rows.sum() < MIN_BAND_FACES:
                rows = np.ones(len(bands), bool)
            one_sided = (1 + targets[band]) / 2  # half of the misses on each side
            margins[band] = (
                _quantile(low[rows] - ages[rows], one_sided),
                _quantile(ages[rows] - high[rows], one_sided),
            )
        below, above = margins[bands].T
        missed = (ages < low - below) | (ages > high + above)
        short = [
            band
            for band in range(count)
            if (truth == band).sum() >= MIN_BAND_FACES
            and missed[truth == band].mean() > 1 - min_coverage
        ]
        if not short:
            break
        for band in short:
            worst = np.bincount(bands[missed & (truth == band)], minlength=count).argmax()
            targets[worst] = min(targets[worst] + 0.01, MAX_TARGET_COVERAGE)
    return [(round(float(b), 2), round(float(a), 2)) for b, a in margins]


def _quantile(values: Float, share: float) -> float:
    """Value that ``share`` of future values will not exceed, with finite-sample correction."""
    ordered = np.sort(values)
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * share)) - 1, len(ordered) - 1)])


def fit(observed: Observations, labels: Labels, spec: ModelSpec) -> Calibration:
    """Fit the whole calibration of a model.

    Args:
        observed: of N detected faces.
        labels: of the same. Margins are fitted on exact ages; where these are few, every other age
            is drawn from the model's own distribution within its range.
        spec: of the model; its calibration is ignored.
    """
    age_temperature, gender_temperature = fit_temperatures(observed, labels)
    bare = Calibration(age_temperature=age_temperature, gender_temperature=gender_temperature)
    predicted = calibrate(
        observed.distributions, observed.male, spec.model_copy(update={"calibration": bare})
    )
    low, high = predicted.intervals.T
    ages = drawn_ages(observed.distributions ** (1 / age_temperature), labels)
    mostly_drawn = labels.exact.mean() < MIN_EXACT
    use = np.ones(len(labels), bool) if mostly_drawn else labels.exact
    margin = conformal_margin(low[use], high[use], ages[use], bare.coverage)
    banded = banded_margins(low[use], high[use], predicted.ages[use], ages[use], bare.coverage)
    if mostly_drawn:  # ages drawn from the model cannot justify narrower intervals
        margin = max(margin, 0.0)
        banded = [(max(below, 0.0), max(above, 0.0)) for below, above in banded]
    older_ages, slopes, shifts = fit_older(predicted.older, labels)
    return bare.model_copy(
        update={
            "older_ages": older_ages,
            "older_slopes": slopes,
            "older_shifts": shifts,
            "interval_margin": round(margin, 3),
            "interval_edges": tuple(float(edge) for edge in AGE_EDGES),
            "interval_margins": tuple(banded),
        }
    )


def cross_fitted(
    observed: Observations, labels: Labels, spec: ModelSpec, use: NDArray[np.bool_]
) -> Attributes:
    """Predict each face with a calibration fitted on the other half of the faces.

    Args:
        observed: of N images.
        labels: of the same.
        spec: of the model; its calibration is ignored.
        use: bool ``[N]``, rows to calibrate on.
    """
    second = in_second_half(list(labels.name))
    halves = []
    for half in (second, ~second):
        rows = observed.detected & use & ~half
        calibration = fit(observed[rows], labels[rows], spec)
        halves.append(
            calibrate(
                observed.distributions,
                observed.male,
                spec.model_copy(update={"calibration": calibration}),
            )
        )
    for_second, for_first = halves
    return Attributes(
        np.where(second, for_second.ages, for_first.ages),
        np.where(second[:, None], for_second.intervals, for_first.intervals),
        np.where(second, for_second.male, for_first.male),
        np.where(second, for_second.spread, for_first.spread),
        np.where(second[:, None], for_second.older, for_first.older),
    )


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


def reliability_limit(quality: Float, errors: Float, max_ratio: float = MAX_ERROR_RATIO) -> float:
    """Find the quality below which the mean error is too large.

    Args:
        quality: ``[N]``, higher is better.
        errors: ``[N]``, of the same faces, in any unit.
        max_ratio: mean error allowed, relative to the better half of all faces.

    Returns:
        Lower edge of the first group, in order of quality, whose mean error is allowed.
    """
    order = np.argsort(quality)
    baseline = float(errors[order[len(order) // 2 :]].mean())
    groups = np.array_split(order, min(QUALITY_BINS, len(order)))
    for group in groups:
        if errors[group].mean() <= max_ratio * baseline:
            return float(quality[group].min())
    return float(quality.max())


def _errors(observed: Observations, labels: Labels, spec: ModelSpec) -> Float:
    """Age error plus gender error, each relative to its mean, ``[N]``."""
    predicted = calibrate(observed.distributions, observed.male, spec)
    off = np.maximum(np.maximum(labels.low - predicted.ages, predicted.ages - labels.high), 0)
    wrong = (predicted.male >= 0.5) != labels.male
    return np.asarray(off / max(float(off.mean()), 1e-9) + wrong / max(float(wrong.mean()), 1e-9))


def fit_limits(
    observed: Observations,
    labels: Labels,
    degraded: Degraded,
    spec: ModelSpec,
) -> Reliability:
    """Fit the limits of reliability to the error by size, sharpness and yaw.

    Args:
        observed: of N faces detected in unchanged images, for the yaw.
        labels: of the same.
        degraded: similar faces, smaller and less sharp.
        spec: calibrated.
    """
    errors = _errors(observed, labels, spec)
    by_size = _errors(degraded.smaller, degraded.smaller_labels, spec)
    by_sharpness = _errors(degraded.blurred, degraded.blurred_labels, spec)
    return Reliability(
        min_size=round(reliability_limit(degraded.smaller.size, by_size), 1),
        min_sharpness=round(reliability_limit(degraded.blurred.sharpness, by_sharpness), 3),
        max_yaw=round(-reliability_limit(-np.abs(observed.yaw), errors), 2),
    )


SCALES = (1.0, 0.6, 0.4, 0.3, 0.22, 0.16)
"""Resize factors, to measure the error by face size."""
BLUR = (0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)
"""Standard deviations in pixels, for faces of about 100 pixels, to measure it by sharpness."""


@dataclass(frozen=True)
class Degraded:
    """Faces detected in degraded images.

    Attributes:
        smaller: in images resized by `SCALES`.
        smaller_labels: of the same.
        blurred: in images blurred by `BLUR`.
        blurred_labels: of the same.
    """

    smaller: Observations
    smaller_labels: Labels
    blurred: Observations
    blurred_labels: Labels


def pooled(
    versions: list[Faces], labels: Labels, engine: LiteRTEngine, spec: ModelSpec
) -> tuple[Observations, Labels]:
    """Observe the faces detected in several versions of the same images."""
    observed = [observe(faces, engine, spec) for faces in versions]
    return (
        Observations.concatenated([part[part.detected] for part in observed]),
        concatenated([labels[part.detected] for part in observed]),
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Calibrate a model on the validation part.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--without", nargs="*", default=[], help="data sets to leave out")
    parser.add_argument("--sample", type=int, default=600, help="images for the limits")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = read_tables(args.labels, args.leave_out)
    labels = labels[is_validation(list(labels.name))]
    labels = labels[~np.isin(set_names(labels.name), args.without)]
    detector = make_detector("accurate", args.models, args.threads)
    faces = detect_faces([args.images / name for name in labels.name], detector)
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        in_recipe = trained_on(labels, name)
        observed = observe(faces, engine, spec)
        rows = observed.detected & in_recipe
        calibration = fit(observed[rows], labels[rows], spec)
        spec = spec.model_copy(update={"calibration": calibration})
        sample = np.random.default_rng(0).permutation(np.flatnonzero(in_recipe))[: args.sample]
        paths = [args.images / file for file in labels.name[sample]]
        smaller = [detect_faces(paths, detector, scale=scale) for scale in SCALES]
        blurred = [detect_faces(paths, detector, blur=blur) for blur in BLUR]
        degraded = Degraded(
            *pooled(smaller, labels[sample], engine, spec),
            *pooled(blurred, labels[sample], engine, spec),
        )
        limits = fit_limits(observed[rows], labels[rows], degraded, spec)
        spec = spec.model_copy(update={"reliability": limits})
        write_spec(spec, args.models)
        print(spec.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
