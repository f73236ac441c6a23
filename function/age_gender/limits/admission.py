"""Primitives that bound work and memory: a gate with a queue, a budget of bytes, and shutdown.

`PredictionLimiter` combines them for a service; the networks use a `Gate` of their own.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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
    def is_begun(self) -> bool:
        """Whether the process was asked to stop."""
        return self._begun is not None

    @property
    def seconds(self) -> float:
        """Seconds since the request; negative infinity before it."""
        return -math.inf if self._begun is None else time.monotonic() - self._begun


@dataclass(eq=False)
class _Caller:
    """One that waits at a `Gate` or is inside.

    Attributes:
        size: how much of the capacity it takes.
        share: whose share of the places it takes; empty for none.
        since: when it came.
        turn: notified when it may go in.
        beside: total size of those inside that overtook it.
        overtook: those that it overtook.
    """

    size: float
    share: str
    turn: threading.Condition
    since: float = field(default_factory=time.monotonic)
    beside: float = 0.0
    overtook: list["_Caller"] = field(default_factory=list)


class Gate:
    """Lets ``width`` callers in at a time, queues some in order, and refuses the rest.

    A caller that has to wait for capacity or for its share may be overtaken by others that have
    room, as long as that does not delay it for longer than ``overtaking``.
    """

    def __init__(
        self,
        width: int,
        queue: float,
        timeout: float,
        *,
        capacity: float = math.inf,
        overtaking: float = 0.0,
        share: int | None = None,
        shutdown: Shutdown | None = None,
        shutdown_timeout: float = 0.0,
    ):
        """Open the gate.

        Args:
            width: maximum callers inside.
            queue: maximum callers waiting.
            timeout: seconds after which a waiting caller is refused.
            capacity: maximum total size of the callers inside. A larger one goes in alone.
            overtaking: seconds for which a waiting caller may be overtaken by any that fits; later
                only by those that will fit beside it.
            share: maximum callers of one share inside; at most twice as many wait.
            shutdown: when the process was asked to stop.
            shutdown_timeout: seconds after that at which waiting callers are refused.
        """
        self._width = width
        self._max_callers = width + queue
        self._timeout = timeout
        self._capacity = capacity
        self._overtaking = overtaking
        self._max_of_share = math.inf if share is None else share
        self._shutdown = shutdown or Shutdown()
        self._shutdown_timeout = shutdown_timeout
        # Reentrant: the garbage collector may end an abandoned `enter` while this thread holds it.
        self._lock = threading.RLock()
        self._waiting: list[_Caller] = []
        self._inside = 0
        self._used = 0.0
        self._inside_of: Counter[str] = Counter()

    @contextmanager
    def enter(
        self,
        size: float = 0.0,
        wanted: Callable[[], bool] = lambda: True,
        *,
        share: str = "",
    ) -> Iterator[None]:
        """Wait for a place and hold it.

        Args:
            size: how much of the capacity the caller takes.
            wanted: whether the result is still wanted; asked while waiting and before entering.
            share: whose share of the places the caller takes; empty for none.

        Raises:
            Busy: the queue is full, the timeout has passed, or the process is stopping.
            ClientGone: the result is not wanted any more.
        """
        caller = _Caller(size, share, threading.Condition(self._lock))
        with self._lock:
            if self._is_full(share):
                raise Busy("the service is at capacity: try again soon", retry_after=1)
            try:
                self._await_turn(caller, wanted)
                self._count(caller, 1)
            finally:
                self._wake_next()
        try:
            yield
        finally:
            with self._lock:
                self._count(caller, -1)
                self._wake_next()

    def _is_full(self, share: str) -> bool:
        if self._inside + len(self._waiting) >= self._max_callers:
            return True
        waiting = sum(other.share == share for other in self._waiting) if share else 0
        return waiting >= 2 * self._max_of_share

    def _count(self, caller: _Caller, change: int) -> None:
        self._inside += change
        self._used += change * caller.size
        for other in caller.overtook:
            other.beside += change * caller.size
        if caller.share:
            self._inside_of[caller.share] += change
            if not self._inside_of[caller.share]:
                del self._inside_of[caller.share]

    def _await_turn(self, caller: _Caller, wanted: Callable[[], bool]) -> None:
        self._waiting.append(caller)
        try:
            end = time.monotonic() + self._timeout
            while not self._is_next(caller):
                left = end - time.monotonic()
                if left <= 0:
                    raise Busy("the service is at capacity: try again later", retry_after=5)
                if self._shutdown.seconds >= self._shutdown_timeout:
                    raise Busy("this instance is shutting down: try again", retry_after=1)
                _check_wanted(wanted)
                caller.turn.wait(min(left, POLL_SECONDS))
            _check_wanted(wanted)
        finally:
            ahead = self._waiting.index(caller)
            caller.overtook = self._waiting[:ahead]
            del self._waiting[ahead]

    def _wake_next(self) -> None:
        """Wake the first one that may go in; that one wakes the next."""
        for caller in self._waiting:
            if self._is_next(caller):
                caller.turn.notify()
                return

    def _is_next(self, caller: _Caller) -> bool:
        """Whether the caller has room, and may overtake all who came before it."""
        if not self._has_room(caller):
            return False
        for other in self._waiting:
            if other is caller:
                break
            if self._has_room(other) or not self._may_overtake(caller, other):
                return False
        return True

    def _may_overtake(self, caller: _Caller, other: _Caller) -> bool:
        if not self._is_within_share(other):
            return True
        fits_beside = other.beside + caller.size + other.size <= self._capacity
        return fits_beside or time.monotonic() - other.since < self._overtaking

    def _has_room(self, caller: _Caller) -> bool:
        if not self._is_within_share(caller):
            return False
        if self._inside == 0:
            return True
        return self._inside < self._width and self._used + caller.size <= self._capacity

    def _is_within_share(self, caller: _Caller) -> bool:
        return not caller.share or self._inside_of[caller.share] < self._max_of_share


def _check_wanted(wanted: Callable[[], bool]) -> None:
    if not wanted():
        raise ClientGone("the client closed the connection before the answer was ready")


class Budget:
    """Bytes that all callers together may hold."""

    def __init__(self, total: int, whole: "Budget | None" = None):
        """Hold nothing yet.

        Args:
            total: maximum bytes.
            whole: budget that this one is a part of: what is held here is held there, too.
        """
        self._total = total
        self._whole = whole
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
            if self._whole is not None:
                self._whole._add(amount, forced=forced)
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
