"""What every answer gets, whatever makes it: common headers, and one line in the log."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from flask import Response

from age_gender import logs
from age_gender.edge.cors import CrossOrigin
from age_gender.edge.problems import Problem, harmless_id

log = logging.getLogger(__name__)

QUIET_ROUTES = frozenset({"/", "/health", "/healthz"})
"""Asked all the time by those who watch the service; logged for debugging only."""
MAX_ROUTE_LENGTH = 100
SERVER_LACKS = frozenset({429, 499, 503})
"""Statuses of valid requests that the service could not answer."""

_ID = "age_gender.request_id"
_STARTED = "age_gender.started"
_FIELDS = "age_gender.log_fields"

Environ = dict[str, Any]
"""A request's WSGI environment."""


def begin(environ: Environ, started: float | None = None) -> None:
    """Note when a request began, and its id; the first call for a request counts.

    Args:
        environ: the request's.
        started: when its first byte arrived, of the monotonic clock; now by default.
    """
    environ.setdefault(_STARTED, time.monotonic() if started is None else started)
    environ.setdefault(_ID, harmless_id(environ.get("HTTP_X_REQUEST_ID", "")))


def request_id(environ: Mapping[str, Any]) -> str:
    """Return the id of a request that has begun."""
    return str(environ[_ID])


def note(environ: Environ, **fields: Any) -> None:
    """Add fields to the line that the request will have in the log."""
    environ.setdefault(_FIELDS, {}).update(fields)


class Completion:
    """Completes answers, and logs each request in one line."""

    def __init__(self, cross_origin: CrossOrigin | None = None):
        """Store for which pages of other origins answers are readable; for none by default."""
        self._cross_origin = cross_origin or CrossOrigin()

    def complete(self, environ: Environ, response: Response) -> Response:
        """Complete a success."""
        message = "predicted" if "faces" in environ.get(_FIELDS, {}) else "answered"
        quiet = environ.get("PATH_INFO") in QUIET_ROUTES
        self._finish(environ, response, logging.DEBUG if quiet else logging.INFO, message)
        return response

    def refuse(self, environ: Environ, problem: Problem) -> Response:
        """Build the whole answer to a request that fails."""
        begin(environ)
        level = logging.WARNING if problem.status in SERVER_LACKS else logging.INFO
        if not problem.counted:
            note(environ, code=problem.code, detail=problem.detail)
        response = problem.response(request_id(environ))
        self._finish(environ, response, None if problem.counted else level, "refused")
        return response

    def fail(self, environ: Environ, error: Exception) -> Response:
        """Build the whole answer to a request that failed unexpectedly; the log has the reason."""
        begin(environ)
        found = request_id(environ)
        detail = f"an unexpected error occurred; it is logged with request id {found}"
        problem = Problem("internal", detail)
        note(environ, code=problem.code)
        response = problem.response(found)
        self._finish(environ, response, logging.ERROR, "unexpected error", error)
        return response

    def _finish(
        self,
        environ: Environ,
        response: Response,
        level: int | None,
        message: str,
        error: Exception | None = None,
    ) -> None:
        response.headers["X-Request-Id"] = request_id(environ)
        response.headers["X-Content-Type-Options"] = "nosniff"
        self._cross_origin.add_headers(environ, response)
        if level is not None and log.isEnabledFor(level):
            fields = _fields(environ, response.status_code)
            log.log(level, message, extra={"fields": fields}, exc_info=error)


def _fields(environ: Environ, status: int) -> dict[str, Any]:
    """Name what happened, without what could be secret, such as a query."""
    return {
        "request_id": request_id(environ),
        **logs.trace_fields(
            environ.get("HTTP_TRACEPARENT", ""), environ.get("HTTP_X_CLOUD_TRACE_CONTEXT", "")
        ),
        "method": environ.get("REQUEST_METHOD", ""),
        "route": environ.get("PATH_INFO", "")[:MAX_ROUTE_LENGTH],
        "status": status,
        "ms": round((time.monotonic() - environ[_STARTED]) * 1000, 1),
        **environ.pop(_FIELDS, {}),
    }
