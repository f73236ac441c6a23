"""Discrete-event simulation of a push subscription: flow control, redelivery, dead letters.

Source of the rules: cloud.google.com/pubsub/docs (handling failures, push), read in November 2026.
"""

from collections import deque
from dataclasses import dataclass, field

import simpy

from benchmarks.scale.cloud_run import Process, Service

MIN_BACKOFF, MAX_BACKOFF = 10.0, 600.0
"""Seconds before an event is delivered again, as `terraform/modules/bucket_trigger` sets them."""
BACKOFF_FACTOR = 2.0
"""Assumed: "exponential" is all that the documentation says."""
MAX_ATTEMPTS = 100
FIRST_WINDOW, MAX_WINDOW = 10, 1000
"""Assumed: deliveries at a time; one more with each success, a quarter fewer with each failure."""


def seconds_until_dead() -> float:
    """How long an event is tried before it is a dead letter, if each delivery fails at once."""
    return sum(
        min(MAX_BACKOFF, MIN_BACKOFF * BACKOFF_FACTOR**attempt)
        for attempt in range(MAX_ATTEMPTS - 1)
    )


@dataclass
class Subscription:
    """Delivers events to a service until each is acknowledged or a dead letter.

    Attributes:
        acknowledged: seconds from publication to the acknowledgement, by event.
        dead: events that failed too often.
        deliveries: attempts so far.
    """

    env: simpy.Environment
    service: Service
    acknowledged: list[tuple[float, float]] = field(default_factory=list)
    dead: int = 0
    deliveries: int = 0

    def __post_init__(self) -> None:
        self._window = float(FIRST_WINDOW)
        self._out = 0
        self._waiting: deque[simpy.Event] = deque()

    def publish(self) -> Process:
        """Live through one event."""
        published = self.env.now
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                backoff = MIN_BACKOFF * BACKOFF_FACTOR ** (attempt - 1)
                yield self.env.timeout(min(MAX_BACKOFF, backoff))
            yield from self._enter_window()
            self.deliveries += 1
            status = yield from self.service.call()
            self._leave_window(succeeded=status == 200)
            if status == 200:
                self.acknowledged.append((published, self.env.now - published))
                return
        self.dead += 1

    @property
    def waiting(self) -> int:
        """Events that the flow control holds back."""
        return len(self._waiting)

    def _enter_window(self) -> Process:
        if self._out >= int(self._window):
            turn = self.env.event()
            self._waiting.append(turn)
            yield turn  # counted already
        else:
            self._out += 1

    def _leave_window(self, *, succeeded: bool) -> None:
        self._window = self._window + 1 if succeeded else self._window * 0.75
        self._window = min(MAX_WINDOW, max(FIRST_WINDOW, self._window))
        self._out -= 1
        while self._waiting and self._out < int(self._window):
            self._out += 1
            self._waiting.popleft().succeed()
