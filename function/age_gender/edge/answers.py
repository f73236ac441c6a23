"""Successful answers to predictions: JSON, or the picture itself."""

import json
from collections.abc import Sequence
from typing import Any

import pybase64
from flask import Request, Response

from age_gender.edge.compression import compress
from age_gender.schema import response_body
from age_gender.vision.pipeline import Result

MAX_BYTES = 32 * 1024 * 1024
"""Largest answer that Cloud Run lets through."""
RESERVED_BYTES = 1024 * 1024
"""Of these, for headers and for what JSON says of 300 faces."""
JPEG = "image/jpeg"
MAX_HEADER_LENGTH = 1000


def asks_for_image(request: Request) -> bool:
    """Whether the client asks for the picture rather than for JSON."""
    return request.accept_mimetypes.best_match(["application/json", JPEG]) == JPEG


def max_image_bytes(*, as_image: bool) -> int:
    """Return how large a JPEG may be, so that the answer is not too large."""
    available = MAX_BYTES - RESERVED_BYTES
    return available if as_image else available // 4 * 3  # base64


def prediction(
    request: Request, result: Result, warnings: Sequence[str], *, as_image: bool
) -> Response:
    """Build the answer.

    Args:
        request: that is answered.
        result: of the pipeline; with ``as_image`` it has an image.
        warnings: about the request.
        as_image: whether the image itself is the answer.
    """
    if as_image:
        response = Response(result.jpeg, mimetype=JPEG)
        response.headers["X-Face-Count"] = str(len(result.faces))
        if said := [*warnings, *result.warnings]:
            response.headers["X-Warnings"] = _bounded_json(said)
    else:
        response = compress(json_response(prediction_body(result, warnings)), request)
    response.vary.add("Accept")
    return response


def prediction_body(result: Result, warnings: Sequence[str]) -> dict[str, Any]:
    """Return what JSON says of a prediction, with the picture if there is one."""
    answer = response_body(result, warnings)
    if result.jpeg is not None:
        answer["image"] = pybase64.b64encode_as_string(result.jpeg)
    return answer


def json_response(value: dict[str, Any]) -> Response:
    """Build a JSON response."""
    return Response(json.dumps(value, separators=(",", ":")), mimetype="application/json")


def _bounded_json(texts: Sequence[str]) -> str:
    """As many of the texts as fit into a header, as a JSON array in ASCII."""
    fitting: list[str] = []
    for text in texts:
        if len(json.dumps([*fitting, text])) > MAX_HEADER_LENGTH:
            break
        fitting.append(text)
    return json.dumps(fitting)
