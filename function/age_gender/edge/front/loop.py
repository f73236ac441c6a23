"""The loop: one thread that waits for all connections, and the threads that call the application.

Nothing here blocks, except waiting for events. So no client can keep another from being heard.
"""

import errno
import logging
import os
import queue
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from age_gender.edge.completion import Environ
from age_gender.edge.front import messages
from age_gender.edge.front.connection import Connection, Phase
from age_gender.edge.front.messages import Answer, WsgiApplication
from age_gender.edge.front.policy import Policy
from age_gender.edge.problems import Problem
from age_gender.edge.tally import Tally

MAX_CONNECTIONS = 1000
MAX_DELAYED = 100
"""Refusals that wait to be sent."""
LIGHT_THREADS = 4
"""For requests that do not wait: health, pages, errors."""
TICK_SECONDS = 0.1
"""How often limits are enforced."""
WAIT_SECONDS = 1.0
"""Time that a body waits for bytes before the largest is dropped."""
ACCEPT_PAUSE_SECONDS = 0.1
MAX_ACCEPTED = 16
"""Connections accepted before others have their turn."""
LAST_REQUEST_SECONDS = 1.0
"""Time for an idle client to send a request when the server is stopping."""

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_DROPPED_FIRST = (Phase.LINGERING, Phase.IDLE, Phase.HEAD, Phase.DELAYED)
"""Connections without a request that was accepted, in the order in which they are dropped."""

log = logging.getLogger(__name__)


class Loop:
    """Serves the connections of some listening sockets.

    Attributes:
        policy: see `Policy`.
        now: the monotonic clock when the present events arrived.
        draining: whether it is stopping.
    """

    def __init__(
        self,
        application: WsgiApplication,
        policy: Policy,
        listeners: Iterable[socket.socket],
        *,
        threads: int,
        alive: Callable[[], bool],
    ):
        """Accept nothing yet.

        Args:
            application: WSGI; called by several threads.
            policy: see `Policy`.
            listeners: bound and listening.
            threads: for requests that may wait; further ones are refused.
            alive: called at least once a second; False stops the loop gracefully.
        """
        self.policy = policy
        self.now = time.monotonic()
        self.draining = False
        self._application = application
        self._alive = alive
        self._listeners = list(listeners)
        self._threads = threads
        self._heavy = ThreadPoolExecutor(threads, "heavy")
        self._in_heavy: set[Connection] = set()
        self._light = ThreadPoolExecutor(LIGHT_THREADS, "light")
        self._selector = selectors.DefaultSelector()
        self._phases: dict[Phase, dict[Connection, None]] = {phase: {} for phase in Phase}
        self._events: dict[Connection, int] = {}
        self._changed: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        self._soon: deque[tuple[Connection, Callable[[], None]]] = deque()
        self._answers: queue.SimpleQueue[tuple[Connection, Answer]] = queue.SimpleQueue()
        self._accepting = False
        self._accept_after = 0.0
        self._drain_start = 0.0
        self._next_tick = 0.0
        self._tally = Tally("connections ended")
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._on_wake)

    # ---- running

    def run(self, drain_seconds: float) -> None:
        """Serve until not alive any more, and then answer what was accepted.

        Args:
            drain_seconds: time for that.
        """
        for listener in self._listeners:
            listener.setblocking(False)
        while self._alive():
            self._accept_if(self._may_accept())
            self._turn()
        for listener in self._listeners:
            self._accept(listener)  # what the kernel has accepted already
        self._accept_if(False)
        self.draining = True
        self._drain_start = time.monotonic()
        while self._alive_connections() and self.now - self._drain_start < drain_seconds:
            self._turn()
        for connection in [c for group in self._phases.values() for c in group]:
            connection.close()
        self._tally.flush()

    def wake(self) -> None:
        """End the wait for events; for any thread and signal handlers."""
        with suppress(BlockingIOError):  # it is awake already
            os.write(self._wake_writer, b"\0")

    def _turn(self) -> None:
        busy = self._alive_connections() > 0 or self._accept_after > self.now
        timeout = 0.0 if self._soon else TICK_SECONDS if busy else 1.0
        self._apply_changes()
        events = self._selector.select(timeout)
        self.now = time.monotonic()
        for _ in range(len(self._soon)):
            connection, callback = self._soon.popleft()
            self._guarded(connection, callback)
        others = []
        for key, mask in events:
            if not isinstance(key.data, Connection):
                others.append(key.data)
            elif mask & selectors.EVENT_WRITE:
                self._guarded(key.data, key.data.on_writable)
            else:
                self._guarded(key.data, key.data.on_readable)
        for callback in others:  # last: new connections may have old ones dropped
            callback()
        if self.now >= self._next_tick:
            self._next_tick = self.now + TICK_SECONDS
            self._enforce_limits()

    def _guarded(self, connection: Connection, callback: Callable[[], None]) -> None:
        """Call back; an error of ours with one connection must not end the others."""
        try:
            callback()
        except Exception:
            log.exception("unexpected error with a connection")
            connection.close()

    def _enforce_limits(self) -> None:
        for phase in (*_DROPPED_FIRST, Phase.BODY, Phase.SENDING):
            for connection in [*self._phases[phase]]:
                self._guarded(connection, connection.enforce_limits)
        if self.draining and self.now - self._drain_start > LAST_REQUEST_SECONDS:
            for connection in [*self._phases[Phase.IDLE]]:
                connection.close()
        self._relieve()
        self._tally.flush()
        self.policy.tick()

    def _alive_connections(self) -> int:
        return sum(map(len, self._phases.values()))

    # ---- accepting

    def _may_accept(self) -> bool:
        return self.now >= self._accept_after and (
            self._alive_connections() < MAX_CONNECTIONS or self._droppable() is not None
        )

    def _accept_if(self, wanted: bool) -> None:
        if wanted != self._accepting:
            self._accepting = wanted
            for listener in self._listeners:
                if wanted:
                    self._selector.register(
                        listener, selectors.EVENT_READ, lambda it=listener: self._accept(it)
                    )
                else:
                    self._selector.unregister(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(MAX_ACCEPTED):
            if self._alive_connections() >= MAX_CONNECTIONS and not self._drop_one():
                return
            try:
                accepted, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._tally.add(f"cannot accept: {error.strerror}")
                if error.errno in _OUT_OF_RESOURCES:
                    self._drop_one()
                self._accept_after = self.now + ACCEPT_PAUSE_SECONDS
                return
            connection = Connection(accepted, client[:2], listener.getsockname()[:2], self)
            self.update(connection, Phase.IDLE)
            self._guarded(connection, connection.on_readable)  # its request may be here already

    def _drop_one(self) -> bool:
        connection = self._droppable()
        if connection is None:
            return False
        self._tally.add(f"dropped while waiting for {connection.phase.value}")
        connection.close()
        return True

    def _droppable(self) -> Connection | None:
        """Return the connection that others need least: the one without a request for longest."""
        for phase in _DROPPED_FIRST:
            for connection in self._phases[phase]:
                return connection
        return next((c for c in self._slow()), None)

    # ---- what connections ask

    def update(self, connection: Connection, before: Phase) -> None:
        """See `connection.Server`."""
        self._phases[before].pop(connection, None)
        if connection.phase is Phase.CLOSED:
            self._changed.discard(connection)
            self._waiting.pop(connection, None)
            if self._events.pop(connection, 0):
                self._selector.unregister(connection.socket)
            return
        self._phases[connection.phase][connection] = None
        self._changed.add(connection)
        if connection.waiting_since is None:
            self._waiting.pop(connection, None)
        else:
            self._waiting[connection] = None

    def work(self, connection: Connection, environ: Environ, *, heavy: bool) -> None:
        """See `connection.Server`."""
        if not heavy:
            self._light.submit(self._call, connection, environ)
        elif len(self._in_heavy) < self._threads:
            self._in_heavy.add(connection)
            self._heavy.submit(self._call, connection, environ)
        else:  # it would wait without anyone limiting for how long
            detail = "the service is at capacity: try again soon"
            busy = Problem("busy", detail, headers={"Retry-After": "1"})
            connection.refuse(busy, keep_alive=True)

    def soon(self, connection: Connection, callback: Callable[[], None]) -> None:
        """See `connection.Server`."""
        self._soon.append((connection, callback))

    def may_delay(self) -> bool:
        """See `connection.Server`."""
        return len(self._phases[Phase.DELAYED]) < MAX_DELAYED

    def count(self, event: str) -> None:
        """See `connection.Server`."""
        self._tally.add(event)

    # ---- events

    def _apply_changes(self) -> None:
        for connection in self._changed:
            wanted = selectors.EVENT_READ * connection.is_reading
            wanted |= selectors.EVENT_WRITE * connection.is_writing
            before = self._events.get(connection, 0)
            if wanted == before:
                continue
            if not wanted:
                self._selector.unregister(connection.socket)
            elif before:
                self._selector.modify(connection.socket, wanted, connection)
            else:
                self._selector.register(connection.socket, wanted, connection)
            self._events[connection] = wanted
        self._changed.clear()

    def _on_wake(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass
        with suppress(queue.Empty):
            while True:
                connection, answer = self._answers.get_nowait()
                self._in_heavy.discard(connection)
                self._guarded(connection, partial(connection.on_answer, answer))

    def _call(self, connection: Connection, environ: Environ) -> None:
        try:
            answer = messages.run(self._application, environ)
        except Exception as error:
            answer = Answer.of(self.policy.fail(environ, error))
        self._answers.put((connection, answer))
        self.wake()

    # ---- when bytes are short

    def _slow(self) -> Iterable[Connection]:
        for phase in (Phase.BODY, Phase.SENDING):
            yield from (c for c in self._phases[phase] if c.is_slow)

    def _relieve(self) -> None:
        """Make room for bodies that wait: slow clients are dropped first, then the largest body."""
        for waiting in [*self._waiting]:
            while waiting.waiting_since is not None and not waiting.resume():
                slowest = max(self._slow(), key=lambda c: c.held, default=None)
                if slowest is None and self.now - waiting.waiting_since < WAIT_SECONDS:
                    break
                victim = slowest or max(self._phases[Phase.BODY], key=lambda c: c.held)
                if victim.phase is Phase.SENDING:
                    self._tally.add("answer not taken while others waited")
                    victim.close()
                else:
                    detail = "the service is receiving too much data: try again soon"
                    victim.refuse(Problem("busy", detail, headers={"Retry-After": "1"}))
