"""The bounds of a process, together."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest

from age_gender.errors import Busy
from age_gender.limits.admission import Shutdown
from age_gender.limits.capacity import SEARCH_PIXELS, SMALL_FACES_PIXELS, prediction_pixels
from age_gender.limits.limiter import (
    FETCHES,
    FETCHES_PER_HOST,
    LOOK_UPS_PER_DOMAIN,
    PredictionLimiter,
)
from age_gender.settings import Settings


def limiter(
    timeout: float = 60.0, shutdown: Shutdown | None = None, queue: int = 0
) -> PredictionLimiter:
    return PredictionLimiter(
        in_flight=2,
        intake=3,
        queue=queue,
        timeout=timeout,
        max_pixels=100,
        max_bytes=1000,
        shutdown=shutdown,
    )


def refused(place: AbstractContextManager[None]) -> bool:
    try:
        with place:
            return False
    except Busy:
        return True


def test_predictions_are_bounded_by_number() -> None:
    bound = limiter()
    with bound.predict(1), bound.predict(1):
        assert refused(bound.predict(1))
    assert not refused(bound.predict(1))


def test_intake_is_bounded_apart_from_predictions() -> None:
    bound = limiter()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(bound.intake())
        assert refused(bound.intake())
        assert not refused(bound.predict(1))


@pytest.mark.parametrize(
    ("place", "capacity"),
    [(PredictionLimiter.predict, 100), (PredictionLimiter.intake, 1000)],
)
def test_sizes_are_bounded_by_memory(
    place: Callable[[PredictionLimiter, int], AbstractContextManager[None]], capacity: int
) -> None:
    bound = limiter(timeout=0.01)
    with place(bound, capacity - 1):
        assert not refused(place(bound, 1))
        assert refused(place(bound, 2))
    with place(bound, 10 * capacity):  # alone
        assert refused(place(bound, 1))


def test_shutdown_ends_the_waiting() -> None:
    shutdown = Shutdown()
    bound = limiter(shutdown=shutdown, queue=1)
    shutdown.begin()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(bound.intake())
        assert refused(bound.intake())


def test_bytes_that_arrive_are_bounded_together() -> None:
    bound = limiter()
    with bound.reserve() as first, bound.reserve() as second:
        first.grow(900)
        second.grow(100)
        with pytest.raises(Busy):
            second.grow(1)


def test_settings() -> None:
    settings = Settings(max_in_flight=1, max_queue=0, max_pixels=2000, queue_timeout=0.01)
    bound = PredictionLimiter.from_settings(settings, intake=1)
    assert bound.max_pixels == 2000
    with bound.predict(1), bound.intake():
        assert refused(bound.predict(1))
        assert refused(bound.intake())
    batch = PredictionLimiter.from_settings(settings, intake=1, in_flight=2)
    with batch.predict(1), batch.predict(1):
        assert refused(batch.predict(1))


def test_a_prediction_weighs_its_pixels_and_the_search_for_small_faces() -> None:
    assert prediction_pixels(600, None) == 600
    assert prediction_pixels(600, 16) == 600 + SMALL_FACES_PIXELS
    assert prediction_pixels(20_000_000, 20) == 40_000_000
    assert prediction_pixels(20_000_000, 1) == 20_000_000 + SEARCH_PIXELS


@pytest.mark.defends("dripping-host")
def test_one_host_has_a_share_of_the_fetches_and_unpacking_waits_for_none() -> None:
    bound = limiter(timeout=0.01, queue=100)
    with ExitStack() as stack:
        for _ in range(FETCHES_PER_HOST):
            stack.enter_context(bound.fetch("slow"))
        assert refused(bound.fetch("slow"))
        for number in range(FETCHES - FETCHES_PER_HOST):
            stack.enter_context(bound.fetch(f"other {number}"))
        assert refused(bound.fetch("another"))
        assert not refused(bound.intake())
    assert not refused(bound.fetch("slow"))


@pytest.mark.defends("many-names")
def test_look_ups_in_one_domain_hold_up_neither_others_nor_fetches() -> None:
    bound = limiter(timeout=0.01, queue=100)
    with ExitStack() as stack:
        for _ in range(LOOK_UPS_PER_DOMAIN):
            stack.enter_context(bound.look_up("slow.test"))
        assert refused(bound.look_up("slow.test"))
        assert not refused(bound.look_up("other.test"))
        assert not refused(bound.fetch("93.184.216.34"))


@pytest.mark.defends("fetched-bytes")
def test_fetched_bytes_leave_half_of_the_budget() -> None:
    bound = limiter()
    with bound.reserve_fetched() as fetched, bound.reserve() as received:
        fetched.grow(500)
        with pytest.raises(Busy):
            fetched.grow(1)
        received.grow(500)
        with pytest.raises(Busy):
            received.grow(1)
        fetched.resize(0)
        received.grow(500)
        with pytest.raises(Busy):
            fetched.grow(1)
    with bound.reserve() as received:
        received.grow(1000)


def test_the_largest_picture_can_always_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the smallest container, where half of the bytes is less."""
    monkeypatch.setattr("age_gender.limits.limiter.memory_limit", lambda: 512 << 20)
    settings = Settings()
    bound = PredictionLimiter.from_settings(settings, intake=1)
    with bound.reserve_fetched() as fetched:
        fetched.grow(settings.max_picture_bytes)
