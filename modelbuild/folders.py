"""Exclusive access to a folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, scratch_prefix: str) -> Iterator[None]:
    """Wait for a folder's lock, hold it, and remove what a killed holder left behind.

    Args:
        folder: existing folder; it is locked itself, so there is no lock file.
        scratch_prefix: prefix of the temporary folders made under the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in folder.glob(f"{scratch_prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)
