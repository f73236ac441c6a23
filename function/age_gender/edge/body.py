"""Reads a request's body within limits of size, time and pace.

After the answer, the framework reads what is left of a body without any limit. So a request that is
answered before its body was read must go through `discard`.
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

CHUNK_BYTES = 1 << 16
GRACE_SECONDS = 5.0
"""Time before a client's pace counts."""
MIN_PACE = 16 * 1024
"""Bytes a second; slower than any connection worth sending a picture over."""


class _Reader:
    """Reads from the client, and stops when the client is too slow."""

    def __init__(self, request: Request, seconds: float):
        self._stream = request.stream
        self._connection = _connection(request)
        self._start = time.monotonic()
        self._seconds = seconds
        self._received = 0
        self.expired = False
        self.broken = False

    def chunks(self, max_bytes: int) -> Iterator[bytes]:
        """Yield the body in chunks, up to ``max_bytes`` bytes."""
        while self._received < max_bytes:
            try:
                chunk = self._stream.read(min(CHUNK_BYTES, max_bytes - self._received))
            # The client is gone, or sends a malformed chunked encoding.
            except (OSError, ClientDisconnected, ParseException):
                self.broken = True
                return
            if not chunk:
                return
            self._received += len(chunk)
            yield chunk

    @contextmanager
    def time_limit(self) -> Iterator[None]:
        """End the reading when time is up, by closing that half of the connection.

        A socket timeout would not do: it starts anew with every byte.
        """
        if self._connection is None:
            yield
            return
        with WATCHDOG.watch(self._enforce):
            yield

    def _enforce(self) -> bool:
        allowed = min(self._seconds, GRACE_SECONDS + self._received / MIN_PACE)
        if time.monotonic() - self._start < allowed:
            return False
        self.expired = True
        if self._connection is not None:
            _stop_reading(self._connection)
        return True


def read(
    request: Request,
    max_bytes: int,
    seconds: float,
    reserve: Callable[[int], None] = lambda _: None,
) -> bytes:
    """Read the whole body.

    Args:
        request: with its body unread.
        max_bytes: largest body accepted.
        seconds: time for the whole body. A client slower than `MIN_PACE` has less.
        reserve: called with the size of each chunk before the next is read; may raise to stop.

    Raises:
        Problem: 400, 408 or 413.
    """
    too_large = Problem(
        "body-too-large",
        f"the body is too large: at most {max_bytes:,} bytes are accepted",
    )
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise too_large
    reader = _Reader(request, seconds)
    chunks = []
    with reader.time_limit():
        for chunk in reader.chunks(max_bytes + 1):
            reserve(len(chunk))
            chunks.append(chunk)
    data = b"".join(chunks)
    if reader.expired:
        raise Problem(
            "body-timeout",
            f"the body arrived too slowly: send at least {MIN_PACE:,} bytes a second, "
            f"and all of it within {seconds:g} s",
        )
    if reader.broken or (announced is not None and len(data) < announced):
        raise Problem("incomplete-body", "the body is incomplete: send it again")
    if len(data) > max_bytes:
        raise too_large
    _mark_read(request)
    return data


def discard(request: Request, max_bytes: int, seconds: float) -> None:
    """Discard what is left of the body, so that a client that is still sending gets its answer.

    Args:
        request: answered already.
        max_bytes: a client that sends more is cut off.
        seconds: time for it.
    """
    was_read = isinstance(request.stream, io.BytesIO)
    if was_read or not (request.content_length or "Transfer-Encoding" in request.headers):
        return
    reader = _Reader(request, seconds)
    with reader.time_limit():
        discarded = sum(map(len, reader.chunks(max_bytes + 1)))
    if discarded > max_bytes and (connection := _connection(request)) is not None:
        _stop_reading(connection)
    _mark_read(request)


def is_connected(request: Request) -> bool:
    """Whether the client is still there, as far as the server can see.

    A client that has closed its half of the connection counts as gone. Every client that gives up
    does so, and hardly any that still wants the answer.
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
    with suppress(OSError):  # closed by the client already
        connection.shutdown(socket.SHUT_RD)


def _mark_read(request: Request) -> None:
    request.stream = io.BytesIO()
