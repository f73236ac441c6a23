"""How many CPUs may be used."""

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from age_gender.limits import cpus
from age_gender.limits.cpus import CpuShares, usable_cpus


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("20000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("", 8),
        ("nonsense", 8),
        ("a b", 8),
    ],
)
@pytest.mark.usefixtures("eight_cpus")
def test_quota_of_the_container(quota: str, count: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cpus(file) == count


@pytest.mark.usefixtures("eight_cpus")
def test_no_quota(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "cpu.max") == 8


def test_systems_without_cpu_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus(tmp_path / "cpu.max") == 1


class TestShares:
    @pytest.mark.parametrize(
        ("count", "max_threads", "predictions", "threads"),
        [
            (4, None, 0, 4),
            (4, None, 1, 4),
            (4, None, 2, 2),
            (4, None, 3, 1),
            (4, None, 9, 1),
            (4, 3, 1, 3),
            (4, 3, 2, 2),
            (1, None, 1, 1),
            (2, 8, 1, 2),
        ],
    )
    def test_threads_of_a_run(
        self, count: int, max_threads: int | None, predictions: int, threads: int
    ) -> None:
        shares = CpuShares(count, max_threads)
        with ExitStack() as stack:
            for _ in range(predictions):
                stack.enter_context(shares.prediction())
            assert shares.threads == threads
            assert shares.busy == (predictions > 1)
        assert shares.threads == min(count, max_threads or count)

    def test_a_prediction_that_fails_is_not_in_flight(self) -> None:
        shares = CpuShares(2)
        with suppress(ValueError), shares.prediction(), shares.prediction():
            raise ValueError
        assert shares.threads == 2

    def test_the_process_counts_as_busy_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        shares = CpuShares(2)
        with shares.prediction():
            assert not shares.busy
            with shares.prediction():
                assert shares.busy
        now += cpus.BUSY_SECONDS / 2
        assert shares.busy
        now += cpus.BUSY_SECONDS
        assert not shares.busy
