"""Tries again what failed for a reason that may pass, for as long as the caller waits."""

import random
import time
from dataclasses import dataclass, field

from age_gender.limits.admission import POLL_SECONDS, Shutdown

FIRST_SECONDS = 1.0
"""Longest pause before the second try; it doubles with each."""
MAX_PAUSE_SECONDS = 10.0


@dataclass
class Retry:
    """The tries at one thing.

    Attributes:
        seconds: from now, after which no try is begun.
        shutdown: when the process was asked to stop, after which none is, either.
        failures: tries so far that failed.
    """

    seconds: float
    shutdown: Shutdown
    failures: int = 0
    _start: float = field(default_factory=lambda: time.monotonic())

    def pause(self) -> bool:
        """Wait after a failure; return whether there is time for another try.

        The pause is random, so that what failed together does not come back together.
        """
        longest = min(FIRST_SECONDS * 2**self.failures, MAX_PAUSE_SECONDS)
        self.failures += 1
        until = time.monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if until > self._start + self.seconds:
            return False
        while (left := until - time.monotonic()) > 0:
            if self.shutdown.is_begun:
                return False
            time.sleep(min(left, POLL_SECONDS))
        return not self.shutdown.is_begun
