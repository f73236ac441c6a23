"""Reads a request's body within limits of size and time, whatever the client does.

The framework reads what is left of a body after the answer, without limit; so whoever answers
without having read everything has to call `abandon`.
"""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from age_gender.problems import Problem

CHUNK = 1 << 16


def read(request: Request, limit: int, seconds: float) -> bytes:
    """Read the whole body.

    Args:
        request: nothing of its body may have been read yet.
        limit: most bytes.
        seconds: most time for all of it.

    Raises:
        Problem: 413 or 408.
    """
    too_large = Problem(
        "body-too-large", f"the body is larger than the {limit:,} bytes that are accepted"
    )
    announced = request.content_length
    if announced is not None and announced > limit:
        raise too_large
    with _deadline(request, seconds) as expired:
        data = b"".join(_chunks(request, limit + 1))
    if expired.is_set() or (announced is not None and len(data) < announced):
        raise Problem("body-timeout", f"the body did not arrive whole within {seconds:g} s")
    if len(data) > limit:
        raise too_large
    _forget(request)
    return data


def abandon(request: Request, limit: int, seconds: float) -> None:
    """Drop what is left of the body, so that the client can read the answer while it still sends.

    Args:
        request: answered already.
        limit: bytes to drop at most; a client that sends more is cut off.
        seconds: most time for it.
    """
    read_already = isinstance(request.stream, io.BytesIO)
    if read_already or not (request.content_length or "Transfer-Encoding" in request.headers):
        return
    with _deadline(request, seconds):
        dropped = sum(map(len, _chunks(request, limit + 1)))
    if dropped > limit and (connection := _connection(request)) is not None:
        _stop_reading(connection)
    _forget(request)


def _chunks(request: Request, most: int) -> Iterator[bytes]:
    """Yield what is left of the body, ``most`` bytes at most."""
    left = most
    while left > 0:
        try:
            chunk = request.stream.read(min(CHUNK, left))
        # The client is gone, or what it sends is no chunked encoding.
        except (OSError, ClientDisconnected, ParseException):
            return
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


@contextmanager
def _deadline(request: Request, seconds: float) -> Iterator[threading.Event]:
    """End reading from the client after ``seconds``, by closing that half of the connection.

    A time-out on the socket would not do: a client that sends a byte now and then never meets it.
    """
    expired = threading.Event()
    connection = _connection(request)
    if connection is None:
        yield expired
        return

    def expire() -> None:
        expired.set()
        _stop_reading(connection)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _connection(request: Request) -> socket.socket | None:
    connection = request.environ.get("gunicorn.socket")
    return connection if isinstance(connection, socket.socket) else None


def _stop_reading(connection: socket.socket) -> None:
    with suppress(OSError):  # closed by the client meanwhile
        connection.shutdown(socket.SHUT_RD)


def _forget(request: Request) -> None:
    request.stream = io.BytesIO()
