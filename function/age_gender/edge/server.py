"""gunicorn as the service needs it: with limits on what one connection may take.

functions-framework starts gunicorn without a limit on the first line of a request, or on the time
a client takes for its headers or for reading the answer. A few dozen idle connections would occupy
all threads. The framework has no option for this and reads no configuration file, so `install` puts
a subclass of its server in the place of it (docs/adr/0006).
"""

import errno
import logging
import os
import resource
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any

from functions_framework._http import gunicorn as framework
from gunicorn.workers.gthread import TConn, ThreadWorker

from age_gender import logs
from age_gender.edge.watchdog import WATCHDOG
from age_gender.limits.admission import Shutdown

THREADS = 96
"""Unless the environment says otherwise. Waiting is cheap and the queues are bounded, so many
threads keep the health check answering while predictions wait; the framework has four a CPU."""
HEADER_SECONDS = 10.0
"""Time for a request's first line and headers."""
STALL_SECONDS = 10
"""Time after which a client that takes nothing of its answer is cut off."""
WORK_SECONDS = 26.0
"""Time for the work itself and for delivering the answer."""
DRAIN_SECONDS = 9
"""Time after SIGTERM for requests that were accepted; Google kills after ten."""
MAX_FIRST_LINE_BYTES = 8190

OPEN_FILES = 4096
"""Enough for gunicorn's connections and what their requests open."""
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE = 0.1

log = logging.getLogger(__name__)


class Application(framework.GunicornApplication):
    """The framework's gunicorn, with our configuration.

    Attributes:
        request_seconds: time for one request after its headers.
        shutdown: begun when a worker gets SIGTERM.
    """

    def __init__(self, *args: Any, request_seconds: float, shutdown: Shutdown, **options: Any):
        """Take the framework's arguments and the two attributes."""
        self.request_seconds = request_seconds
        self.shutdown = shutdown
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Configure gunicorn."""
        super().load_config()  # type: ignore[no-untyped-call]
        for name, value in {
            "threads": int(os.environ.get("THREADS", THREADS)),
            "worker_class": Worker,
            "graceful_timeout": DRAIN_SECONDS,
            "limit_request_line": MAX_FIRST_LINE_BYTES,
            "on_starting": lambda _: logs.wrap_native_lines(),
        }.items():
            self.cfg.set(name, value)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with a time limit on every connection it works on."""

    def accept(self, listener: Any) -> None:
        """Accept a connection; if no resources are left, leave it in the backlog for a while."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            log.warning("cannot accept connections at the moment: %s", error.strerror)
            time.sleep(_ACCEPT_PAUSE)

    def handle(self, conn: TConn) -> Any:
        """Read a request from a connection and answer it."""
        conn.time_limit = _TimeLimit(conn.sock)
        with suppress(OSError):  # closed by the client already; gunicorn will notice
            stall = struct.pack("ll", STALL_SECONDS, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)
        with WATCHDOG.watch(conn.time_limit.enforce):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request whose headers have been read."""
        conn.time_limit.seconds = HEADER_SECONDS + self.app.request_seconds
        return super().handle_request(req, conn)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Start to shut down, on SIGTERM."""
        self.app.shutdown.begin()
        super().handle_exit(sig, frame)


class _TimeLimit:
    """How long a connection may occupy a thread."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._start = time.monotonic()
        self.seconds = HEADER_SECONDS

    def enforce(self) -> bool:
        """Close the connection if its time is up, which wakes its thread; return whether it was."""
        if time.monotonic() - self._start < self.seconds:
            return False
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        return True


def install(max_wait: float, shutdown: Shutdown) -> None:
    """Have the framework start `Application`, and raise this process's limit of open files.

    Args:
        max_wait: seconds that a request may spend waiting; infinity for no limit.
        shutdown: begun when the worker gets SIGTERM.
    """
    framework.GunicornApplication = partial(  # type: ignore[assignment,misc]
        Application, request_seconds=max_wait + WORK_SECONDS, shutdown=shutdown
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
