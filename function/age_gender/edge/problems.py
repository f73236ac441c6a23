"""Errors as ``application/problem+json`` (RFC 9457), and the table from codes to statuses."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from age_gender.errors import AgeGenderError

STATUSES = {
    "malformed-json": (400, "Malformed JSON"),
    "no-picture": (400, "No picture"),
    "two-pictures": (400, "More than one picture"),
    "malformed-form": (400, "Malformed form"),
    "bad-base64": (400, "Not base64"),
    "malformed-request": (400, "Malformed request"),
    "url-not-allowed": (400, "Address not allowed"),
    "incomplete-body": (400, "Incomplete body"),
    "unauthorized": (401, "Unauthorized"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "body-timeout": (408, "Request too slow"),
    "headers-timeout": (408, "Request too slow"),
    "body-too-large": (413, "Body too large"),
    "picture-too-large": (413, "Picture too large"),
    "uri-too-long": (414, "Address too long"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "unsupported-picture": (415, "Unsupported picture"),
    "invalid-field": (422, "Invalid field"),
    "fetch-failed": (424, "The picture could not be fetched"),
    "busy": (429, "Busy"),
    "headers-too-large": (431, "Headers too large"),
    "client-gone": (499, "Client closed request"),
    "internal": (500, "Internal error"),
    "model-unavailable": (503, "Model unavailable"),
    "fetch-timeout": (504, "The picture's server is too slow"),
}


class FieldError(BaseModel):
    """A field that is wrong."""

    field: str = Field(description="Name of the field.", examples=["confidence"])
    message: str = Field(
        description="What it may be.", examples=["Input should be less than or equal to 1"]
    )


class ProblemBody(BaseModel):
    """RFC 9457; `code` is stable, `detail` says what to change."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="The code as a URN.", examples=["urn:age-gender:problem:invalid-field"]
    )
    title: str = Field(description="The code in words.", examples=["Invalid field"])
    status: int = Field(description="The HTTP status.", examples=[422])
    code: str = Field(
        description="Stable, for programs.", json_schema_extra={"enum": [*sorted(STATUSES)]}
    )
    detail: str = Field(
        description="For people: what is wrong and what to change.",
        examples=["confidence: Input should be less than or equal to 1"],
    )
    request_id: str = Field(
        description="As in `X-Request-Id`; the log has it.", examples=["8cda24c48c03c957"]
    )
    errors: list[FieldError] = Field(
        default_factory=list, description="With `invalid-field`: each field that is wrong."
    )


@dataclass(eq=False)
class Problem(Exception):
    """An error as the client gets it.

    Attributes:
        code: a key of `STATUSES`.
        detail: what is wrong and what to change, safe to show.
        errors: with ``invalid-field``, each field that is wrong.
        headers: extra response headers.
        delay: seconds until the client should get it.
        counted: whether the log counts it together with others, instead of in a line of its own.
    """

    code: str
    detail: str
    errors: list[FieldError] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    counted: bool = False

    @classmethod
    def of(cls, error: AgeGenderError) -> Self:
        """Convert an expected error."""
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return cls(error.code, error.message, headers=headers)

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.code][0]

    def body(self, request_id: str) -> dict[str, Any]:
        """Build the JSON object."""
        status, title = STATUSES[self.code]
        body = ProblemBody(
            type=f"urn:age-gender:problem:{self.code}",
            title=title,
            status=status,
            code=self.code,
            detail=self.detail,
            request_id=request_id,
            errors=self.errors,
        )
        return body.model_dump(exclude=None if self.errors else {"errors"})

    def response(self, request_id: str) -> Response:
        """Build the HTTP response."""
        text = json.dumps(self.body(request_id))
        response = Response(text, self.status, mimetype="application/problem+json")
        response.headers.extend(self.headers)
        return response


def harmless_id(given: str) -> str:
    """Return the id that a client gave its request if it is harmless, else a new one."""
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else secrets.token_hex(8)
