"""The three ways to send a picture: in a JSON body, in a form, or as the body itself."""

import codecs
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from age_gender.edge import not_json
from age_gender.edge.ignored import cut
from age_gender.edge.problems import FieldError, Problem
from age_gender.fetch.base64 import from_base64
from age_gender.limits import json_bounds
from age_gender.schema import PredictRequest, is_data_url
from age_gender.settings import Settings

MAX_FORM_PARTS = 50
Model = TypeVar("Model", bound=BaseModel)

FORM_TYPE = "multipart/form-data"
REPEATABLE = {"over_age"}
ACCEPTED = "application/json, multipart/form-data or image/*"
RAW_TYPE = "application/octet-stream"
"""A picture of any format; its own type does as well."""
JSON_TYPES = frozenset({"application/json", "text/json", "text/plain", ""})
CURL_TYPE = "application/x-www-form-urlencoded"
"""What `curl -d` calls a JSON body by default."""


def refuse_compressed(request: Request) -> None:
    """Refuse a compressed body before it is read.

    A few kilobytes could unpack to gigabytes, and pictures are compressed already.

    Raises:
        Problem: 415.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Problem(
            "unsupported-media-type",
            f"Content-Encoding {encoding[:40]} is not supported: send the body uncompressed",
        )


def read_request(
    request: Request, body: bytes, settings: Settings
) -> tuple[PredictRequest, bytes | None]:
    """Read a request's fields, and the picture it contains.

    Args:
        request: for its headers and query.
        body: its body.
        settings: limits.

    Returns:
        The fields and the encoded picture, or None where it is to be fetched from ``fields.url``.

    Raises:
        Problem: 400, 413, 415 or 422.
        AgeGenderError: the picture is not valid base64.
    """
    kind = request.mimetype
    if kind.startswith("image/") or kind == RAW_TYPE:
        if not body:
            raise Problem("no-picture", "the body is empty: send the picture as the body")
        fields = validated(_texts(request.args))
        if fields.url or fields.b64:
            raise Problem("two-pictures", "the body is a picture: leave out `url` and `b64`")
        return fields, body
    if kind == FORM_TYPE:
        return _from_form(request, body, settings)
    if is_json(kind):
        fields = validated_json(PredictRequest, body)
        return fields, named_image(fields, settings)
    raise Problem(
        "unsupported-media-type", f"Content-Type {cut(kind)} is not supported: send {ACCEPTED}"
    )


def is_json(kind: str) -> bool:
    """Whether a body of this type is read as JSON, and so has all fields in it."""
    return kind in JSON_TYPES or kind == CURL_TYPE or kind.endswith("+json")


@dataclass(frozen=True)
class Form:
    """A form's content.

    Attributes:
        fields: of its texts, and of the query where it has no text.
        images: its files, as encoded images.
        named: texts that name or contain an image.
        has_text_image: whether `image` came as a text.
        misnamed: names of fields with files that are not images; at most `MAX_FORM_PARTS`.
    """

    fields: PredictRequest
    images: list[bytes]
    named: list[str]
    has_text_image: bool
    misnamed: list[str]


def read_form(request: Request, body: bytes, settings: Settings) -> Form:
    """Parse a form.

    Raises:
        Problem: 400 or 422.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise Problem("malformed-form", "the form's Content-Type has no boundary")
    parser = MultiPartParser(
        stream_factory=_in_memory,
        max_form_memory_size=settings.max_body_bytes,
        max_form_parts=MAX_FORM_PARTS,
    )
    try:
        texts, files = parser.parse(io.BytesIO(body), boundary.encode("latin-1"), len(body))
    except RequestEntityTooLarge:
        raise Problem("malformed-form", f"the form has more than {MAX_FORM_PARTS} parts") from None
    except ValueError:
        raise Problem(
            "malformed-form",
            "the body is not multipart/form-data with the boundary of its Content-Type, or is cut "
            "off",
        ) from None
    # For a file that was not chosen, browsers send a part without name and content.
    uploads = [data for upload in files.getlist("image") if (data := _content(upload)) is not None]
    known = {"image", *PredictRequest.model_fields}
    misnamed = [
        name or ""
        for name, uploads_there in files.lists()
        if name not in known and any(upload.filename for upload in uploads_there)
    ]
    return Form(
        # With them, so that a picture under another name is not lost without a word.
        validated({**_texts(request.args), **dict.fromkeys(misnamed, "a file"), **_texts(texts)}),
        uploads,
        [text for name in ("url", "b64") for text in texts.getlist(name) if text],
        "image" in texts,
        misnamed,
    )


def _from_form(
    request: Request, body: bytes, settings: Settings
) -> tuple[PredictRequest, bytes | None]:
    form = read_form(request, body, settings)
    fields = form.fields
    count = len(form.images) + (len(form.named) or bool(fields.url or fields.b64))
    if count == 0 and form.has_text_image:
        raise Problem(
            "no-picture",
            "`image` has no file name, so it is not a file: send it as one (curl: -F image=@a.jpg)",
        )
    if count == 0 and form.misnamed:
        raise Problem(
            "no-picture",
            f"the form has a file in the field {cut(form.misnamed[0])!r}: call it `image` (curl: "
            "-F image=@a.jpg; repeat it for several pictures)",
        )
    if count != 1:
        raise Problem(
            "two-pictures" if count else "no-picture",
            f"send exactly one of `image` (a file), `url` and `b64`, not {count or 'none'}",
        )
    return fields, form.images[0] if form.images else named_image(fields, settings)


def _texts(fields: MultiDict[str, str]) -> dict[str, str]:
    """The first value of each field, but all of those that may be repeated."""
    # A form's part may have no name at all.
    texts = {name or "": text for name, text in fields.to_dict().items()}
    for name in REPEATABLE & texts.keys():
        texts[name] = ",".join(fields.getlist(name))
    return texts


def _content(upload: FileStorage) -> bytes | None:
    data: bytes = upload.stream.read()
    return data if data or upload.filename else None


def _in_memory(*_: object, **__: object) -> IO[bytes]:
    """Keep uploads in memory: their size is limited, and a full disk must not matter."""
    return io.BytesIO()


def named_image(fields: PredictRequest, settings: Settings) -> bytes | None:
    """Return the picture that a field contains, or None where it is elsewhere.

    Raises:
        Problem: there is none, or there are two.
        AgeGenderError: it is not valid base64, or too large.
    """
    if fields.url and fields.b64:
        raise Problem("two-pictures", "both `url` and `b64` are given: send exactly one of them")
    if fields.url:
        if not is_data_url(fields.url):
            return None
        return from_base64(fields.url, settings.max_picture_bytes)
    if fields.b64:
        return from_base64(fields.b64, settings.max_picture_bytes)
    raise Problem("no-picture", "there is no picture: send `url` or `b64`")


def validated_json(model: type[Model], body: bytes) -> Model:
    """Parse and validate a body.

    Raises:
        Problem: 400 or 422.
    """
    if not body.strip():
        raise Problem("no-picture", "the body is empty: send JSON with `url` or `b64`")
    if (hint := not_json.hint(body)) is not None:
        raise Problem("malformed-json", hint)
    if json_bounds.is_excessive(body):
        raise Problem(
            "malformed-json",
            f"the JSON has too many values: at most {json_bounds.MAX_MARKS:,} brackets, commas, "
            "colons and quotes are accepted",
        )
    try:
        return model.model_validate_json(body.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            reason = first["msg"].removeprefix("Invalid JSON: ")
            raise Problem("malformed-json", f"the body is not valid JSON: {reason}") from None
        raise _invalid(error) from None


def validated(fields: Mapping[str, Any]) -> PredictRequest:
    """Validate fields.

    Raises:
        Problem: 422.
    """
    try:
        # Browsers also send the fields of a form that were left empty.
        given = {name: value for name, value in fields.items() if value != ""}
        return PredictRequest.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Problem:
    errors = [
        FieldError(field=".".join(map(str, item["loc"])) or "body", message=item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    return Problem("invalid-field", detail, errors=errors)
