"""The shape of requests and responses."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from age_gender import __version__
from age_gender.numbers import NO_BOOLEAN
from age_gender.vision.attributes import MAX_AGE
from age_gender.vision.detectors.registry import DETECTORS, DetectorName, as_name
from age_gender.vision.face import Face, FaceAttributes, Reason
from age_gender.vision.pipeline import Options, Result

_DEFAULT_MIN_FACES = " or ".join(
    f"{info.default_min_face} (`{name}`)" for name, info in DETECTORS.items()
)
_LABELS = " or ".join(f"`{info.label}`" for info in DETECTORS.values())

MAX_OVER_AGES = 8
"""Ages that one request may ask about."""

MAX_URL_LENGTH = 8192
"""Characters of an address; of a ``data:`` URL, the picture's limit counts."""
MAX_SIDE = 65_500
"""Pixels; what a JPEG can have."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NO_BOOLEAN]


class PredictRequest(BaseModel):
    """Body of ``POST /predict``.

    Unknown fields are ignored, for old clients, and ``null`` and ``""`` mean the default.
    """

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {"url": "https://example.com/people.jpg", "face_detector": "accurate"},
                {"b64": "/9j/4AAQSkZJRg…", "confidence": 0.7, "return_image": False},
            ]
        },
    )

    confidence: Fraction = Field(
        0.5, description="Minimum probability that a returned box is a human face."
    )
    nms: Fraction = Field(
        0.5, description="IoU above which the worse of two overlapping boxes is dropped."
    )
    draw: bool = Field(True, description="Draw boxes and labels on the returned image.")
    face_detector: DetectorName = Field(
        "fast",
        description=" ".join(f"`{name}`: {info.summary}." for name, info in DETECTORS.items())
        + " The service's settings may name another default.",
    )
    get_attributes: bool = Field(True, description="Estimate age and gender of each face.")
    return_image: bool = Field(True, description="Return the picture as base64 JPEG.")
    url: str | None = Field(
        None,
        description="Address of the picture: http, https, data, or gs:// where that is allowed; "
        f"at most {MAX_URL_LENGTH} characters, but a data URL may be as long as the body.",
        examples=["https://example.com/people.jpg"],
    )
    b64: str | None = Field(
        None,
        description="The picture as base64, standard or URL-safe, with or without `data:`.",
        examples=["/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgM="],
    )
    blur: bool = Field(False, description="Make the faces in the returned image unrecognisable.")
    max_faces: Annotated[int, Field(ge=1, le=10_000), NO_BOOLEAN] | None = Field(
        None,
        description="Return only the largest faces, up to this many.",
        examples=[10],
    )
    min_face: Annotated[int, Field(ge=1, le=100_000), NO_BOOLEAN] | None = Field(
        None,
        description="Side of the smallest face wanted, in pixels of the picture; larger is "
        f"faster. By default {_DEFAULT_MIN_FACES}, more on large pictures: see `smallest_face`.",
        examples=[32],
    )

    over_age: tuple[Annotated[int, Field(ge=1, le=MAX_AGE), NO_BOOLEAN], ...] = Field(
        (),
        max_length=MAX_OVER_AGES,
        description="Return the probability of being at least so many years old, for each of "
        f"these ages, at most {MAX_OVER_AGES}. No proof of age. In forms and queries repeat the "
        "field or separate the ages by commas.",
        examples=[[18, 25]],
    )

    detect: bool = Field(
        True,
        description="False if the picture is one face and little else: it is not searched then, "
        "and the whole picture is the box.",
    )
    image_max_side: Annotated[int, Field(ge=1, le=MAX_SIDE), NO_BOOLEAN] | None = Field(
        None,
        description="Longer side of the returned image in pixels, at most; boxes still refer to "
        "the picture as it was sent.",
        examples=[1024],
    )
    strict: bool = Field(
        False, description="Refuse fields that do not exist, instead of warning of them."
    )

    _unknown: tuple[str, ...] = PrivateAttr(())

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the fields that were given and do not exist."""
        return self._unknown

    @field_validator("face_detector", mode="before")
    @classmethod
    def _any_case(cls, given: Any) -> Any:
        return as_name(given)

    @field_validator("url")
    @classmethod
    def _short_unless_data(cls, url: str | None) -> str | None:
        if url is not None and len(url) > MAX_URL_LENGTH and not is_data_url(url):
            raise PydanticCustomError(
                "url_too_long",
                "an address may have at most {max_length} characters, unless it is a data URL",
                {"max_length": MAX_URL_LENGTH},
            )
        return url

    @field_validator("over_age", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """Take `18`, `"18,25"` and repeated ages, too."""
        if isinstance(value, str):
            return value.split(",")
        return value if isinstance(value, list | tuple) else [value]

    @field_validator("over_age")
    @classmethod
    def _each_once(cls, ages: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(ages)))

    @model_validator(mode="wrap")
    @classmethod
    def _known_and_given(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        """Leave out what means the default, and note what is unknown."""
        if not isinstance(values, dict):
            return make(values)
        given = {name: value for name, value in values.items() if value is not None and value != ""}
        request = make(given)
        request._unknown = tuple(name for name in values if name not in cls.model_fields)
        return request

    def with_default_detector(self, name: DetectorName) -> Self:
        """Use the detector ``name`` if the request does not say which."""
        if "face_detector" in self.model_fields_set:
            return self
        return self.model_copy(update={"face_detector": name})

    def without_image(self) -> Self:
        """Drop the picture's text, which may be as large as a body."""
        return self.model_copy(update={"url": None, "b64": None})

    @property
    def options(self) -> Options:
        """Return the options for the pipeline."""
        return Options(**self.model_dump(exclude={"url", "b64", "strict"}))


def is_data_url(text: str) -> bool:
    """Whether a text contains the picture itself, as a ``data:`` URL."""
    return text.lstrip()[:5].lower() == "data:"


class QualityBody(BaseModel):
    """How clearly the picture shows the face."""

    size: float = Field(description="Shorter side of the box, pixels.", examples=[93.3])
    sharpness: float = Field(
        description="Contrast-normalised focus measure; about 0.1 is soft.", examples=[0.419]
    )
    yaw: float | None = Field(
        description="0 frontal, ±1 profile; null without landmarks.", examples=[0.04]
    )
    roll: float | None = Field(
        description="Degrees, clockwise, ±180 upside down; null without landmarks.", examples=[0.6]
    )
    sharpness_along: float = Field(
        description="Detail in the direction of the strongest blur, 0 to about 1; a moving face "
        "has much less than across it.",
        examples=[0.212],
    )
    sharpness_across: float = Field(
        description="Detail in the direction of the weakest blur.", examples=[0.236]
    )
    brightness: float = Field(description="Median grey value, 0 to 1.", examples=[0.53])
    contrast: float = Field(
        description="Between the 5 % and 95 % quantiles of the grey values, 0 to 1.",
        examples=[0.61],
    )
    burnt_out: float = Field(description="White share of the face, 0 to 1.", examples=[0.0])
    black: float = Field(description="Black share of the face, 0 to 1.", examples=[0.02])
    noise: float = Field(description="Standard deviation of the noise, 0 to 1.", examples=[0.004])
    yaw_degrees: float | None = Field(
        description="Degrees from frontal to the right of the picture, good to about ten; null "
        "without landmarks.",
        examples=[2.1],
    )
    pitch_degrees: float | None = Field(
        description="Degrees from level upwards, likewise.", examples=[-3.4]
    )
    outside: float = Field(
        description="Estimated share of the face outside the picture, 0 to 1.", examples=[0.0]
    )
    covered: float | None = Field(
        description="Probability that mouth or eyes are covered; null if the model cannot tell.",
        examples=[0.01],
    )


class FaceDetails(BaseModel):
    """One face; `age` and the fields after it only with `get_attributes`."""

    box: tuple[int, int, int, int] = Field(
        description="x1, y1, x2, y2 in whole pixels of the upright picture, clipped to it.",
        examples=[[177, 60, 271, 181]],
    )
    confidence: float = Field(
        description="Probability that this is a human face, 0 to 1.", examples=[0.9999]
    )
    landmarks: list[tuple[float, float]] | None = Field(
        description="Eyes, nose tip, mouth corners; left before right in an upright view.",
        examples=[[[202.7, 102.9], [245.9, 103.2], [224.9, 127.6], [203.4, 139.9], [246.0, 140.4]]],
    )
    age: float | None = Field(None, description="Apparent age in years.", examples=[32.6])
    age_interval: tuple[float, float] | None = Field(
        None, description="Years; contains the true age in 80 % of cases.", examples=[[24.9, 40.9]]
    )
    gender: Literal["M", "F"] | None = Field(
        None,
        description="The likelier one, by the labels of the training data.",
        examples=["F"],
    )
    gender_probability: float | None = Field(
        None, description="Calibrated probability of `gender`, 0.5 to 1.", examples=[0.9649]
    )
    quality: QualityBody | None = Field(None, description="How clearly the picture shows the face.")
    reliable: bool | None = Field(
        None,
        description="Whether nothing speaks against relying on age and gender.",
        examples=[True],
    )
    reasons: list[Reason] | None = Field(
        None,
        description="What speaks against it; empty if `reliable`.",
        examples=[[]],
    )
    over: dict[str, float] | None = Field(
        None,
        description="Calibrated probability of being at least so many years old, with `over_age`.",
        examples=[{"18": 0.97, "25": 0.41}],
    )


class ModelBody(BaseModel):
    """The models behind the response."""

    version: str = Field(description="The service's version.", examples=["0.1.0"])
    detector: str | None = Field(
        description=f"The face detector: {_LABELS}; null with `detect` false.",
        examples=["retinaface-v2"],
    )
    attributes: str | None = Field(
        description="Name and version of the age and gender model; null without `get_attributes`.",
        examples=["agn-v2 2.1.0"],
    )
    licence: str | None = Field(
        description="Terms of that model's weights; null without `get_attributes`.",
        examples=["Apache-2.0"],
    )
    engine: str = Field(
        description="What runs the networks: `litert` or `tensorflow`.", examples=["litert"]
    )


class PredictResponse(BaseModel):
    """Body of the response to ``POST /predict``."""

    confidence: float = Field(description="The threshold used.", examples=[0.5])
    faces: list[list[int | float | str]] = Field(
        description="A row per face: x1, y1, x2, y2, w, h, conf and, with attributes, age, gender.",
        examples=[[[177, 60, 271, 181, 94, 121, 1.0, 33, "F"]]],
    )
    image_size: tuple[int, int] = Field(
        description="Width and height of the upright picture.", examples=[[512, 512]]
    )
    smallest_face: int = Field(
        description="Side of the smallest face that was looked for, pixels of the picture.",
        examples=[16],
    )
    inference_time: float = Field(
        description="Milliseconds to detect the faces and estimate their attributes.",
        examples=[28.87],
    )
    details: list[FaceDetails] = Field(description="Details of each face, in the order of `faces`.")
    model: ModelBody = Field(description="Names and versions of the models and the service.")
    warnings: list[str] = Field(
        default_factory=list,
        description="What is wrong with the picture though it was read, and which fields were "
        "ignored; mostly empty.",
        examples=[["the JPEG file is cut off: about 48 of its 480 rows are missing"]],
    )
    image: str | None = Field(
        None,
        description="Base64 JPEG, with `return_image`.",
        examples=["/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgM="],
    )


def response_body(result: Result, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Build the response's JSON object, without ``image``.

    Args:
        result: of the pipeline.
        warnings: what is wrong with the request; those about the picture follow.

    It is built as plain dicts, since validating our own output on every request would cost more. A
    test compares it with `PredictResponse`.
    """
    return {
        "confidence": result.confidence,
        "faces": [_row(face) for face in result.faces],
        "image_size": list(result.size),
        "smallest_face": result.smallest_face,
        "inference_time": round(result.inference_ms, 2),
        "details": [face_details(face) for face in result.faces],
        "model": {
            "version": __version__,
            "detector": result.models.detector,
            "attributes": result.models.attributes,
            "licence": result.models.licence,
            "engine": result.models.engine,
        },
        "warnings": [*warnings, *result.warnings],
    }


def _row(face: Face) -> list[int | float | str]:
    x1, y1, x2, y2 = face.box
    row: list[int | float | str] = [*face.box, x2 - x1, y2 - y1, round(face.confidence, 4)]
    if face.attributes is not None:
        row += [round(face.attributes.age), face.attributes.gender]
    return row


def face_details(face: Face) -> dict[str, Any]:
    """Build an entry of the response's ``details``, with its rounding."""
    details: dict[str, Any] = {
        "box": list(face.box),
        "confidence": round(face.confidence, 4),
        "landmarks": face.landmarks and [[round(x, 1), round(y, 1)] for x, y in face.landmarks],
    }
    return details if face.attributes is None else details | _attributes(face.attributes)


def _attributes(attributes: FaceAttributes) -> dict[str, Any]:
    quality = attributes.quality
    body: dict[str, Any] = {
        "age": round(attributes.age, 1),
        "age_interval": [round(years, 1) for years in attributes.age_interval],
        "gender": attributes.gender,
        "gender_probability": round(attributes.gender_probability, 4),
        "quality": {
            "size": round(quality.size, 1),
            "sharpness": round(quality.sharpness, 3),
            "yaw": _rounded(quality.yaw, 2),
            "roll": _rounded(quality.roll, 1),
            "sharpness_along": round(quality.sharpness_along, 3),
            "sharpness_across": round(quality.sharpness_across, 3),
            "brightness": round(quality.brightness, 2),
            "contrast": round(quality.contrast, 2),
            "burnt_out": round(quality.burnt_out, 3),
            "black": round(quality.black, 3),
            "noise": round(quality.noise, 4),
            "yaw_degrees": _rounded(quality.yaw_degrees, 1),
            "pitch_degrees": _rounded(quality.pitch_degrees, 1),
            "outside": round(quality.outside, 2),
            "covered": _rounded(quality.covered, 3),
        },
        "reliable": attributes.reliable,
        "reasons": list(attributes.reasons),
    }
    if attributes.over:
        body["over"] = {str(age): round(p, 4) for age, p in attributes.over.items()}
    return body


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
