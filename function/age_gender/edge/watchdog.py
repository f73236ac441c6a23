"""One thread that enforces all time limits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Calls every registered check, each ``step`` seconds.

    A timer for each would start and end a thread with every request.
    """

    def __init__(self, step: float = 0.2):
        """Start no thread yet: the process may still fork."""
        self._step = step
        self._changed = threading.Condition()
        self._checks: dict[object, Callable[[], bool]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, check: Callable[[], bool]) -> Iterator[None]:
        """Call ``check`` regularly while inside, until it returns True.

        Args:
            check: runs in another thread; must neither block nor raise.
        """
        key = object()
        with self._changed:
            self._checks[key] = check
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._checks.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._checks:
                    self._changed.wait()
            time.sleep(self._step)  # first: a check that was just added is not due
            with self._changed:
                checks = list(self._checks.items())
            done = [key for key, check in checks if check()]
            with self._changed:
                for key in done:
                    self._checks.pop(key, None)


WATCHDOG = Watchdog()
