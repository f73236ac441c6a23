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
    spare_memory,
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


class TestSpareMemory:
    def spare(self, tmp_path: Path, limit: str, status: str | None) -> int | None:
        (tmp_path / "memory.max").write_text(limit)
        if status is not None:
            (tmp_path / "status").write_text(status)
        return spare_memory([tmp_path / "memory.max"], tmp_path / "status")

    @pytest.mark.parametrize(
        ("status", "held"),
        [
            ("Name:\tpython\nVmRSS:\t  300000 kB\nRssAnon:\t  200000 kB\n", 200_000),
            ("VmRSS:\t  300000 kB\n", 300_000),
        ],
    )
    def test_what_the_process_does_not_hold(self, tmp_path: Path, status: str, held: int) -> None:
        assert self.spare(tmp_path, str(512 * MiB), status) == 512 * MiB - 1024 * held
        assert self.spare(tmp_path, str(100 * MiB), status) == 0

    @pytest.mark.parametrize(("limit", "status"), [("max", "VmRSS: 1 kB"), ("9", None), ("9", "")])
    def test_not_known(self, tmp_path: Path, limit: str, status: str | None) -> None:
        assert self.spare(tmp_path, limit, status) is None


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
        (16, 2048 * MiB, NETWORK_PIXELS + 192 * MiB // 60),
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
