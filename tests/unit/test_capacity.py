"""How much may be taken on, by memory."""

from pathlib import Path

import pytest

from age_gender.limits.capacity import (
    BYTES_PER_PIXEL,
    MIN_PIXELS,
    NETWORK_PIXELS,
    RESERVED_BYTES,
    holdable_bytes,
    memory_limit,
    network_pixels,
    pixel_capacity,
)

MiB = 1 << 20
MAX_PIXELS = 50_000_000


class TestMemoryLimit:
    @pytest.mark.parametrize("place", [0, 1])
    def test_either_version_of_control_groups(self, place: int, tmp_path: Path) -> None:
        files = [tmp_path / "memory.max", tmp_path / "limit_in_bytes"]
        files[place].write_text("536870912\n")
        assert memory_limit(files) == 512 * MiB

    @pytest.mark.parametrize("text", ["max\n", "", "nonsense"])
    def test_no_limit(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text(text)
        assert memory_limit([tmp_path / "memory.max"]) is None
        assert memory_limit([tmp_path / "nothing"]) is None


@pytest.mark.defends("concurrent-pixels")
@pytest.mark.parametrize(
    ("limit", "capacity"),
    [
        (None, MAX_PIXELS),
        (8192 * MiB, MAX_PIXELS),
        (1024 * MiB, MAX_PIXELS),
        (768 * MiB, (768 * MiB - RESERVED_BYTES - 32 * MiB) // BYTES_PER_PIXEL),
        (512 * MiB, MIN_PIXELS),
        (100 * MiB, MIN_PIXELS),
    ],
)
def test_pixels(limit: int | None, capacity: int) -> None:
    assert pixel_capacity(MAX_PIXELS, limit) == capacity
    assert pixel_capacity(1_000_000, limit) == 1_000_000  # the setting is never exceeded


@pytest.mark.parametrize(
    ("cpus", "limit", "pixels"),
    [
        (1, None, NETWORK_PIXELS),
        (2, 512 * MiB, NETWORK_PIXELS),
        (3, None, 2 * NETWORK_PIXELS),
        (16, None, 8 * NETWORK_PIXELS),
        (16, 100 * MiB, NETWORK_PIXELS),
        (16, 512 * MiB, NETWORK_PIXELS),
        (16, 2048 * MiB, NETWORK_PIXELS + 192 * MiB // 120),
        (4, 8192 * MiB, 2 * NETWORK_PIXELS),
    ],
)
def test_networks(cpus: int, limit: int | None, pixels: int) -> None:
    assert network_pixels(cpus, limit) == pixels


@pytest.mark.defends("many-bodies")
@pytest.mark.parametrize(
    ("limit", "max_held", "held"),
    [
        (None, 64 * MiB, 64 * MiB),
        (8192 * MiB, 64 * MiB, 64 * MiB),
        (1024 * MiB, 64 * MiB, 64 * MiB),
        (768 * MiB, 64 * MiB, 48 * MiB),
        (512 * MiB, 64 * MiB, 32 * MiB),
        (100 * MiB, 64 * MiB, 32 * MiB),
        (8192 * MiB, 10 * MiB, 10 * MiB),
    ],
)
def test_bodies(limit: int | None, max_held: int, held: int) -> None:
    assert holdable_bytes(max_held, 32 * MiB, limit) == held
