"""How much work and memory is taken on at the same time; the rest is turned away at once.

Three bounds, all of this process: a `Gate` for what runs and waits, with room for a total size;
a `Budget` for bytes held; and `Shutdown`, which cuts the waiting short once the process is told to
end, so that everyone who was let in is answered before it does.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from age_gender.errors import Busy, ClientGone

STEP = 0.25
"""Seconds after which a waiting caller looks whether waiting still makes sense."""


class Shutdown:
    """Whether this process has been told to end, and since when."""

    def __init__(self) -> None:
        self._begun: float | None = None

    def begin(self) -> None:
        """Note that it has; safe in a signal handler."""
        if self._begun is None:
            self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since then; negative infinity when nobody has said so."""
        return -math.inf if self._begun is None else time.monotonic() - self._begun


class Gate:
    """Lets ``width`` callers in, ``queue`` wait in their order, and refuses all others."""

    def __init__(
        self,
        width: int,
        queue: int,
        timeout: float,
        *,
        room: float = math.inf,
        shutdown: Shutdown | None = None,
        shutdown_timeout: float = 0.0,
    ):
        """Open the gate.

        Args:
            width: callers inside at the same time.
            queue: callers waiting at the same time.
            timeout: seconds after which a waiting caller is refused.
            room: most that the sizes of all callers inside may add up to; a larger one goes in
                alone.
            shutdown: when the process is told to end.
            shutdown_timeout: seconds after that, from which on waiting callers are refused.
        """
        self._width = width
        self._most = width + queue
        self._timeout = timeout
        self._room = room
        self._shutdown = shutdown or Shutdown()
        self._shutdown_timeout = shutdown_timeout
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._inside = 0
        self._used = 0.0

    @contextmanager
    def enter(self, size: float = 0.0, wanted: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Wait for a place and hold it.

        Args:
            size: what the caller takes of the room.
            wanted: whether anyone still wants the result; asked before the caller goes in, and
                now and then while it waits.

        Raises:
            Busy: the queue is full, timeout ran out, or the process is about to end.
            ClientGone: nobody wants it any more.
        """
        with self._changed:
            if self._inside + len(self._waiting) >= self._most:
                raise Busy(
                    "all workers are busy and the queue is full: try again soon", retry_after=1
                )
            self._await_turn(size, wanted)
            self._inside += 1
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._used -= size
                self._changed.notify_all()

    def _await_turn(self, size: float, wanted: Callable[[], bool]) -> None:
        ticket = object()
        self._waiting.append(ticket)
        try:
            end = time.monotonic() + self._timeout
            while not (self._waiting[0] is ticket and self._has_place(size)):
                left = end - time.monotonic()
                if left <= 0:
                    raise Busy("no worker became free in time: try again later", retry_after=5)
                if self._shutdown.seconds >= self._shutdown_timeout:
                    raise Busy("this instance is shutting down: try again", retry_after=1)
                _go_on_if(wanted)
                self._changed.wait(min(left, STEP))
            _go_on_if(wanted)
        finally:
            self._waiting.remove(ticket)
            self._changed.notify_all()

    def _has_place(self, size: float) -> bool:
        fits = self._used + size <= self._room or self._inside == 0
        return self._inside < self._width and fits


def _go_on_if(wanted: Callable[[], bool]) -> None:
    if not wanted():
        raise ClientGone("the connection was closed before the answer was ready")


class Budget:
    """Bytes that all callers together may hold."""

    def __init__(self, total: int):
        """Nothing is held yet."""
        self._total = total
        self._held = 0
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self) -> Iterator["Reservation"]:
        """Give a part that grows as needed, and take it back at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.resize(0)

    def _add(self, amount: int, *, forced: bool) -> None:
        with self._lock:
            if amount > 0 and not forced and self._held + amount > self._total:
                raise Busy(
                    "too much is being received at the same time: try again soon", retry_after=1
                )
            self._held += amount


class Reservation:
    """What one caller holds of a `Budget`."""

    def __init__(self, budget: Budget):
        self._budget = budget
        self._size = 0

    def grow(self, amount: int) -> None:
        """Hold ``amount`` bytes more.

        Raises:
            Busy: that would be more than there is.
        """
        self._budget._add(amount, forced=False)
        self._size += amount

    def resize(self, size: int) -> None:
        """Hold ``size`` bytes from now on, be they there or not: the work is done already."""
        self._budget._add(size - self._size, forced=True)
        self._size = size
