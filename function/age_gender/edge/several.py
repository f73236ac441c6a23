"""Requests for several pictures: what they contain, as one entry a picture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from annotated_types import Len
from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from age_gender.edge import inputs
from age_gender.edge.ignored import check_ignored
from age_gender.edge.problems import FieldError, Problem, ProblemBody
from age_gender.schema import PredictRequest, PredictResponse
from age_gender.settings import Settings

MAX_IMAGES = 32


class SeveralImages(BaseModel):
    """Body of a request for several pictures; all other fields are those of each entry."""

    model_config = ConfigDict(extra="allow")

    images: Annotated[list[Any], Len(1, MAX_IMAGES)] | None = None


class Failure(BaseModel):
    """A picture that failed, in place of its prediction."""

    model_config = ConfigDict(title="PictureFailure")

    error: ProblemBody = Field(description="As a request for this picture alone would get it.")


class PredictSeveralResponse(BaseModel):
    """Body of the response to a request for several pictures."""

    results: list[PredictResponse | Failure] = Field(
        description="One for each picture, in their order: what a request for it alone would get, "
        "or an `error`.",
        examples=[
            [
                {
                    "error": {
                        "type": "urn:age-gender:problem:unsupported-picture",
                        "title": "Unsupported picture",
                        "status": 415,
                        "code": "unsupported-picture",
                        "detail": "this is a PDF, not a picture",
                        "request_id": "8cda24c48c03c957",
                    }
                }
            ]
        ],
    )


@dataclass(frozen=True)
class Entry:
    """One picture of a request.

    Attributes:
        read: returns the fields, and the encoded image or None where it is to be fetched; raises
            `Problem` or `AgeGenderError`.
        size: bytes that the entry holds until then.
        unused: the query, which has no effect beside JSON.
    """

    read: Callable[[], tuple[PredictRequest, bytes | None]]
    size: int
    unused: Mapping[str, str] = field(default_factory=dict)


def read_entries(request: Request, body: bytes, settings: Settings) -> list[Entry] | None:
    """Read a request's entries if it is for several pictures.

    What is wrong with one picture is left for its turn; what concerns all is not.

    Args:
        request: for its headers and query.
        body: its body.
        settings: limits.

    Returns:
        The entries, or None if the request is for one picture.

    Raises:
        Problem: 400 or 422.
    """
    if inputs.is_json(request.mimetype) and _names_images(body):
        return _of_json(request, body, settings)
    if request.mimetype == inputs.FORM_TYPE and _counts_images(body) > 1:
        return _of_form(request, body, settings)
    return None


def _names_images(body: bytes) -> bool:
    """Whether a JSON text may have the field; before parsing, as nearly all have one picture."""
    # Names may be written with escapes. One byte is found ten times as fast as two.
    return b'"images"' in body or (b"\\" in body and b"\\u" in body)


def _of_json(request: Request, body: bytes, settings: Settings) -> list[Entry] | None:
    given = inputs.validated_json(SeveralImages, body)
    if given.images is None:
        return None
    shared = given.model_extra or {}
    fields = inputs.validated(shared)
    if fields.url or fields.b64:
        raise Problem(
            "two-pictures", "`images` has the pictures: leave out `url` and `b64` beside it"
        )
    check_ignored(fields, request.args)
    return [
        Entry(_reader(index, entry, shared, settings), _size_of(entry), request.args)
        for index, entry in enumerate(given.images)
    ]


def _reader(
    index: int, entry: Any, shared: Mapping[str, Any], settings: Settings
) -> Callable[[], tuple[PredictRequest, bytes | None]]:
    def read() -> tuple[PredictRequest, bytes | None]:
        if not isinstance(entry, dict):
            message = 'it must be an object such as {"url": …} or {"b64": …}'
            raise _invalid(f"images.{index}", message)
        fields = inputs.validated({**shared, **entry})
        return fields, inputs.named_image(fields, settings)

    return read


def _size_of(entry: Any) -> int:
    texts = entry.values() if isinstance(entry, dict) else ()
    return sum(len(text) for text in texts if isinstance(text, str))


def _counts_images(body: bytes) -> int:
    return body.count(b'name="image"') + body.count(b"name=image")


def _of_form(request: Request, body: bytes, settings: Settings) -> list[Entry] | None:
    form = inputs.read_form(request, body, settings)
    if len(form.images) < 2:
        return None
    if form.named or form.fields.url or form.fields.b64:
        raise Problem(
            "two-pictures", "the form has files in `image`: leave out `url` and `b64` beside them"
        )
    if len(form.images) > MAX_IMAGES:
        raise _invalid("image", f"at most {MAX_IMAGES} files are accepted")
    check_ignored(form.fields)
    return [Entry(partial(_given, form.fields, image), len(image)) for image in form.images]


def _given(fields: PredictRequest, image: bytes) -> tuple[PredictRequest, bytes | None]:
    return fields, image


def _invalid(field: str, message: str) -> Problem:
    return Problem(
        "invalid-field", f"{field}: {message}", errors=[FieldError(field=field, message=message)]
    )
