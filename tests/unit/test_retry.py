"""Trying again while the caller waits."""

import time

import pytest

from age_gender.batch import retry
from age_gender.batch.retry import MAX_PAUSE_SECONDS, Retry
from age_gender.limits.admission import Shutdown


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses; the clock advances by them alone."""
    pauses: list[float] = []
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        pauses.append(seconds)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return pauses


def test_pauses_grow_until_the_time_is_over(slept: list[float]) -> None:
    tries = Retry(60.0, Shutdown())
    lengths = []
    while tries.pause():
        lengths.append(sum(slept))
        slept.clear()
    assert 6 <= len(lengths) <= 15
    assert 0.5 <= lengths[0] <= 1.0
    assert max(lengths) <= MAX_PAUSE_SECONDS + 1e-6
    assert sum(lengths) <= 60.0


def test_none(slept: list[float]) -> None:
    assert not Retry(0.0, Shutdown()).pause()
    assert slept == []


def test_shutdown_ends_a_pause(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown = Shutdown()
    tries = Retry(60.0, shutdown)
    monkeypatch.setattr(retry, "FIRST_SECONDS", 8.0)
    sleep = time.sleep

    def stopped(seconds: float) -> None:
        shutdown.begin()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", stopped)
    assert not tries.pause()
    assert len(slept) == 1
