"""One frozen settings object: built-in defaults < ``config.json`` < environment.

Every field can be set in ``config.json`` under its own name and in the environment under its
name in capitals (``gpu_fraction`` -> ``GPU_FRACTION``). An empty variable counts as unset. Files
that were written for the service's predecessor are read as well: where it looked for them, with its
spellings, and with keys that mean nothing here.

``pydantic-settings`` could merge them, but importing it takes longer than importing this whole
package, and every cold start would pay for it.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from age_gender.auth_keys import DEFAULT_PASSWORD, MIN_KEY_LENGTH, AuthKey, parsed_keys
from age_gender.errors import SettingsError
from age_gender.numbers import NO_BOOLEAN
from age_gender.vision.detectors.registry import DetectorName, as_name

log = logging.getLogger(__name__)

FUNCTION_DIR = Path(__file__).resolve().parent.parent
CONFIG_FILE = FUNCTION_DIR / "config.json"
OLD_CONFIG_FILE = Path("/age-gender-estimateion/config.json")
"""Where the predecessor's image had it, misspelt; users mount their own file there. It overrides
`CONFIG_FILE`, which holds the defaults."""
DEFAULT_USERNAME = "sugar"

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)
LOG_SWITCH = {"true": "info", "false": "warning"}
"""The predecessor's switch; faults are logged all the same."""

REPLACED_MODELS = ("agn-v1", "agn-v1-ccby")
"""Models of earlier versions, which may still be asked for."""

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")

MiB = 1024 * 1024


class Settings(BaseModel):
    """Everything that can be configured. Sizes are in bytes and times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "0.0.0.0"  # noqa: S104 - a container must listen on all interfaces
    port: Annotated[int, Field(ge=1, le=65535), NO_BOOLEAN] = 8080
    log: LogLevel = "info"

    auth: Literal["basic", "keys", "iam", "off"] = "basic"
    basic_auth_username: Annotated[str, Field(min_length=1, pattern="^[^:]+$")] = DEFAULT_USERNAME
    basic_auth_password: Annotated[str, Field(min_length=1, repr=False)] = DEFAULT_PASSWORD
    auth_keys: Annotated[tuple[AuthKey, ...], Field(repr=False)] = ()
    """With ``auth`` ``keys``, those who may call."""
    require_strong_auth: bool = False
    public_access: bool | None = None
    """Whether the platform lets anyone through; None: not known."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call; ``*`` for all."""

    engine: Literal["litert", "tensorflow"] = "litert"
    gpu: bool = False
    gpu_fraction: Annotated[float, Field(gt=0, le=1), NO_BOOLEAN] = 0.25
    gpu_required: bool = False
    """Whether to fail without a GPU instead of using the CPU."""
    gpu_batch: Annotated[int, Field(ge=1, le=256), NO_BOOLEAN] = 32
    """Pictures, or faces, of concurrent requests that a GPU processes together."""
    models_dir: Path = FUNCTION_DIR / "age_gender" / "models"
    attribute_model: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] = "agn-v2"
    default_face_detector: DetectorName = "fast"
    """Of requests that do not name one; the HTTP contract's by default."""
    inference_threads: Annotated[int, Field(ge=0, le=256), NO_BOOLEAN] = 0
    """Maximum threads per inference; 0: number of usable CPUs."""

    max_body_bytes: Annotated[int, Field(ge=1024), NO_BOOLEAN] = 32 * MiB
    max_picture_bytes: Annotated[int, Field(ge=1024), NO_BOOLEAN] = 20 * MiB
    max_pixels: Annotated[int, Field(ge=1024), NO_BOOLEAN] = 50_000_000
    """Of one picture, and of all in progress; less where memory is short."""
    max_held_bytes: Annotated[int, Field(ge=1024), NO_BOOLEAN] = 64 * MiB
    """Total of the bodies, pictures and answers held; beyond it, requests get a 429."""

    max_in_flight: Annotated[int, Field(ge=0), NO_BOOLEAN] = 0
    """Concurrent predictions; 0: number of CPUs + 1, or with a GPU + ``gpu_batch``."""
    max_queue: Annotated[int, Field(ge=0), NO_BOOLEAN] = 32
    queue_timeout: Annotated[float, Field(gt=0, le=3600), NO_BOOLEAN] = 8.0

    url_timeout: Annotated[float, Field(gt=0, le=300), NO_BOOLEAN] = 8.0
    url_max_redirects: Annotated[int, Field(ge=0, le=20), NO_BOOLEAN] = 3
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
    annotate_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NO_BOOLEAN] = 0.5
    annotate_nms: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NO_BOOLEAN] = 0.5
    annotate_min_face: Annotated[int, Field(ge=1, le=100_000), NO_BOOLEAN] | None = None
    annotate_max_faces: Annotated[int, Field(ge=1, le=10_000), NO_BOOLEAN] | None = None
    annotate_attributes: bool = True
    annotate_image: Literal["none", "drawn", "blurred"] = "none"
    """Kind of annotated JPEG to write as well."""
    annotate_in_flight: Annotated[int, Field(ge=1, le=64), NO_BOOLEAN] = 8
    """Pictures being fetched, predicted and stored."""
    annotate_retry_seconds: Annotated[float, Field(ge=0, le=600), NO_BOOLEAN] = 30.0
    """For which an event is tried again before it is given back."""
    annotate_storage_timeout: Annotated[float, Field(gt=0, le=600), NO_BOOLEAN] = 30.0
    """Per operation on a bucket, with its retries."""

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        texts = {
            n: v for n in ("gcs_buckets", "cors_origins") if isinstance(v := values.get(n), str)
        }
        lists = {
            name: tuple(filter(None, map(str.strip, text.split(","))))
            for name, text in texts.items()
        }
        return {**values, **lists}

    @field_validator("auth_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: Any) -> Any:
        return parsed_keys(value)

    @field_validator("auth_keys")
    @classmethod
    def _each_name_once(cls, keys: tuple[AuthKey, ...]) -> tuple[AuthKey, ...]:
        if len({key.name for key in keys}) < len(keys):
            raise ValueError("two keys have the same name")
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.lower().removesuffix("/") for origin in origins)
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("an origin is written like https://example.com, or * for all")
        return tuple(map(_without_default_port, origins))

    @field_validator("log", mode="before")
    @classmethod
    def _level_or_switch(cls, given: Any) -> Any:
        text = str(given).lower()
        level = LOG_SWITCH.get(text, text)
        return level if level in LOG_LEVELS else given

    @field_validator("gpu", mode="before")
    @classmethod
    def _none_is_off(cls, given: Any) -> Any:
        return False if given is None or str(given).lower() == "none" else given

    @field_validator("default_face_detector", "annotate_face_detector", mode="before")
    @classmethod
    def _any_case(cls, given: Any) -> Any:
        return as_name(given)

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
    def _check_auth(self) -> Self:
        if self.auth == "keys" and not self.auth_keys:
            raise ValueError("auth is keys: list them in auth_keys, like name=key")
        if self.auth == "iam" and self.public_access:
            raise ValueError(
                "auth is iam, but public_access says that anyone may call: no one would be "
                "checked; set auth to basic or keys, or let only known callers through"
            )
        return self

    @model_validator(mode="after")
    def _refuse_weak_auth(self) -> Self:
        if not self.require_strong_auth:
            return self
        if self.auth == "off" or (self.auth == "basic" and self.uses_default_password):
            raise ValueError(
                "require_strong_auth is set: give basic_auth_password a value of your own "
                "(and leave auth at basic)"
            )
        if self.auth == "keys" and self.weak_keys:
            raise ValueError(
                f"require_strong_auth is set: auth_keys {', '.join(self.weak_keys)} could be "
                f"guessed; use at least {MIN_KEY_LENGTH} random characters"
            )
        return self

    @model_validator(mode="after")
    def _refuse_gpu_required_without_gpu(self) -> Self:
        if self.gpu_required and not self.gpu:
            raise ValueError("gpu_required is set, but gpu is not: set gpu to true")
        return self

    @property
    def weak_keys(self) -> list[str]:
        """Names of the keys that could be guessed."""
        return [key.name for key in self.auth_keys if key.is_weak]

    @property
    def uses_default_password(self) -> bool:
        """Whether the password is the published default."""
        return self.basic_auth_password == DEFAULT_PASSWORD

    @property
    def engine_in_use(self) -> str:
        """``litert`` or ``tensorflow``, which a GPU needs."""
        return "tensorflow" if self.gpu else self.engine

    @property
    def batch_in_use(self) -> int:
        """Samples of several requests in one run of a network: one without a GPU."""
        return self.gpu_batch if self.gpu else 1


def load_settings(
    config_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Merge the defaults, the configuration files and the environment.

    Keys of a file that are no settings are logged and ignored, so that old files go on working.

    Args:
        config_file: read instead of `CONFIG_FILE` and `OLD_CONFIG_FILE`. It may be missing, as
            these may.
        environ: the environment; the process's by default.

    Raises:
        SettingsError: one line that names the setting, its value and what is allowed. The
            password's value is never in it.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for file in (CONFIG_FILE, OLD_CONFIG_FILE) if config_file is None else (config_file,):
        found = _read_config(file)
        _warn_of_unknown(found.keys() - Settings.model_fields.keys(), file)
        values |= {name: value for name, value in found.items() if name in Settings.model_fields}
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


def _without_default_port(origin: str) -> str:
    """Write an origin as browsers do."""
    for scheme, port in (("https://", ":443"), ("http://", ":80")):
        if origin.startswith(scheme):
            return origin.removesuffix(port)
    return origin


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


def _warn_of_unknown(names: Iterable[str], config_file: Path) -> None:
    for name in sorted(names):
        close = get_close_matches(name.lower(), Settings.model_fields, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        log.warning("%s: %r is no setting and is ignored%s", config_file.name, name, hint)


def _one_line(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_url=False):
        name = ".".join(str(p) for p in item["loc"]).upper()
        is_secret = "PASSWORD" in name or "AUTH_KEYS" in name
        shown = "" if is_secret or not name else f" (got {item['input']!r})"
        # Of our own checks, without the "Value error, " that pydantic puts before them.
        message = item["ctx"]["error"] if item["type"] == "value_error" else item["msg"]
        parts.append(f"{name + ': ' if name else ''}{message}{shown}")
    return "; ".join(parts)
