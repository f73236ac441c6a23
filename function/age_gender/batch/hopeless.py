"""Events that can never be handled: acknowledged, named in the log, and counted.

Any answer but 2xx would have them delivered again and again. The framework parses events before
our code sees them, so what it could fail at is refused before, or put right.
"""

import io
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import IO, Any

from age_gender.batch import responses
from age_gender.limits import json_bounds

MAX_EVENT_BYTES = 1 << 20
"""Cloud Storage's events have a few kilobytes, and at most 512 KiB go through Eventarc."""
_STEP_BYTES = 1 << 16

log = logging.getLogger(__name__)

_count = itertools.count(1)

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def acknowledge(reason: str, fields: dict[str, Any] | None = None) -> None:
    """Log an event that can never be handled, with the number of those so far."""
    more = {**(fields or {}), "hopeless": next(_count)}
    log.warning("can never be handled, acknowledged: %s", reason, extra={"fields": more})


def bounded(app: Wsgi) -> Wsgi:
    """Wrap the framework's application: hopeless bodies are acknowledged before it parses them."""

    def checked(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST":
            return app(environ, start_response)
        body = _read(environ["wsgi.input"], environ.get("CONTENT_LENGTH") or "")
        reason = _reason(body)
        if reason:
            acknowledge(reason)
            return responses.acknowledged(reason)(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        if "json" not in environ.get("CONTENT_TYPE", "").lower():
            # Every event is JSON, but the framework refuses a push whose type does not say so, and
            # what is refused comes again until it is a dead letter.
            environ["CONTENT_TYPE"] = "application/json"
        return app(environ, start_response)

    return checked


def _read(stream: IO[bytes], length: str) -> bytes:
    """Read a body up to a byte more than `MAX_EVENT_BYTES`; what follows is dropped."""
    body = io.BytesIO()
    left = int(length) if length.isdecimal() else None
    while left is None or left > 0:
        data = stream.read(_STEP_BYTES if left is None else min(left, _STEP_BYTES))
        if not data:
            break
        left = None if left is None else left - len(data)
        if body.tell() <= MAX_EVENT_BYTES:
            body.write(data)
    return body.getvalue()


def _reason(body: bytes) -> str | None:
    if len(body) > MAX_EVENT_BYTES:
        return f"the event has more than {MAX_EVENT_BYTES:,} bytes"
    if json_bounds.is_excessive(body) or json_bounds.is_too_deep(body):
        return "the event's JSON has too many values or is nested too deeply"
    return None
