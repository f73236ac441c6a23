"""Limits how much freed memory glibc keeps.

Each of glibc's heaps ("arenas") keeps what was freed in it, and once large arrays were freed, later
ones come from the heaps too. With dozens of threads taking turns this added 50 MiB to the service.
"""

import ctypes
import sys

# Option numbers from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

MMAP_BYTES = 6 << 20
"""Arrays from this size on are mapped one by one, and unmapped when freed."""
TRIM_BYTES = 4 << 20
"""Free memory at a heap's end from which it goes back to the system. What a request for an ordinary
picture frees stays, so that the next one need not have it cleared again, page by page."""
MAX_ARENAS = 2


def limit_malloc_arenas() -> None:
    """Limit glibc's heaps, and what they keep; no effect with other C libraries.

    Call it before there are threads.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, MAX_ARENAS)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
