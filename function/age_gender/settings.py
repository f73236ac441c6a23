"""One frozen settings object: built-in defaults < ``config.json`` < environment.

Every field can be set in ``config.json`` under its own name and in the environment under its
name in capitals (``gpu_fraction`` -> ``GPU_FRACTION``). An empty variable counts as unset.

``pydantic-settings`` could merge them, but importing it takes longer than importing this whole
package, and every cold start would pay for it.
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from age_gender.errors import SettingsError
from age_gender.vision.detectors.registry import DetectorName

FUNCTION_DIR = Path(__file__).resolve().parent.parent
DEFAULT_USERNAME = "sugar"
DEFAULT_PASSWORD = "kubes"  # noqa: S105 - public on purpose; each start warns about it

REPLACED_MODELS = ("agn-v1", "agn-v1-ccby")
"""Models of earlier versions, which may still be asked for."""

MiB = 1024 * 1024


class Settings(BaseModel):
    """Everything that can be configured. Sizes are in bytes and times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "0.0.0.0"  # noqa: S104 - a container must listen on all interfaces
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    log: Literal["debug", "info", "warning", "error"] = "info"

    auth: Literal["basic", "off"] = "basic"
    basic_auth_username: Annotated[str, Field(min_length=1, pattern="^[^:]+$")] = DEFAULT_USERNAME
    basic_auth_password: Annotated[str, Field(min_length=1, repr=False)] = DEFAULT_PASSWORD
    require_strong_auth: bool = False

    engine: Literal["litert", "tensorflow"] = "litert"
    gpu: bool = False
    gpu_fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    gpu_required: bool = False
    """Whether to fail without a GPU instead of using the CPU."""
    models_dir: Path = FUNCTION_DIR / "age_gender" / "models"
    attribute_model: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] = "agn-v2"
    default_face_detector: DetectorName = "fast"
    """Of requests that do not name one; the HTTP contract's by default."""
    inference_threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Maximum threads per inference; 0: number of usable CPUs."""

    max_body_bytes: Annotated[int, Field(ge=1024)] = 32 * MiB
    max_picture_bytes: Annotated[int, Field(ge=1024)] = 20 * MiB
    max_pixels: Annotated[int, Field(ge=1024)] = 50_000_000
    """Of one picture, and of all in progress; less where memory is short."""
    max_held_bytes: Annotated[int, Field(ge=1024)] = 64 * MiB
    """Total of the bodies, pictures and answers held; beyond it, requests get a 429."""

    max_in_flight: Annotated[int, Field(ge=0)] = 0
    """Concurrent predictions; 0: number of CPUs + 1."""
    max_queue: Annotated[int, Field(ge=0)] = 32
    queue_timeout: Annotated[float, Field(gt=0, le=3600)] = 8.0

    url_timeout: Annotated[float, Field(gt=0, le=300)] = 8.0
    url_max_redirects: Annotated[int, Field(ge=0, le=20)] = 3
    allow_private_urls: bool = False
    gcs_buckets: tuple[str, ...] = ()
    """Buckets that ``gs://`` URLs may name; ``*`` for all."""

    input_bucket: Annotated[str, Field(pattern=r"^[a-z0-9._-]*$")] = ""
    """Bucket whose uploads are annotated; the trigger needs it."""
    input_prefix: str = ""
    """Only objects whose names start with this are annotated."""
    output_bucket: Annotated[str, Field(pattern=r"^[a-z0-9._-]*$")] = ""
    output_prefix: str = ""
    annotate_face_detector: DetectorName = "accurate"
    annotate_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    annotate_nms: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    annotate_min_face: Annotated[int, Field(ge=1, le=100_000)] | None = None
    annotate_max_faces: Annotated[int, Field(ge=1, le=10_000)] | None = None
    annotate_attributes: bool = True
    annotate_image: Literal["none", "drawn", "blurred"] = "none"
    """Kind of annotated JPEG to write as well."""
    annotate_in_flight: Annotated[int, Field(ge=1, le=64)] = 8
    """Pictures being fetched, predicted and stored."""
    annotate_storage_timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Per operation on a bucket, with its retries."""

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("gcs_buckets"), str):
            names = values["gcs_buckets"].split(",")
            values = {**values, "gcs_buckets": tuple(n.strip() for n in names if n.strip())}
        return values

    @field_validator("attribute_model")
    @classmethod
    def _still_exists(cls, name: str) -> str:
        if name in REPLACED_MODELS:
            raise ValueError(
                f"{name} no longer exists: agn-v2, the default, replaces agn-v1-ccby; "
                "agn-v2-research, for non-commercial research only, replaces agn-v1"
            )
        return name

    @model_validator(mode="after")
    def _refuse_default_password(self) -> Self:
        if self.require_strong_auth and (self.auth == "off" or self.uses_default_password):
            raise ValueError(
                "require_strong_auth is set: give basic_auth_password a value of your own "
                "(and leave auth at basic)"
            )
        return self

    @model_validator(mode="after")
    def _refuse_gpu_required_without_gpu(self) -> Self:
        if self.gpu_required and not self.gpu:
            raise ValueError("gpu_required is set, but gpu is not: set gpu to true")
        return self

    @property
    def uses_default_password(self) -> bool:
        """Whether the password is the published default."""
        return self.basic_auth_password == DEFAULT_PASSWORD

    @property
    def engine_in_use(self) -> str:
        """``litert`` or ``tensorflow``, which a GPU needs."""
        return "tensorflow" if self.gpu else self.engine


def load_settings(
    config_file: Path = FUNCTION_DIR / "config.json", environ: Mapping[str, str] | None = None
) -> Settings:
    """Merge defaults, ``config_file`` (may be missing) and the environment.

    Raises:
        SettingsError: one line that names the setting, its value and what is allowed. The
            password's value is never in it.
    """
    environ = os.environ if environ is None else environ
    values = _read_config(config_file)
    for name in Settings.model_fields:
        if environ.get(name.upper(), "") != "":
            values[name] = environ[name.upper()]
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def _read_config(config_file: Path) -> dict[str, Any]:
    try:
        values = json.loads(config_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{config_file.name} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{config_file.name} must hold one JSON object")
    return values


def _one_line(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        name = ".".join(str(p) for p in item["loc"]).upper()
        shown = "" if "PASSWORD" in name or not name else f" (got {item['input']!r})"
        parts.append(f"{name + ': ' if name else ''}{item['msg']}{shown}")
    return "; ".join(parts)
