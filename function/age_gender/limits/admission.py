"""Primitives that bound work and memory: a gate with a queue, a budget of bytes, and shutdown.

`PredictionLimiter` combines them for a service; the networks use a `Gate` of their own.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from age_gender.errors import Busy, ClientGone

POLL_SECONDS = 0.25
"""How often a waiting caller checks whether it should go on waiting."""


class Shutdown:
    """When this process was asked to stop, if it was."""

    def __init__(self) -> None:
        self._begun: float | None = None

    def begin(self) -> None:
        """Record the request; later calls change nothing. Safe in a signal handler."""
        if self._begun is None:
            self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the request; negative infinity before it."""
        return -math.inf if self._begun is None else time.monotonic() - self._begun


class Gate:
    """Lets ``width`` callers in at a time, queues some in order, and refuses the rest."""

    def __init__(
        self,
        width: int,
        queue: float,
        timeout: float,
        *,
        capacity: float = math.inf,
        shutdown: Shutdown | None = None,
        shutdown_timeout: float = 0.0,
    ):
        """Open the gate.

        Args:
            width: maximum callers inside.
            queue: maximum callers waiting.
            timeout: seconds after which a waiting caller is refused.
            capacity: maximum total size of the callers inside. A larger one goes in alone.
            shutdown: when the process was asked to stop.
            shutdown_timeout: seconds after that at which waiting callers are refused.
        """
        self._width = width
        self._max_callers = width + queue
        self._timeout = timeout
        self._capacity = capacity
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
            size: how much of the capacity the caller takes.
            wanted: whether the result is still wanted; asked while waiting and before entering.

        Raises:
            Busy: the queue is full, the timeout has passed, or the process is stopping.
            ClientGone: the result is not wanted any more.
        """
        with self._changed:
            if self._inside + len(self._waiting) >= self._max_callers:
                raise Busy("the service is at capacity: try again soon", retry_after=1)
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
            while not (self._waiting[0] is ticket and self._fits(size)):
                left = end - time.monotonic()
                if left <= 0:
                    raise Busy("the service is at capacity: try again later", retry_after=5)
                if self._shutdown.seconds >= self._shutdown_timeout:
                    raise Busy("this instance is shutting down: try again", retry_after=1)
                _check_wanted(wanted)
                self._changed.wait(min(left, POLL_SECONDS))
            _check_wanted(wanted)
        finally:
            self._waiting.remove(ticket)
            self._changed.notify_all()

    def _fits(self, size: float) -> bool:
        if self._inside == 0:
            return True
        return self._inside < self._width and self._used + size <= self._capacity


def _check_wanted(wanted: Callable[[], bool]) -> None:
    if not wanted():
        raise ClientGone("the client closed the connection before the answer was ready")


class Budget:
    """Bytes that all callers together may hold."""

    def __init__(self, total: int):
        self._total = total
        self._held = 0
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self) -> Iterator["Reservation"]:
        """Open an empty reservation, and release what it holds at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.resize(0)

    def _add(self, amount: int, *, forced: bool) -> None:
        with self._lock:
            if amount > 0 and not forced and self._held + amount > self._total:
                raise Busy("the service is receiving too much data: try again soon", retry_after=1)
            self._held += amount


class Reservation:
    """The bytes of a `Budget` that one caller holds."""

    def __init__(self, budget: Budget):
        self._budget = budget
        self._size = 0

    def grow(self, amount: int) -> None:
        """Hold ``amount`` more bytes.

        Raises:
            Busy: the budget is used up.
        """
        self._budget._add(amount, forced=False)
        self._size += amount

    def resize(self, size: int) -> None:
        """Hold ``size`` bytes from now on, even beyond the budget: the memory is in use already."""
        self._budget._add(size - self._size, forced=True)
        self._size = size
