"""How many predictions run and wait at the same time; the rest are turned away at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from age_gender.errors import Busy


class Gate:
    """Lets ``width`` callers in, ``queue`` wait, and refuses all others."""

    def __init__(self, width: int, queue: int, patience: float):
        """Open the gate.

        Args:
            width: callers inside at the same time.
            queue: callers waiting at the same time.
            patience: seconds after which a waiting caller is refused.
        """
        self._inside = threading.BoundedSemaphore(width)
        self._places = threading.BoundedSemaphore(width + queue)
        self._patience = patience

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Wait for a place and hold it.

        Raises:
            Busy: the queue is full, or patience ran out.
        """
        if not self._places.acquire(blocking=False):
            raise Busy("all workers are busy and the queue is full: try again soon", retry_after=1)
        try:
            if not self._inside.acquire(timeout=self._patience):
                raise Busy("no worker became free in time: try again later", retry_after=5)
            try:
                yield
            finally:
                self._inside.release()
        finally:
            self._places.release()
