"""What the service needs to know about an age and gender model besides its weights.

Each model has a JSON file in ``models/specs/``: how its chips are cut, what its age outputs mean,
how they are calibrated, and when its predictions are unreliable.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from age_gender.errors import ModelUnavailable
from age_gender.vision.quality import Quality

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
        coverage: fraction of true ages that the interval should contain.
        interval_margin: years by which the interval between the distribution's quantiles is
            widened on each side (negative: narrowed) to reach that coverage.
        interval_edges: predicted ages that separate the bands of ``interval_margins``, ascending.
        interval_margins: years by which the interval is widened below and above, for each band;
            one more than ``interval_edges``. They replace ``interval_margin``.
    """

    age_temperature: Positive = 1.0
    gender_temperature: Positive = 1.0
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.8
    interval_margin: float = 0.0
    interval_edges: tuple[float, ...] = ()
    interval_margins: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _a_margin_for_each_band(self) -> Self:
        if self.interval_margins and len(self.interval_margins) != len(self.interval_edges) + 1:
            raise ValueError("interval_margins must be one more than interval_edges")
        return self


class Reliability(_Part):
    """Limits of quality beyond which the measured error is too large.

    Attributes:
        min_size: shorter side of the bounding box, pixels.
        min_sharpness: see `quality.sharpness`.
        max_yaw: see `quality.yaw`; either sign.
    """

    min_size: float = 0.0
    min_sharpness: float = 0.0
    max_yaw: float = 1.0

    def holds(self, quality: Quality) -> bool:
        """Whether ``quality`` is within the limits."""
        return (
            quality.size >= self.min_size
            and quality.sharpness >= self.min_sharpness
            and abs(quality.yaw or 0.0) <= self.max_yaw
        )


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
