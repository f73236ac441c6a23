"""A folder that one process at a time writes to."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, scratch_prefix: str) -> Iterator[None]:
    """Hold a folder's lock, waiting for it, and clear away what a killed holder left.

    Args:
        folder: existing folder; the lock is on itself, so no lock file stays behind.
        scratch_prefix: beginning of the names of temporary folders made under the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in folder.glob(f"{scratch_prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)
