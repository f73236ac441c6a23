"""The pages and what they load: the files of `web`."""

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path

from flask import Request, Response

from age_gender.edge.compression import compress

MIME_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
COMPRESSED_ALREADY = frozenset({".jpg"})

WEB = Path(__file__).parent / "web"
STATIC = {path.name: path for path in WEB.iterdir() if path.suffix in MIME_TYPES}
"""Listed once at start, so that no name in a request ever becomes a path."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; media-src 'self' blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""``no-cache``: a browser asks each time whether its copy is still the same."""


def response(name: str, request: Request) -> Response:
    """Answer with a file; with 304 and nothing if the client has it already.

    Args:
        name: one of `STATIC`.
        request: that is answered.
    """
    path = STATIC[name]
    made = Response(_content(path), mimetype=MIME_TYPES[path.suffix])
    made.headers.update(HEADERS)
    digest = _digest(path)
    made.set_etag(digest, weak=True)  # the same for the file as it is and compressed
    if path.suffix not in COMPRESSED_ALREADY:
        compress(made, request, shared=True)
    if request.if_none_match.contains_weak(digest):
        made.status_code = HTTPStatus.NOT_MODIFIED
        made.set_data(b"")
        for header in ("Content-Length", "Content-Type", "Content-Encoding"):
            made.headers.pop(header, None)
    return made


@cache
def _content(path: Path) -> bytes:
    """Read a file once: all responses share its bytes, however many are being sent."""
    return path.read_bytes()


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()[:16]
