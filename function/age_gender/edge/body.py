"""Reads a request's body within limits of size, time and pace, whatever the client does.

The framework reads what is left of a body after the answer, without limit; so whoever answers
without having read everything has to call `abandon`.
"""

import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from age_gender.edge.problems import Problem
from age_gender.edge.watchdog import WATCHDOG

CHUNK = 1 << 16
GRACE_SECONDS = 5.0
"""Time that a client has before its pace counts."""
MIN_PACE = 16 * 1024
"""Bytes a second; slower than any connection on which sending a picture makes sense."""


class _Intake:
    """Takes bytes from the client, and ends it when the client is too slow."""

    def __init__(self, request: Request, seconds: float):
        self._stream = request.stream
        self._connection = _connection(request)
        self._start = time.monotonic()
        self._seconds = seconds
        self._received = 0
        self.expired = False
        self.broken = False

    def chunks(self, most: int) -> Iterator[bytes]:
        """Yield what comes, ``most`` bytes at most."""
        while self._received < most:
            try:
                chunk = self._stream.read(min(CHUNK, most - self._received))
            # The client is gone, or what it sends is no chunked encoding.
            except (OSError, ClientDisconnected, ParseException):
                self.broken = True
                return
            if not chunk:
                return
            self._received += len(chunk)
            yield chunk

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """End reading when time is up, by closing that half of the connection.

        A time-out on the socket would not do: a client that sends a byte now and then never
        meets it.
        """
        if self._connection is None:
            yield
            return
        with WATCHDOG.watch(self._is_over):
            yield

    def _is_over(self) -> bool:
        allowed = min(self._seconds, GRACE_SECONDS + self._received / MIN_PACE)
        if time.monotonic() - self._start < allowed:
            return False
        self.expired = True
        if self._connection is not None:
            _stop_reading(self._connection)
        return True


def read(
    request: Request, limit: int, seconds: float, hold: Callable[[int], None] = lambda _: None
) -> bytes:
    """Read the whole body.

    Args:
        request: nothing of its body may have been read yet.
        limit: most bytes.
        seconds: most time for all of it.
        hold: told the size of each piece before the next one is read; what it raises ends it.

    Raises:
        Problem: 400, 408 or 413.
    """
    too_large = Problem(
        "body-too-large", f"the body is larger than the {limit:,} bytes that are accepted"
    )
    announced = request.content_length
    if announced is not None and announced > limit:
        raise too_large
    intake = _Intake(request, seconds)
    pieces = []
    with intake.hurried():
        for piece in intake.chunks(limit + 1):
            hold(len(piece))
            pieces.append(piece)
    data = b"".join(pieces)
    if intake.expired:
        raise Problem(
            "body-timeout",
            f"the body came too slowly: send at least {MIN_PACE:,} bytes a second, "
            f"and all of it within {seconds:g} s",
        )
    if intake.broken or (announced is not None and len(data) < announced):
        raise Problem("incomplete-body", "the body broke off before its end: send it again")
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
    intake = _Intake(request, seconds)
    with intake.hurried():
        dropped = sum(map(len, intake.chunks(limit + 1)))
    if dropped > limit and (connection := _connection(request)) is not None:
        _stop_reading(connection)
    _forget(request)


def is_awaited(request: Request) -> bool:
    """Whether the client is still there, as far as its connection tells.

    A client that has closed its half of the connection counts as gone: it is what all do that
    give up, and hardly any that still read.
    """
    connection = _connection(request)
    if connection is None:
        return True
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _connection(request: Request) -> socket.socket | None:
    connection = request.environ.get("gunicorn.socket")
    return connection if isinstance(connection, socket.socket) else None


def _stop_reading(connection: socket.socket) -> None:
    with suppress(OSError):  # closed by the client meanwhile
        connection.shutdown(socket.SHUT_RD)


def _forget(request: Request) -> None:
    request.stream = io.BytesIO()
