"""Failures as ``application/problem+json`` (RFC 9457): one table from codes to statuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response

from age_gender.errors import AgeGenderError

STATUSES = {
    "malformed-json": (400, "Malformed JSON"),
    "no-picture": (400, "No picture"),
    "two-pictures": (400, "More than one picture"),
    "malformed-form": (400, "Malformed form"),
    "bad-base64": (400, "Not base64"),
    "url-not-allowed": (400, "Address not allowed"),
    "incomplete-body": (400, "Incomplete body"),
    "unauthorized": (401, "Unauthorized"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "body-timeout": (408, "Request too slow"),
    "body-too-large": (413, "Body too large"),
    "picture-too-large": (413, "Picture too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "unsupported-picture": (415, "Unsupported picture"),
    "invalid-field": (422, "Invalid field"),
    "fetch-failed": (424, "The picture could not be fetched"),
    "busy": (429, "Busy"),
    "client-gone": (499, "Client closed request"),
    "internal": (500, "Internal error"),
    "model-unavailable": (503, "Model unavailable"),
    "fetch-timeout": (504, "The picture's server is too slow"),
}


@dataclass(eq=False)
class Problem(Exception):
    """An answer that is a failure.

    Attributes:
        code: a key of `STATUSES`.
        detail: what is wrong and what to change, safe to show.
        errors: for ``invalid-field``, one ``{"field": …, "message": …}`` each.
        headers: extra response headers.
    """

    code: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: AgeGenderError) -> "Problem":
        """The problem that an expected failure becomes."""
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return cls(error.code, error.message, headers=headers)

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.code][0]

    def response(self, request_id: str) -> Response:
        """The problem as an HTTP response."""
        status, title = STATUSES[self.code]
        body: dict[str, Any] = {
            "type": f"urn:age-gender:problem:{self.code}",
            "title": title,
            "status": status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        response = Response(json.dumps(body), status, mimetype="application/problem+json")
        response.headers.extend(self.headers)
        return response
