"""What functions-framework leaves open about gunicorn, closed: limits for clients that cost.

The framework starts gunicorn with no limit on a request's first line and none on the time that a
client takes for its headers or for reading the answer, so that a few dozen connections that do
nothing would occupy all threads. It offers no way to say otherwise, but gunicorn's defaults
apply where it says nothing, and those can be set.
"""

import errno
import logging
import math
import resource
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from gunicorn import config
from gunicorn.workers.gthread import TConn, ThreadWorker

from age_gender import logs
from age_gender.edge.watchdog import WATCHDOG
from age_gender.limits.admission import Shutdown

HEADER_SECONDS = 10.0
"""Time that a client has for the first line and the headers."""
STALL_SECONDS = 10
"""Time after which a client is given up that takes nothing of its answer."""
WORK_SECONDS = 26.0
"""Time for the work itself, and for the client to take the answer."""
DRAIN_SECONDS = 9
"""Time after the signal to end for what was accepted; Google kills after ten."""
FIRST_LINE_BYTES = 8190
"""More than any address that is used here has."""

OPEN_FILES = 4096
"""Enough for all connections that gunicorn keeps, and what their requests open."""
_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.1

log = logging.getLogger(__name__)

SHUTDOWN = Shutdown()
"""Of this process."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which a connection can hold for a limited time only.

    Attributes:
        request_seconds: time for one request whose headers have been read.
    """

    request_seconds = math.inf

    def accept(self, listener: Any) -> None:
        """Take a connection; without room for another one, leave it where it is for a while."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _NO_MORE:
                raise
            log.warning("no connection can be taken at the moment: %s", error.strerror)
            time.sleep(_PAUSE)

    def handle(self, conn: TConn) -> Any:
        """Read a request from a connection, and answer it."""
        limit = _Limit(conn.sock)
        conn.limit = limit
        with suppress(OSError):  # closed by the client meanwhile; gunicorn will notice
            stall = struct.pack("ll", STALL_SECONDS, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)
        with WATCHDOG.watch(limit.is_over):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request whose headers have been read."""
        conn.limit.seconds = HEADER_SECONDS + self.request_seconds
        return super().handle_request(req, conn)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to end, on SIGTERM."""
        SHUTDOWN.begin()
        super().handle_exit(sig, frame)


class _Limit:
    """How long a connection may take, from when a thread began with it."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._start = time.monotonic()
        self.seconds = HEADER_SECONDS

    def is_over(self) -> bool:
        """Cut the connection off if its time is up, which wakes the thread that waits for it."""
        if time.monotonic() - self._start < self.seconds:
            return False
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        return True


def configure(waiting: float) -> None:
    """Set the defaults of the server that the framework is about to start.

    Args:
        waiting: seconds that a request may spend waiting for anything; infinity for no limit.
    """
    Worker.request_seconds = waiting + WORK_SECONDS
    config.WorkerClass.default = f"{__name__}.Worker"
    config.GracefulTimeout.default = DRAIN_SECONDS
    config.OnStarting.default = staticmethod(lambda _: logs.wrap_native_lines())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    # The framework asks for 0, which means no limit.
    config.LimitRequestLine.validator = staticmethod(lambda _: FIRST_LINE_BYTES)
