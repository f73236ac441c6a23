"""Reads a request's body within limits.

The server has received it completely, at the client's pace, and has reserved its bytes (`front`).
With another server, such as the one of a test, this is where the limits hold.
"""

import io
from collections.abc import Callable

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from age_gender.edge.front.incoming import too_large
from age_gender.edge.front.policy import RESERVATION
from age_gender.edge.problems import Problem

CHUNK_BYTES = 1 << 16


def read(
    request: Request, max_bytes: int, reserve: Callable[[int], None] = lambda _: None
) -> bytes:
    """Read the whole body.

    Args:
        request: with its body unread.
        max_bytes: largest body accepted.
        reserve: called with the size of each chunk before the next is read, unless the server has
            reserved the body; may raise to stop.

    Raises:
        Problem: 400 or 413.
    """
    try:
        if RESERVATION in request.environ:
            received: io.BytesIO = request.environ["wsgi.input"]
            request.environ["wsgi.input"] = io.BytesIO()  # so that nothing else keeps its bytes
            return received.getvalue()
        return _read(request, max_bytes, reserve)
    finally:
        request.stream = io.BytesIO()  # after the answer, the framework reads what is left


def _read(request: Request, max_bytes: int, reserve: Callable[[int], None]) -> bytes:
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    broken = False
    try:
        while size <= max_bytes and (
            chunk := request.stream.read(min(CHUNK_BYTES, max_bytes + 1 - size))
        ):
            reserve(len(chunk))
            chunks.append(chunk)
            size += len(chunk)
    except (OSError, ClientDisconnected):
        broken = True
    if size > max_bytes:
        raise too_large(max_bytes)
    if broken or (announced is not None and size < announced):
        raise Problem("incomplete-body", "the body is incomplete: send it again")
    return b"".join(chunks)
