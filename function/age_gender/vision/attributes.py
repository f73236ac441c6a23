"""From chips to ages and genders: one network over all faces of an image, then calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from age_gender.networks.engine import Engine
from age_gender.vision.geometry import Float, Image
from age_gender.vision.model_spec import Ages, ModelSpec

MAX_AGE = 100
"""Highest number of years that one can ask whether a person has reached."""


@dataclass(frozen=True)
class Attributes:
    """Calibrated predictions for N faces.

    Attributes:
        ages: float32 ``[N]``, years.
        intervals: float32 ``[N, 2]``, years; a fraction ``spec.calibration.coverage`` of them
            contains the true age.
        male: float32 ``[N]``, probability of male.
        spread: float32 ``[N]``, standard deviation of the age distribution, years.
        distributions: float32 ``[N, K]``, probability of each of the model's ages.
        spec: the model's.
        embedding: float32 ``[N, E]``, the network's features; None if it does not return them.
    """

    ages: Float
    intervals: Float
    male: Float
    spread: Float
    distributions: Float
    spec: ModelSpec
    embedding: Float | None = None

    def __len__(self) -> int:
        return len(self.ages)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Attributes":
        return self._mapped(lambda _, array: array[index])

    def with_rows(self, index: NDArray[np.intp], other: "Attributes") -> "Attributes":
        """Replace the faces at ``index`` by those of ``other``, in order."""

        def replaced(name: str, array: Float) -> Float:
            array = array.copy()
            array[index] = getattr(other, name)
            return array

        return self._mapped(replaced)

    def _mapped(self, change: Callable[[str, Float], Float]) -> "Attributes":
        """Change each array, given its name."""
        return Attributes(
            change("ages", self.ages),
            change("intervals", self.intervals),
            change("male", self.male),
            change("spread", self.spread),
            change("distributions", self.distributions),
            self.spec,
            None if self.embedding is None else change("embedding", self.embedding),
        )

    @property
    def older(self) -> Float:
        """Probability of being at least 0 to `MAX_AGE` years old; float32 ``[N, MAX_AGE + 1]``."""
        return _older(self.distributions, self.spec)


class AttributeEstimator:
    """Estimates age and gender with a network that a `ModelSpec` describes."""

    def __init__(self, engine: Engine, spec: ModelSpec):
        """Wrap a loaded network.

        Args:
            engine: input ``[N, S, S, 3]``; outputs ``age`` ``[N, K]``, a distribution over
                years, and ``gender`` ``[N, 1]``, the probability of male; perhaps ``embedding``
                ``[N, E]``.
            spec: how its chips are cut and its outputs interpreted.
        """
        self._engine = engine
        self.spec = spec

    def estimate(self, chips: Image) -> Attributes:
        """Predict ages and genders.

        Args:
            chips: uint8 ``[N, S, S, 3]``, RGB, cut as ``spec.chip`` describes, N at least 1.
        """
        size = self._engine.batch
        outputs = [self._engine.run(chips[i : i + size]) for i in range(0, len(chips), size)]
        distributions = np.concatenate([o["age"] for o in outputs])
        male = np.concatenate([o["gender"][:, 0] for o in outputs])
        embedding = None
        if "embedding" in outputs[0]:
            embedding = np.concatenate([o["embedding"] for o in outputs])
        return replace(calibrate(distributions, male, self.spec), embedding=embedding)


def calibrate(distributions: Float, male: Float, spec: ModelSpec) -> Attributes:
    """Convert raw outputs to calibrated ages, intervals and probabilities.

    Args:
        distributions: ``[N, K]``, rows that sum to 1.
        male: ``[N]``, raw probability of male.
        spec: the model's.
    """
    calibration = spec.calibration
    years = _years(spec.ages, distributions.shape[1])
    tempered = np.power(np.maximum(distributions, 1e-12), 1 / calibration.age_temperature)
    tempered /= tempered.sum(axis=1, keepdims=True)
    tail = (1 - calibration.coverage) / 2
    means = tempered @ years
    ages = np.maximum(means, 0)
    spread = np.sqrt(np.maximum(tempered @ years**2 - means**2, 0))
    below, above = calibration.margins_at(ages).T
    low, high = _quantiles(tempered, years, (tail, 1 - tail))
    low, high = low - below, high + above
    # Even with a negative margin, an interval contains the predicted age.
    intervals = np.stack([np.minimum(low, ages), np.maximum(high, ages)], axis=1)
    p = np.clip(male, 1e-6, 1 - 1e-6)
    logit = np.log(p / (1 - p)) / calibration.gender_temperature
    return Attributes(
        ages.astype(np.float32),
        np.maximum(intervals, 0).astype(np.float32),
        (1 / (1 + np.exp(-logit))).astype(np.float32),
        spread.astype(np.float32),
        tempered,
        spec,
    )


def _older(distributions: Float, spec: ModelSpec) -> Float:
    calibration, years = spec.calibration, _years(spec.ages, distributions.shape[1])
    tails = np.cumsum(distributions[:, ::-1], axis=1)[:, ::-1]
    after = np.append(np.clip(tails, 0, 1), np.zeros((len(tails), 1)), axis=1)
    # The first of the model's ages that is not below each number of years.
    asked = np.arange(MAX_AGE + 1)
    older = after[:, np.searchsorted(years, asked)]
    if calibration.older_ages:
        knots = calibration.older_ages
        slopes = np.interp(asked, knots, calibration.older_slopes)
        shifts = np.interp(asked, knots, calibration.older_shifts)
        p = np.clip(older, 1e-6, 1 - 1e-6)
        logit = np.clip(slopes * np.log(p / (1 - p)) + shifts, -30, 30)
        older = 1 / (1 + np.exp(-logit))
        older = np.minimum.accumulate(older, axis=1)  # no older age is likelier
    return older.astype(np.float32)


def _years(ages: Ages, count: int) -> Float:
    """What the first ``count`` age outputs stand for, float32 ``[count]``."""
    return (ages.first + ages.step * np.arange(count)).astype(np.float32)


def _quantiles(distributions: Float, years: Float, shares: Sequence[float]) -> list[Float]:
    """Some quantiles of each row, interpolated within their bins; float32 ``[N]`` each."""
    cumulative = distributions.cumsum(axis=1)
    rows = np.arange(len(distributions))
    step = years[1] - years[0]
    found = []
    for q in shares:
        index = np.minimum((cumulative < q).sum(axis=1), len(years) - 1)
        inside = distributions[rows, index]
        before = cumulative[rows, index] - inside
        part = np.clip((q - before) / np.maximum(inside, 1e-12), 0, 1)
        found.append(np.asarray(years[index] + (part - 0.5) * step, np.float32))
    return found
