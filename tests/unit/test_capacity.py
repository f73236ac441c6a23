"""Room for pixels and bodies by memory."""

from pathlib import Path

import pytest

from age_gender.limits.capacity import (
    BYTES_PER_PIXEL,
    MIN_PIXELS,
    NETWORK_PIXELS,
    RESERVED,
    holdable_bytes,
    memory_limit,
    network_pixels,
    pixel_capacity,
)

MiB = 1 << 20
MOST = 50_000_000


class TestLimit:
    @pytest.mark.parametrize("place", [0, 1])
    def test_of_either_version(self, place: int, tmp_path: Path) -> None:
        files = [tmp_path / "memory.max", tmp_path / "limit_in_bytes"]
        files[place].write_text("536870912\n")
        assert memory_limit(files) == 512 * MiB

    @pytest.mark.parametrize("text", ["max\n", "", "nonsense"])
    def test_none(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text(text)
        assert memory_limit([tmp_path / "memory.max"]) is None
        assert memory_limit([tmp_path / "nothing"]) is None


@pytest.mark.defends("concurrent-pixels")
@pytest.mark.parametrize(
    ("limit", "room"),
    [
        (None, MOST),
        (8192 * MiB, MOST),
        (1024 * MiB, MOST),
        (768 * MiB, (768 * MiB - RESERVED - 32 * MiB) // BYTES_PER_PIXEL),
        (512 * MiB, MIN_PIXELS),
        (100 * MiB, MIN_PIXELS),
    ],
)
def test_pixels(limit: int | None, room: int) -> None:
    assert pixel_capacity(MOST, limit) == room
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
    ("limit", "most", "held"),
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
def test_bodies(limit: int | None, most: int, held: int) -> None:
    assert holdable_bytes(most, 32 * MiB, limit) == held
