"""How many CPUs this process may use, and how concurrent predictions share them."""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What ``docker --cpus`` sets."""

BUSY_SECONDS = 2.0
"""How long the process counts as busy after two predictions overlapped: more are likely to come."""


def usable_cpus(quota_file: Path = CGROUP_QUOTA) -> int:
    """Count the CPUs: by affinity, capped by the container's quota, and at least 1."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max": unlimited
        return count


class CpuShares:
    """Divides the CPUs among the predictions in flight.

    A single prediction is fastest when its networks run on all CPUs. But the threads of a run wait
    for each other, and for a CPU while another image is decoded; so concurrent predictions are
    faster with fewer threads each.

    Attributes:
        cpus: CPUs that may be used.
    """

    def __init__(self, cpus: int, max_threads: int | None = None):
        """Start with no prediction in flight.

        Args:
            cpus: CPUs that may be used.
            max_threads: maximum threads of one network run; ``cpus`` by default.
        """
        self.cpus = cpus
        self._max_threads = max_threads or cpus
        self._predictions = 0
        self._busy_until = -math.inf
        self._lock = threading.Lock()

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Count a prediction as in flight while the block runs."""
        with self._lock:
            self._predictions += 1
            if self._predictions > 1:
                self._busy_until = time.monotonic() + BUSY_SECONDS
        try:
            yield
        finally:
            with self._lock:
                self._predictions -= 1

    @property
    def busy(self) -> bool:
        """Whether several predictions are in flight together, or were a moment ago."""
        return time.monotonic() < self._busy_until

    @property
    def threads(self) -> int:
        """Threads for a network run that starts now."""
        return max(1, min(self._max_threads, self.cpus // max(1, self._predictions)))
