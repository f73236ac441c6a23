"""One thread that looks after everything that may take too long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Asks all the checks that are on, every ``step`` seconds.

    A timer each would be a thread each, started and ended with every request.
    """

    def __init__(self, step: float = 0.2):
        """Start no thread yet: this may be before a fork."""
        self._step = step
        self._changed = threading.Condition()
        self._checks: dict[object, Callable[[], bool]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, check: Callable[[], bool]) -> Iterator[None]:
        """Have ``check`` asked while inside, until it says that it need not be asked again.

        Args:
            check: is run in another thread, must not block, and must not raise.
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
            time.sleep(self._step)  # nothing that has just begun is late
            with self._changed:
                checks = list(self._checks.items())
            done = [key for key, check in checks if check()]
            with self._changed:
                for key in done:
                    self._checks.pop(key, None)


WATCHDOG = Watchdog()
