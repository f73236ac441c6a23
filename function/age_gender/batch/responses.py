"""What the trigger answers where it does not say OK: for people who look at a delivery."""

import json

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response


def acknowledged(reason: str) -> Response:
    """Build the answer to an event that is not to be delivered again."""
    return Response(reason, mimetype="text/plain")


def refused(error: HTTPException) -> Response:
    """Build the answer with an error's status, as ``application/problem+json`` (RFC 9457).

    The framework's own would be a page for browsers.
    """
    # Of the error's own headers, those that describe its page are replaced.
    headers = [pair for pair in error.get_headers() if pair[0].lower() != "content-type"]
    body = {"title": error.name, "status": error.code, "detail": error.description}
    return Response(json.dumps(body), error.code, headers, mimetype="application/problem+json")
