"""How much may be taken on at a time, given the memory that this process may use."""

import math
from collections.abc import Sequence
from pathlib import Path

LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where the container's limit is, in version 2 and version 1 of control groups."""

RESERVED_BYTES = 384 << 20
"""What the service itself takes: libraries, models, prepared networks and bodies."""

MIN_PIXELS = 4032 * 3024
"""Always accepted: a phone's picture."""
BYTES_PER_PIXEL = 12
"""Peak memory of a picture's pixel, when it is decoded, copied, drawn on and encoded."""
SMALL_FACES_PIXELS = 12_000_000
"""Pixels whose memory a detector takes when it searches for smaller faces than by default."""

WANTED_FACE = 20
"""Side that the smallest face asked for gets in a network's input, pixels: large enough that hardly
any is missed."""
NETWORK_PIXELS = 1536 * 864
"""Total input pixels of the network runs in flight in the smallest container, and the maximum of
one run in any container."""
BYTES_PER_NETWORK_PIXEL = 60
"""Memory of the detector's interpreter; 49 to 56 were measured."""
SEARCH_PIXELS = 50_000_000
"""Input pixels of all network runs over one picture, overlaps not counted, when it is searched for
small faces: a few seconds on one CPU. The largest picture by default is searched at its full size,
one of a quarter at twice that."""
SMALLEST_CONTAINER_BYTES = 512 << 20
NETWORKS_DIVISOR = 8
"""An eighth of the memory beyond the smallest container's goes to further network runs."""

HELD_DIVISOR = 16
"""A sixteenth of the memory is for bodies; unpacking them takes about twice that again."""


def memory_limit(limit_files: Sequence[Path] = LIMIT_FILES) -> int | None:
    """Read how many bytes the container may use; None without a limit."""
    for file in limit_files:
        try:
            return int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # the other version, or "max"
            continue
    return None


def spare_memory(
    limit_files: Sequence[Path] = LIMIT_FILES, status: Path = Path("/proc/self/status")
) -> int | None:
    """Bytes that the container has left beside what this process holds; None without a limit.

    Files that are mapped or cached do not count: the kernel drops them when memory is short.
    """
    limit = memory_limit(limit_files)
    if limit is None:
        return None
    try:
        lines = status.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    kilobytes = sizes.get("RssAnon", sizes.get("VmRSS"))  # the second counts files, too
    return None if kilobytes is None else max(0, limit - 1024 * int(kilobytes.split()[0]))


def pixel_capacity(max_pixels: int, limit: int | None) -> int:
    """Limit the total pixels of the pictures in flight.

    Args:
        max_pixels: largest picture that the settings allow.
        limit: bytes that may be used; None without a limit.

    Returns:
        ``max_pixels``, or less where memory is short.
    """
    if limit is None:
        return max_pixels
    free = limit - RESERVED_BYTES - _bytes_for_networks(limit)
    return min(max_pixels, max(MIN_PIXELS, free // BYTES_PER_PIXEL))


def prediction_pixels(pixels: int, min_face: int | None) -> int:
    """Weigh a prediction in pixels, for comparison with `pixel_capacity`.

    A search for small faces also weighs what it takes of the CPUs, so that long ones do not run
    side by side.

    Args:
        pixels: of the picture.
        min_face: side of the smallest face wanted; None for the detector's default.
    """
    if min_face is None:
        return pixels
    searched = min(pixels * (WANTED_FACE / min_face) ** 2, SEARCH_PIXELS)
    return pixels + max(SMALL_FACES_PIXELS, round(searched))


def network_pixels(cpus: int, limit: int | None) -> int:
    """Limit the total input pixels of the network runs in flight.

    Args:
        cpus: CPUs that may be used. Every two of them get a run, if memory allows.
        limit: bytes that may be used; None without a limit.
    """
    wanted = NETWORK_PIXELS * math.ceil(cpus / 2)
    if limit is None:
        return wanted
    return min(wanted, NETWORK_PIXELS + _bytes_for_networks(limit) // BYTES_PER_NETWORK_PIXEL)


def _bytes_for_networks(limit: int) -> int:
    return max(0, limit - SMALLEST_CONTAINER_BYTES) // NETWORKS_DIVISOR


def holdable_bytes(max_held: int, max_body: int, limit: int | None) -> int:
    """Limit the total bytes of the bodies held.

    Args:
        max_held: total that the settings allow.
        max_body: largest body, which must always fit.
        limit: bytes that may be used; None without a limit.

    Returns:
        ``max_held``, or less where memory is short.
    """
    if limit is None:
        return max_held
    return min(max_held, max(max_body, limit // HELD_DIVISOR))
