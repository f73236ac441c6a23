"""Those who want nothing special of a service that others keep busy, and what they notice."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import requests


@dataclass
class Bystander:
    """Sends one request after the other, each when the one before has ended.

    Attributes:
        send: sends one; returns whether it was answered as it should be.
        pause: seconds between two.
        good: milliseconds of each that was.
        failed: milliseconds of each other.
    """

    send: Callable[[], bool]
    pause: float = 0.05
    good: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def run(self, ended: threading.Event) -> None:
        """Send until it has ended."""
        while not ended.wait(self.pause):
            start = time.perf_counter()
            try:
                is_good = self.send()
            except requests.RequestException:
                is_good = False
            times = self.good if is_good else self.failed
            times.append((time.perf_counter() - start) * 1000)


@contextmanager
def beside(bystanders: Sequence[Bystander]) -> Iterator[None]:
    """Have each send requests while inside."""
    ended = threading.Event()
    threads = [threading.Thread(target=each.run, args=(ended,)) for each in bystanders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def percentiles(times: Sequence[float]) -> dict[str, int]:
    """Return the 50th and 99th percentile of milliseconds; 0 of none."""
    return {f"p{p}_ms": round(float(np.percentile(times or [0], p))) for p in (50, 99)}
