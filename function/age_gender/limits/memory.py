"""Keeps glibc from holding on to freed memory.

Each of glibc's heaps ("arenas") keeps what was freed in it, and once large arrays were freed, later
ones come from the heaps too. With dozens of threads taking turns this added 50 MiB to the service.
"""

import ctypes
import sys

# Option numbers from glibc's malloc.h.
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

MMAP_BYTES = 6 << 20
"""Arrays from this size on are mapped one by one, and unmapped when freed."""
MAX_ARENAS = 2


def limit_malloc_arenas() -> None:
    """Limit glibc to `MAX_ARENAS` heaps without large arrays; no effect with other C libraries.

    Call it before there are threads.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, MAX_ARENAS)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
