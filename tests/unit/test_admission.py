"""Who gets through the gate, who waits and who is refused; and the budget of bytes."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from age_gender.errors import Busy, ClientGone
from age_gender.limits import admission
from age_gender.limits.admission import Budget, Gate, Shutdown

LONG = 60.0
"""A timeout that no test reaches."""


class Callers:
    """Threads that enter a gate and stay inside until they are released.

    Attributes:
        entered: released by each thread that is inside.
    """

    def __init__(self, gate: Gate, size: float = 0.0, release: bool = False):
        self._gate = gate
        self._size = size
        self._waiting = threading.Semaphore(0)
        self._leave = threading.Event()
        if release:
            self._leave.set()
        self.entered = threading.Semaphore(0)
        self.errors: list[Exception] = []
        self._threads: list[threading.Thread] = []

    def start(self, count: int = 1) -> None:
        """Start threads, and return when each is in the queue or inside."""
        for _ in range(count):
            thread = threading.Thread(target=self._enter, daemon=True)
            thread.start()
            self._threads.append(thread)
            assert self._waiting.acquire(timeout=LONG)

    def await_entries(self, count: int) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=LONG)

    def join(self) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(LONG)
            assert not thread.is_alive()

    def _enter(self) -> None:
        reported = False

        def wanted() -> bool:  # called while the gate counts this thread as waiting
            nonlocal reported
            if not reported:
                reported = True
                self._waiting.release()
            return True

        try:
            with self._gate.enter(self._size, wanted):
                self.entered.release()
                self._leave.wait(LONG)
        except Busy as error:
            self.errors.append(error)


def refusal(gate: Gate, size: float = 0.0) -> Busy:
    with pytest.raises(Busy) as caught, gate.enter(size):
        pass
    return caught.value


def one_after_the_other(gate: Gate, enter: Callable[[int, threading.Event], None]) -> None:
    """Have twenty threads wait at a gate in order, and let all of them in.

    Args:
        gate: of width 1.
        enter: goes in, given its number and what it sets once it waits.
    """
    threads = []
    with gate.enter():
        for number in range(20):
            queued = threading.Event()
            threads.append(threading.Thread(target=enter, args=(number, queued)))
            threads[-1].start()
            assert queued.wait(LONG)
    for thread in threads:
        thread.join(LONG)


class TestGate:
    @pytest.mark.defends("overload")
    def test_admits_its_width_and_no_more(self) -> None:
        gate = Gate(3, 0, LONG)
        callers = Callers(gate)
        callers.start(3)
        callers.await_entries(3)
        assert refusal(gate).retry_after == 1
        callers.join()
        with gate.enter():
            pass

    def test_waiting_callers_enter_when_others_leave(self) -> None:
        gate = Gate(1, 2, LONG)
        first, waiting = Callers(gate), Callers(gate, release=True)
        first.start()
        first.await_entries(1)
        waiting.start(2)
        # The queue is full now: refused at once, although the timeout is long.
        assert refusal(gate).code == "busy"
        assert not waiting.entered.acquire(blocking=False)
        first.join()
        waiting.await_entries(2)
        waiting.join()

    @pytest.mark.defends("overload")
    def test_timeout(self) -> None:
        gate = Gate(1, 1, 0.01)
        with gate.enter():
            assert refusal(gate).retry_after == 5
            # A caller that was refused has left the queue.
            assert refusal(gate).retry_after == 5
        with gate.enter():
            pass

    def test_an_error_inside_frees_the_place(self) -> None:
        gate = Gate(1, 0, LONG)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError), gate.enter():
                _ = 1 / 0
        with gate.enter():
            pass

    @pytest.mark.defends("large-picture-waits")
    def test_small_callers_overtake_one_that_they_do_not_delay(self) -> None:
        gate = Gate(9, 9, LONG, capacity=10)
        large = Callers(gate, size=8)
        with gate.enter(8):
            large.start()
            with gate.enter(1), gate.enter(1):
                pass
            with gate.enter(2):
                assert not large.entered.acquire(blocking=False)
            late = Callers(gate, size=1)
            with gate.enter(2):  # as much as fits beside both
                late.start()
                assert not late.entered.acquire(blocking=False)
            late.await_entries(1)
        large.await_entries(1)
        late.join()
        large.join()

    @pytest.mark.defends("large-picture-waits")
    def test_a_caller_is_not_overtaken_for_ever(self) -> None:
        gate = Gate(9, 9, LONG, capacity=10)
        first, large, small = Callers(gate, size=5), Callers(gate, size=9), Callers(gate, size=4)
        first.start()
        first.await_entries(1)
        large.start()
        small.start()  # has room, but would take that of the large one
        assert not small.entered.acquire(timeout=0.3)
        first.join()
        large.await_entries(1)
        assert not small.entered.acquire(blocking=False)
        large.join()
        small.await_entries(1)
        small.join()

    def test_at_first_a_caller_is_overtaken_by_all_that_fit(self) -> None:
        gate = Gate(9, 9, LONG, capacity=10, overtaking=LONG)
        large = Callers(gate, size=9)
        with gate.enter(5):
            large.start()
            with gate.enter(4):
                assert not large.entered.acquire(blocking=False)
        large.await_entries(1)
        large.join()

    def test_who_waits_for_a_share_is_overtaken_by_others(self) -> None:
        gate = Gate(3, 9, 0.01, share=1)
        with gate.enter(share="a"):
            with pytest.raises(Busy), gate.enter(share="a"):
                pass
            with gate.enter(share="b"), gate.enter():
                pass

    def test_never_more_inside_than_its_width(self) -> None:
        gate = Gate(3, 100, LONG)
        inside, peak, lock = 0, 0, threading.Lock()

        def enter(_: int) -> None:
            nonlocal inside, peak
            with gate.enter():
                with lock:
                    inside += 1
                    peak = max(peak, inside)
                threading.Event().wait(0.001)
                with lock:
                    inside -= 1

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(enter, range(60)))
        assert peak <= 3
        assert inside == 0

    def test_callers_enter_in_order(self) -> None:
        gate = Gate(1, 20, LONG)
        order: list[int] = []

        def enter(number: int, queued: threading.Event) -> None:
            with gate.enter(wanted=lambda: queued.set() or True):  # type: ignore[func-returns-value]
                order.append(number)

        one_after_the_other(gate, enter)
        assert order == list(range(20))

    def test_who_leaves_wakes_only_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "POLL_SECONDS", LONG)
        gate = Gate(1, 20, LONG)
        asked: list[int] = []  # a caller is asked whether it goes on when it comes and when woken

        def enter(number: int, queued: threading.Event) -> None:
            def wanted() -> bool:
                asked.append(number)
                queued.set()
                return True

            with gate.enter(wanted=wanted):
                pass

        one_after_the_other(gate, enter)
        assert asked == [*range(20), *range(20)]

    def test_who_goes_in_wakes_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "POLL_SECONDS", LONG)
        gate = Gate(9, 9, LONG, capacity=10)
        small = Callers(gate, size=5)
        with gate.enter(10):
            small.start(2)
        small.await_entries(2)
        small.join()

    def test_who_gives_up_wakes_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "POLL_SECONDS", LONG)
        gate = Gate(1, 9, LONG)
        asked: list[bool] = []
        waiting = threading.Event()

        def wanted() -> bool:  # when it comes, and no more when it is woken
            asked.append(not asked)
            waiting.set()
            return asked[-1]

        def enter() -> None:
            with suppress(ClientGone), gate.enter(wanted=wanted):
                pass

        gone, following = threading.Thread(target=enter), Callers(gate)
        with gate.enter():
            gone.start()
            assert waiting.wait(LONG)
            following.start()
        following.await_entries(1)
        following.join()
        gone.join(LONG)
        assert asked == [True, False]


class TestCapacity:
    @pytest.mark.defends("concurrent-pixels")
    def test_sizes_add_up_to_no_more_than_the_capacity(self) -> None:
        gate = Gate(10, 0, 0.01, capacity=100)
        with gate.enter(60):
            with gate.enter(40):
                assert refusal(gate, 1).code == "busy"
            with gate.enter(40):
                pass

    def test_a_caller_larger_than_the_capacity_enters_alone(self) -> None:
        gate = Gate(10, 0, 0.01, capacity=100)
        with gate.enter(500):
            assert refusal(gate, 1).code == "busy"
        with gate.enter(1):
            assert refusal(gate, 500).code == "busy"

    def test_small_callers_do_not_overtake_a_large_one(self) -> None:
        gate = Gate(10, 10, LONG, capacity=100)
        large, small = Callers(gate, 100, release=True), Callers(gate, 10, release=True)
        with gate.enter(60):
            large.start()
            small.start()
            assert not large.entered.acquire(blocking=False)
            assert not small.entered.acquire(blocking=False)
        for callers in (large, small):
            callers.await_entries(1)
            callers.join()


class TestClientsThatHangUp:
    def test_are_not_served(self) -> None:
        gate = Gate(1, 0, LONG)
        with pytest.raises(ClientGone), gate.enter(wanted=lambda: False):
            raise AssertionError("it entered")
        with gate.enter():
            pass

    @pytest.mark.defends("hang-up")
    def test_leave_the_queue(self) -> None:
        gate = Gate(1, 1, LONG)
        queued, gone = threading.Event(), threading.Event()
        errors: list[Exception] = []

        def wanted() -> bool:
            queued.set()
            return not gone.is_set()

        def wait() -> None:
            try:
                with gate.enter(wanted=wanted):
                    pass
            except ClientGone as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        following = Callers(gate, release=True)
        with gate.enter():
            thread.start()
            assert queued.wait(LONG)
            gone.set()
            thread.join(LONG)
            assert len(errors) == 1
            following.start()  # into its place
        following.await_entries(1)
        following.join()


class TestShutdown:
    def test_ends_the_waiting_but_not_the_entering(self) -> None:
        shutdown = Shutdown()
        assert shutdown.seconds < 0
        gate = Gate(1, 5, LONG, shutdown=shutdown)
        shutdown.begin()
        with gate.enter():
            assert refusal(gate).retry_after == 1
        with gate.enter():
            pass

    @pytest.mark.defends("shutdown")
    def test_callers_that_wait_already_are_refused(self) -> None:
        shutdown = Shutdown()
        gate = Gate(1, 5, LONG, shutdown=shutdown, shutdown_timeout=0.1)
        waiting = Callers(gate)
        with gate.enter():
            waiting.start()
            assert not waiting.errors
            shutdown.begin()
            waiting.join()
        (error,) = waiting.errors
        assert isinstance(error, Busy)
        assert error.code == "busy"

    def test_the_first_signal_counts(self) -> None:
        shutdown = Shutdown()
        shutdown.begin()
        threading.Event().wait(0.05)
        shutdown.begin()
        assert shutdown.seconds >= 0.05


class TestBudget:
    def test_no_more_than_its_total(self) -> None:
        budget = Budget(100)
        with budget.reserve() as first, budget.reserve() as second:
            first.grow(60)
            second.grow(40)
            for reservation in (first, second):
                with pytest.raises(Busy) as caught:
                    reservation.grow(1)
                assert caught.value.retry_after == 1
        with budget.reserve() as third:
            third.grow(100)

    def test_released_at_the_end(self) -> None:
        budget = Budget(100)
        for _ in range(3):
            with budget.reserve() as reservation:
                reservation.grow(100)
                with pytest.raises(Busy):
                    reservation.grow(1)

    def test_memory_in_use_already_counts_even_beyond_the_total(self) -> None:
        budget = Budget(100)
        with budget.reserve() as reservation, budget.reserve() as other:
            reservation.grow(50)
            reservation.resize(150)
            with pytest.raises(Busy):
                other.grow(1)
            reservation.resize(10)
            other.grow(90)
        with budget.reserve() as reservation:
            reservation.grow(100)
