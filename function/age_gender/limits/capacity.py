"""How much may be taken on at the same time, by the memory that this process may use."""

import math
from collections.abc import Sequence
from pathlib import Path

LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Of the container, in the second and in the first version of control groups."""

NETWORK_PIXELS = 1536 * 864
"""Pixels of the networks' inputs that may be run at the same time in the smallest container, and by
one run in any."""
BYTES_PER_NETWORK_PIXEL = 120
SMALLEST = 512 << 20
"""Bytes of that container. One byte in `SHARE_OF_NETWORKS` beyond is for further runs."""
SHARE_OF_NETWORKS = 8
RESERVED = 384 << 20
"""Bytes that the service takes itself: libraries, models, prepared networks, and bodies."""
BYTES_PER_PIXEL = 12
"""What a pixel takes at the worst moment: decoded, copied, drawn on and encoded."""
MIN_PIXELS = 4032 * 3024
"""Accepted however little memory there is: what a phone takes."""
CLOSE_LOOK_PIXELS = 12_000_000
"""Pixels whose memory a detector takes that looks for faces smaller than it does by default."""
SHARE_HELD = 16
"""One part in so many of the memory for bodies; unpacking them takes twice as much again."""


def memory_limit(limit_files: Sequence[Path] = LIMIT_FILES) -> int | None:
    """Bytes that the container may use, if that is limited."""
    for file in limit_files:
        try:
            return int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # another version, or "max"
            continue
    return None


def pixel_capacity(most: int, limit: int | None) -> int:
    """Pixels that may be worked on at the same time.

    Args:
        most: the largest picture that the settings allow.
        limit: bytes that may be used, if that is limited.

    Returns:
        ``most``, or less with little memory.
    """
    if limit is None:
        return most
    free = limit - RESERVED - _for_networks(limit)
    return min(most, max(MIN_PIXELS, free // BYTES_PER_PIXEL))


def network_pixels(cpus: int, limit: int | None) -> int:
    """Pixels of the networks' inputs that may be run at the same time.

    Args:
        cpus: that may be used; enough for each two of them to be kept busy, if memory allows.
        limit: bytes that may be used, if that is limited.
    """
    wanted = NETWORK_PIXELS * math.ceil(cpus / 2)
    if limit is None:
        return wanted
    return min(wanted, NETWORK_PIXELS + _for_networks(limit) // BYTES_PER_NETWORK_PIXEL)


def _for_networks(limit: int) -> int:
    """Bytes for more runs than the smallest container has at the same time."""
    return max(0, limit - SMALLEST) // SHARE_OF_NETWORKS


def holdable_bytes(most: int, one_body: int, limit: int | None) -> int:
    """Bytes of bodies that may be held at the same time.

    Args:
        most: as the settings say.
        one_body: the largest single one, which must always fit.
        limit: bytes that may be used, if that is limited.

    Returns:
        ``most``, or less with little memory.
    """
    if limit is None:
        return most
    return min(most, max(one_body, limit // SHARE_HELD))
