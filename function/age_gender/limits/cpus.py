"""How many CPUs this process may use, and how the pictures worked on share them."""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota_file: Path = CGROUP_QUOTA) -> int:
    """CPUs by affinity, capped by the container's quota (``docker --cpus``), at least 1."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max": unlimited
        return count


BUSY_SECONDS = 2.0
"""Time for which a moment with several pictures counts: the next one is likely near."""


class CpuShares:
    """Divides the CPUs among the pictures that are worked on at the same time.

    One picture alone is answered soonest when its networks run on all CPUs. But threads of one run
    wait for each other, and while another picture is decoded, for a CPU; so several pictures are
    answered sooner with fewer threads each.
    """

    def __init__(self, cpus: int, max_threads: int | None = None):
        """Nothing is worked on yet.

        Args:
            cpus: that may be used.
            max_threads: of one run; all CPUs by default.
        """
        self.cpus = cpus
        self._max_threads = max_threads or cpus
        self._pictures = 0
        self._busy_until = -math.inf
        self._lock = threading.Lock()

    @contextmanager
    def picture(self) -> Iterator[None]:
        """Work on one picture."""
        with self._lock:
            self._pictures += 1
            if self._pictures > 1:
                self._busy_until = time.monotonic() + BUSY_SECONDS
        try:
            yield
        finally:
            with self._lock:
                self._pictures -= 1

    @property
    def busy(self) -> bool:
        """Whether several pictures were worked on at the same time just now."""
        return time.monotonic() < self._busy_until

    @property
    def threads(self) -> int:
        """Threads for a run that begins now."""
        return max(1, min(self._max_threads, self.cpus // max(1, self._pictures)))
