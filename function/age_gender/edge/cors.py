"""Cross-origin requests (the Fetch standard): which pages of other origins may call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response

EXPOSED = ("X-Request-Id", "Retry-After", "Server-Timing", "X-Face-Count", "X-Warnings")
"""Response headers that a page may read, beyond those that any may."""
ACCEPTED = ("Authorization", "Content-Type", "X-Request-Id")
"""Request headers that a page may set; ``*`` would not cover `Authorization`."""
PREFLIGHT_SECONDS = 7200
"""How long a browser may remember a preflight; Chromium keeps none for longer."""


class CrossOrigin:
    """Adds the headers by which browsers let pages of some origins read our answers.

    Credentials that browsers send on their own, such as cookies, are never allowed: a page has to
    set `Authorization` itself.
    """

    def __init__(self, origins: Iterable[str] = ()):
        """Allow some origins, ``*`` for all; none by default, which adds no header."""
        self._origins = frozenset(origins)

    def add_headers(self, environ: Mapping[str, Any], response: Response) -> None:
        """Add what belongs on every answer, errors included."""
        if not self._origins:
            return
        response.vary.add("Origin")  # so that no cache gives one origin the answer of another
        if allowed := self._allowed(environ):
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)

    def add_preflight(
        self, environ: Mapping[str, Any], response: Response, methods: Sequence[str]
    ) -> None:
        """Add what a browser asks for before it sends the request itself.

        Args:
            environ: of the ``OPTIONS`` request.
            response: its answer.
            methods: of the route.
        """
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ and self._allowed(environ):
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = ", ".join(ACCEPTED)
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)

    def _allowed(self, environ: Mapping[str, Any]) -> str:
        """Return the allowed origin of a request, ``*`` if all are, or an empty text."""
        origin: str = environ.get("HTTP_ORIGIN", "")
        if not origin:
            return ""
        if "*" in self._origins:
            return "*"
        return origin if origin.lower() in self._origins else ""
