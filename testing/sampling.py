"""Calls something at intervals while something else runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def sampled(sample: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call ``sample`` in a thread of its own every so many seconds, until the block ends."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            sample()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
