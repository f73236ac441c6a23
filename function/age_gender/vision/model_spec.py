"""What the service needs to know about an age and gender model besides its weights.

Each model has a JSON file in ``models/specs/``: how its chips are cut, what its age outputs mean,
how they are calibrated, and when its predictions are unreliable.
"""

import base64
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from age_gender.errors import ModelUnavailable

Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Chip(_Part):
    """How a face is cut out, in training and in serving alike.

    Attributes:
        size: side in pixels.
        scale: side in lengths of the bounding box's longer side.
    """

    size: Annotated[int, Field(ge=32, le=512)]
    scale: Positive


class Ages(_Part):
    """Meaning of the age outputs: output ``i`` stands for ``first + i * step`` years."""

    first: float
    step: Positive


class Calibration(_Part):
    """Parameters fitted on validation data (Guo et al. 2017; Romano et al. 2019).

    Attributes:
        age_temperature: the age distribution's logits are divided by this.
        gender_temperature: the gender logit is divided by this.
        gender_ages: predicted ages, ascending, for which that temperature was fitted; in between
            it is interpolated.
        gender_temperatures: for each of these ages. They replace ``gender_temperature``.
        coverage: fraction of true ages that the interval should contain.
        interval_margin: years by which the interval between the distribution's quantiles is
            widened on each side (negative: narrowed) to reach that coverage.
        interval_edges: predicted ages that separate the bands of ``interval_margins``, ascending.
        interval_margins: years by which the interval is widened below and above, for each band;
            one more than ``interval_edges``. They replace ``interval_margin``.
        older_ages: ages, ascending, for which the probability of being at least that old was
            fitted; in between, slopes and shifts are interpolated.
        older_slopes: factor of that probability's logit, for each.
        older_shifts: added to that logit, for each.
    """

    age_temperature: Positive = 1.0
    gender_temperature: Positive = 1.0
    gender_ages: tuple[float, ...] = ()
    gender_temperatures: tuple[Positive, ...] = ()
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.8
    interval_margin: float = 0.0
    interval_edges: tuple[float, ...] = ()
    interval_margins: tuple[tuple[float, float], ...] = ()

    older_ages: tuple[float, ...] = ()
    older_slopes: tuple[Positive, ...] = ()
    older_shifts: tuple[float, ...] = ()

    def margins_at(self, ages: NDArray[np.float32]) -> NDArray[np.float32]:
        """Years by which intervals are widened below and above at predicted ages, ``[N, 2]``."""
        if self.interval_margins:
            return _at(ages, self.interval_edges, self.interval_margins)
        return _at(ages, (), ((self.interval_margin, self.interval_margin),))

    def gender_temperatures_at(self, ages: NDArray[np.float32]) -> NDArray[np.float64]:
        """What gender logits are divided by at predicted ages, ``[N]``."""
        if self.gender_ages:
            return np.interp(ages, self.gender_ages, self.gender_temperatures)
        return np.full(len(ages), self.gender_temperature)

    @model_validator(mode="after")
    def _a_temperature_for_each_age(self) -> Self:
        if len(self.gender_ages) != len(self.gender_temperatures):
            raise ValueError("gender_ages and gender_temperatures must be equally many")
        return self

    @model_validator(mode="after")
    def _a_slope_and_a_shift_for_each_age(self) -> Self:
        if not len(self.older_ages) == len(self.older_slopes) == len(self.older_shifts):
            raise ValueError("older_ages, older_slopes and older_shifts must be equally many")
        return self

    @model_validator(mode="after")
    def _a_margin_for_each_band(self) -> Self:
        if self.interval_margins and len(self.interval_margins) != len(self.interval_edges) + 1:
            raise ValueError("interval_margins must be one more than interval_edges")
        return self


class Linear(_Part):
    """A linear classifier on the network's ``embedding``.

    Attributes:
        weights: float16, little-endian, as base64: one for each of the first features. The others
            count nothing.
        bias: added to the weighted sum.
    """

    weights: str
    bias: float

    @field_validator("weights")
    @classmethod
    def _are_finite(cls, text: str) -> str:
        return _finite(text)

    @cached_property
    def _vector(self) -> NDArray[np.float32]:
        return _halves(self.weights).astype(np.float32)

    def logits(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, float32 ``[N]``, for features ``[N, E]``.

        Raises:
            ValueError: there are fewer features than weights.
        """
        known = embedding[:, : len(self._vector)]
        return np.asarray(known @ self._vector + np.float32(self.bias), np.float32)


class Head(_Part):
    """A classifier on the network's ``embedding``, with one hidden layer, that gives a reason.

    Attributes:
        hidden: weights of the hidden layer for the first features, ``[F, H]`` row by row: float16,
            little-endian, base64. The other features count nothing.
        hidden_biases: of the same, H.
        weights: of the hidden layer's outputs, which are cut off below zero (ReLU), H.
        bias: added to their weighted sum.
        limit: probability from which the reason applies.
    """

    hidden: str
    hidden_biases: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    limit: Annotated[float, Field(ge=0, le=1)]

    @field_validator("hidden")
    @classmethod
    def _are_finite(cls, text: str) -> str:
        return _finite(text)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        units = len(self.weights)
        if not units or len(self.hidden_biases) != units or len(_halves(self.hidden)) % units:
            raise ValueError("hidden, hidden_biases and weights must have the same units")
        return self

    @cached_property
    def _layers(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        hidden = _halves(self.hidden).astype(np.float32).reshape(-1, len(self.weights))
        return hidden, np.array(self.hidden_biases, np.float32), np.array(self.weights, np.float32)

    def logits(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, float32 ``[N]``, for features ``[N, E]``.

        Raises:
            ValueError: there are fewer features than rows of weights.
        """
        hidden, biases, weights = self._layers
        units = np.maximum(embedding[:, : len(hidden)] @ hidden + biases, 0)
        return np.asarray(units @ weights + np.float32(self.bias), np.float32)


class FaceClassifiers(_Part):
    """Whether a chip shows a human face, and which way up; see ``face_check``.

    Attributes:
        face: its logit is high for faces.
        turned: its logit is above 0 where the face is on its side or upside down.
    """

    face: Linear
    turned: Linear


def _finite(text: str) -> str:
    if not np.isfinite(_halves(text)).all():
        raise ValueError("weights must be finite")
    return text


def _halves(text: str) -> NDArray[np.float16]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f2")


def _at(
    ages: NDArray[np.float32], edges: tuple[float, ...], table: tuple[object, ...]
) -> NDArray[np.float32]:
    """Rows of a table for bands of ages."""
    limits, rows = _arrays(edges, table)
    return rows[np.searchsorted(limits, ages, side="right")]


@lru_cache(maxsize=64)
def _arrays(
    edges: tuple[float, ...], table: tuple[object, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    # Not a property of the models: pydantic's copies would keep it when their fields change.
    return np.array(edges, np.float64), np.array(table, np.float32)


@lru_cache(maxsize=64)
def _vector(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


class Risk(_Part):
    """A logistic model of the probability of a large error.

    Attributes:
        intercept: of the logit.
        weights: of the features that `reliability.features` names, one or more.
        edges: predicted ages that separate the bands of ``limits``, ascending.
        limits: probability from which a face is uncertain, for each band of predicted ages. One
            more than ``edges``.
    """

    intercept: float
    weights: Annotated[dict[str, float], Field(min_length=1)]
    edges: tuple[float, ...]
    limits: tuple[float, ...]

    @model_validator(mode="after")
    def _a_limit_for_each_band(self) -> Self:
        if len(self.limits) != len(self.edges) + 1:
            raise ValueError("limits must be one more than edges")
        return self

    def logits(self, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Logits, float32 ``[N]``, of what `reliability.features` returns."""
        terms = np.array([values[name] for name in self.weights], np.float32)
        return _vector(tuple(self.weights.values())) @ terms + np.float32(self.intercept)

    def limits_at(self, ages: NDArray[np.float32]) -> NDArray[np.float32]:
        """The limits for predicted ages ``[N]``, float32 ``[N]``."""
        return _at(ages, self.edges, self.limits)


class Reliability(_Part):
    """Limits of quality and risk beyond which the measured error is too large.

    Attributes:
        min_size: shorter side of the bounding box, pixels.
        min_sharpness: see `quality.sharpness`.
        min_sharpness_along: see `quality.directional_sharpness`.
        max_yaw: see `pose.Poses.yaws`; either sign.
        max_yaw_degrees: see `pose.Poses.yaw_degrees`; either sign.
        max_pitch_degrees: see `pose.Poses.pitch_degrees`; either sign.
        min_brightness: median of the grey values, 0-1.
        min_contrast: between the 5 % and 95 % quantiles of the grey values, 0-1.
        max_burnt_out: share of white pixels, 0-1.
        max_noise: in relation to the contrast.
        max_outside: share of the face outside the image, 0-1.
        min_confidence: of the detection.
        heads: what the embedding shows, by the reason it gives.
        age_risk: of an age that is far off, if it was fitted.
        gender_risk: of the wrong gender, if it was fitted.
    """

    min_size: float = 0.0
    min_sharpness: float = 0.0
    min_sharpness_along: float = 0.0
    max_yaw: float = 1.0
    max_yaw_degrees: float = 90.0
    max_pitch_degrees: float = 90.0
    min_brightness: float = 0.0
    min_contrast: float = 0.0
    max_burnt_out: float = 1.0
    max_noise: float = 10.0
    max_outside: float = 1.0
    min_confidence: float = 0.0
    heads: dict[Literal["not-a-face", "covered", "cut-off"], Head] = {}
    age_risk: Risk | None = None
    gender_risk: Risk | None = None


class ModelSpec(_Part):
    """See the module's docstring."""

    name: str
    version: str
    licence: str
    """SPDX identifier of the weights' licence, or a description where there is none."""
    data: str
    """What it was trained on, and what that means for its use."""
    chip: Chip
    ages: Ages
    calibration: Calibration = Calibration()
    reliability: Reliability = Reliability()
    face_check: FaceClassifiers | None = None

    @property
    def label(self) -> str:
        """Name and version, as responses report them."""
        return f"{self.name} {self.version}"


def load_spec(models_dir: Path, name: str) -> ModelSpec:
    """Read ``models_dir/specs/name.json``.

    Raises:
        ModelUnavailable: the model is unknown, or its file is damaged.
    """
    folder = models_dir / "specs"
    try:
        return ModelSpec.model_validate_json((folder / f"{name}.json").read_bytes())
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        known = known or "none (run `make models`)"
        raise ModelUnavailable(f"unknown model {name!r}; available: {known}") from None
    except (OSError, ValidationError) as error:
        raise ModelUnavailable(f"the specification of model {name} is damaged: {error}") from error
