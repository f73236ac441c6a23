"""From chips to ages and genders: one network over all faces of an image, then calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from age_gender.networks.engine import Engine
from age_gender.vision.geometry import Float, Image
from age_gender.vision.model_spec import Calibration, ModelSpec

MAX_AGE = 100
"""Highest number of years that one can ask whether a person has reached."""
_ASKED = np.arange(MAX_AGE + 1)


@dataclass(frozen=True)
class Attributes:
    """Calibrated predictions for N faces.

    Attributes:
        ages: float32 ``[N]``, years.
        intervals: float32 ``[N, 2]``, years; a fraction ``spec.calibration.coverage`` of them
            contains the true age.
        male: float32 ``[N]``, probability of male.
        spread: float32 ``[N]``, standard deviation of the age distribution, years.
        older: float32 ``[N, 101]``, probability of being at least 0 to 100 years old.
        embedding: float32 ``[N, E]``, the network's features; None if it does not return them.
    """

    ages: Float
    intervals: Float
    male: Float
    spread: Float
    older: Float
    embedding: Float | None = None

    def __len__(self) -> int:
        return len(self.ages)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Attributes":
        return Attributes(**{name: array[index] for name, array in self._arrays()})

    def with_rows(self, index: NDArray[np.intp], other: "Attributes") -> "Attributes":
        """Replace the faces at ``index`` by those of ``other``, in order."""
        arrays = {name: array.copy() for name, array in self._arrays()}
        for name, array in other._arrays():
            arrays[name][index] = array
        return Attributes(**arrays)

    def _arrays(self) -> list[tuple[str, Float]]:
        pairs = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(name, array) for name, array in pairs if array is not None]


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
    years = _years(spec.ages.first, spec.ages.step, distributions.shape[1])
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
    logit = np.log(p / (1 - p)) / calibration.gender_temperatures_at(ages)
    return Attributes(
        ages.astype(np.float32),
        np.maximum(intervals, 0).astype(np.float32),
        (1 / (1 + np.exp(-logit))).astype(np.float32),
        spread.astype(np.float32),
        _older(tempered, years, calibration),
    )


@lru_cache(maxsize=16)
def _years(first: float, step: float, count: int) -> Float:
    """Ages of a distribution, float32 ``[count]``."""
    return (first + step * np.arange(count)).astype(np.float32)


def _older(distributions: Float, years: Float, calibration: Calibration) -> Float:
    """Probability of being at least 0 to `MAX_AGE` years old; float32 ``[N, MAX_AGE + 1]``."""
    tails = np.cumsum(distributions[:, ::-1], axis=1)[:, ::-1]
    after = np.zeros((len(tails), len(years) + 1), np.float32)
    after[:, :-1] = np.clip(tails, 0, 1)
    # The first of the model's ages that is not below each number of years.
    older = after[:, np.searchsorted(years, _ASKED)]
    if calibration.older_ages:
        slopes, shifts = _curves(
            calibration.older_ages, calibration.older_slopes, calibration.older_shifts
        )
        p = np.clip(older, 1e-6, 1 - 1e-6)
        logit = np.clip(slopes * np.log(p / (1 - p)) + shifts, -30, 30)
        older = 1 / (1 + np.exp(-logit))
        older = np.minimum.accumulate(older, axis=1)  # no older age is likelier
    return older.astype(np.float32)


@lru_cache(maxsize=16)
def _curves(
    ages: tuple[float, ...], slopes: tuple[float, ...], shifts: tuple[float, ...]
) -> tuple[Float, Float]:
    """Slope and shift at each of `_ASKED`, float32 ``[MAX_AGE + 1]``."""
    slope, shift = (np.interp(_ASKED, ages, at).astype(np.float32) for at in (slopes, shifts))
    return slope, shift


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
