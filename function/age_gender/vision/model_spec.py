"""What the service must know of an age and gender model beside its weights.

One JSON file a model in ``models/specs/``: how its chips are cut, what its age outputs mean, how
they were calibrated on validation data, and when its answers are not to be relied on.
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
    """How a face is cut out; the same in training and in serving.

    Attributes:
        size: side in pixels.
        scale: side in lengths of the bounding box's longer side.
    """

    size: Annotated[int, Field(ge=32, le=512)]
    scale: Positive


class Ages(_Part):
    """Years that the age outputs stand for: output ``i`` is ``first + i * step`` years."""

    first: float
    step: Positive


class Calibration(_Part):
    """Parameters fitted on validation data (Guo et al. 2017; Romano et al. 2019).

    Attributes:
        age_temperature: the age distribution's logits are divided by this.
        gender_temperature: the gender logit is divided by this.
        coverage: share of true ages that the interval is to contain.
        interval_margin: years by which the interval between the distribution's quantiles is
            widened on each side (negative: narrowed) to reach that coverage.
        interval_edges: ages told that divide the bands of ``interval_margins``, ascending.
        interval_margins: years below and above by which the interval is widened in each band;
            where there are any, they take the place of ``interval_margin``. One more than edges.
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
    """Limits outside which the error was measured to grow too much.

    Attributes:
        min_size: shorter side of the bounding box in pixels.
        min_sharpness: as `quality.sharpness` gives it.
        max_yaw: as `quality.yaw` gives it, either sign.
    """

    min_size: float = 0.0
    min_sharpness: float = 0.0
    max_yaw: float = 1.0

    def holds(self, quality: Quality) -> bool:
        """Whether a face seen this well is within the limits."""
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
    """SPDX identifier of the weights' licence, or words where there is none."""
    data: str
    """What it was trained on, and what follows for its use."""
    chip: Chip
    ages: Ages
    calibration: Calibration = Calibration()
    reliability: Reliability = Reliability()


def load_spec(models_dir: Path, name: str) -> ModelSpec:
    """Read ``models_dir/specs/name.json``.

    Raises:
        ModelUnavailable: there is no such model, or its file is damaged.
    """
    folder = models_dir / "specs"
    try:
        return ModelSpec.model_validate_json((folder / f"{name}.json").read_bytes())
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise ModelUnavailable(f"no model is called {name!r}; there are: {known}") from None
    except (OSError, ValidationError) as error:
        raise ModelUnavailable(f"the specification of model {name} is damaged: {error}") from error
