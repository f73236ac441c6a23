"""Counts what happens too often to log each time."""

import logging
import time
from collections import Counter

SECONDS = 10.0
"""Between two lines."""
MAX_KINDS = 50
"""Events that a line counts one by one."""
OTHERS = "others"

log = logging.getLogger(__name__)


class Tally:
    """Logs the first event at once, and then how many there were, at intervals.

    Not for more than one thread at a time.
    """

    def __init__(self, message: str, seconds: float = SECONDS):
        """Count nothing yet.

        Args:
            message: of the lines.
            seconds: between two lines.
        """
        self._message = message
        self._seconds = seconds
        self._counts: Counter[str] = Counter()
        self._next = 0.0

    def add(self, event: str) -> None:
        """Count an event; those beyond `MAX_KINDS` different ones together."""
        is_known = event in self._counts or len(self._counts) < MAX_KINDS
        self._counts[event if is_known else OTHERS] += 1
        self.flush()

    def flush(self) -> None:
        """Log what was counted, if anything was and it is time."""
        now = time.monotonic()
        if self._counts and now >= self._next:
            log.warning(self._message, extra={"fields": {"counts": dict(self._counts)}})
            self._counts.clear()
            self._next = now + self._seconds
