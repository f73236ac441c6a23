"""Has the C library give back the memory of large arrays, and keep few heaps.

Each heap of glibc holds on to what was freed in it, and once large arrays were freed, the next
ones come from the heaps, too. With dozens of threads that take turns, that added up to 50 MiB to
the service's size.
"""

import ctypes
import sys

# Numbers of the options in glibc's malloc.h.
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

LARGE = 6 << 20
HEAPS = 2


def limit_malloc_arenas() -> None:
    """Let glibc keep `HEAPS` heaps, and map arrays from `LARGE` bytes on one by one.

    Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)
        mallopt(M_MMAP_THRESHOLD, LARGE)
