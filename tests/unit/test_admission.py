"""The gate: who gets in, who waits, who is turned away."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from age_gender.errors import Busy, ClientGone
from age_gender.limits.admission import Budget, Gate, Shutdown

LONG = 60.0
"""A timeout that no test uses up."""


class Visitors:
    """Threads that enter a gate and stay until they are let go."""

    def __init__(self, gate: Gate):
        self._gate = gate
        self._leave = threading.Event()
        self.entered = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def send(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._visit, daemon=True)
            thread.start()
            self._threads.append(thread)

    def await_entries(self, count: int) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=LONG)

    def dismiss(self) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(LONG)
            assert not thread.is_alive()

    def _visit(self) -> None:
        with self._gate.enter():
            self.entered.release()
            self._leave.wait(LONG)


def refusal(gate: Gate) -> Busy:
    with pytest.raises(Busy) as caught, gate.enter():
        pass
    return caught.value


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads are about to do."""
    pause = threading.Event()
    for _ in range(int(LONG / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not happen")


class TestGate:
    @pytest.mark.defends("overload")
    def test_width_at_once_and_no_more(self) -> None:
        gate = Gate(3, 0, LONG)
        visitors = Visitors(gate)
        visitors.send(3)
        visitors.await_entries(3)
        assert refusal(gate).retry_after == 1
        visitors.dismiss()
        with gate.enter():
            pass

    def test_waiting_visitors_get_in_when_others_leave(self) -> None:
        gate = Gate(1, 2, LONG)
        first, waiting = Visitors(gate), Visitors(gate)
        first.send(1)
        first.await_entries(1)
        waiting.send(2)
        until(lambda: len(gate._waiting) == 2)
        # The queue is full now: refused at once, although timeout is long.
        assert refusal(gate).code == "busy"
        assert not waiting.entered.acquire(blocking=False)
        first.dismiss()
        waiting._leave.set()
        waiting.await_entries(2)
        waiting.dismiss()

    @pytest.mark.defends("overload")
    def test_patience_ends(self) -> None:
        gate = Gate(1, 1, 0.01)
        with gate.enter():
            assert refusal(gate).retry_after == 5
            # Whoever gave up has left the queue too.
            assert refusal(gate).retry_after == 5
        with gate.enter():
            pass

    def test_a_failure_inside_frees_the_place(self) -> None:
        gate = Gate(1, 0, LONG)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError), gate.enter():
                _ = 1 / 0
        with gate.enter():
            pass

    def test_never_more_inside_than_its_width(self) -> None:
        gate = Gate(3, 100, LONG)
        inside, most, lock = 0, 0, threading.Lock()

        def visit(_: int) -> None:
            nonlocal inside, most
            with gate.enter():
                with lock:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.001)
                with lock:
                    inside -= 1

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(visit, range(60)))
        assert most <= 3
        assert inside == 0

    def test_turns_are_taken_in_order(self) -> None:
        gate = Gate(1, 20, LONG)
        order: list[int] = []

        def visit(number: int) -> None:
            with gate.enter():
                order.append(number)

        threads = [threading.Thread(target=visit, args=(number,)) for number in range(20)]
        with gate.enter():
            for number, thread in enumerate(threads):
                thread.start()
                until(lambda waiting=number + 1: len(gate._waiting) == waiting)  # type: ignore[misc]
        for thread in threads:
            thread.join(LONG)
        assert order == list(range(20))


class TestRoom:
    @pytest.mark.defends("concurrent-pixels")
    def test_sizes_add_up_to_no_more_than_the_room(self) -> None:
        gate = Gate(10, 0, 0.01, room=100)
        with gate.enter(60):
            with gate.enter(40):
                assert refusal_of(gate, 1).code == "busy"
            with gate.enter(40):
                pass

    def test_what_is_larger_than_the_room_goes_in_alone(self) -> None:
        gate = Gate(10, 0, 0.01, room=100)
        with gate.enter(500):
            assert refusal_of(gate, 1).code == "busy"
        with gate.enter(1):
            assert refusal_of(gate, 500).code == "busy"

    def test_small_ones_do_not_overtake_a_large_one_for_ever(self) -> None:
        gate = Gate(10, 10, LONG, room=100)
        entered = threading.Event()

        def large() -> None:
            with gate.enter(100):
                entered.set()

        with gate.enter(60):
            thread = threading.Thread(target=large)
            thread.start()
            until(lambda: len(gate._waiting) == 1)
            small = threading.Thread(target=lambda: gate.enter(10).__enter__(), daemon=True)
            small.start()
            until(lambda: len(gate._waiting) == 2)
            assert not entered.is_set()
        thread.join(LONG)
        assert entered.is_set()
        small.join(LONG)


def refusal_of(gate: Gate, size: float) -> Busy:
    with pytest.raises(Busy) as caught, gate.enter(size):
        pass
    return caught.value


class TestClientsThatHangUp:
    def test_are_not_served(self) -> None:
        gate = Gate(1, 0, LONG)
        with pytest.raises(ClientGone), gate.enter(wanted=lambda: False):
            raise AssertionError("it went in")
        with gate.enter():
            pass

    @pytest.mark.defends("hang-up")
    def test_leave_the_queue(self) -> None:
        gate = Gate(1, 1, LONG)
        there = threading.Event()
        outcome: list[Exception] = []

        def wait() -> None:
            try:
                with gate.enter(wanted=lambda: not there.is_set()):
                    pass
            except ClientGone as error:
                outcome.append(error)

        with gate.enter():
            thread = threading.Thread(target=wait)
            thread.start()
            until(lambda: len(gate._waiting) == 1)
            there.set()
            thread.join(LONG)
            assert len(outcome) == 1
            assert not gate._waiting


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
    def test_those_that_wait_already_get_their_answer(self) -> None:
        shutdown = Shutdown()
        gate = Gate(1, 5, LONG, shutdown=shutdown, shutdown_timeout=0.1)
        outcome: list[Busy] = []
        with gate.enter():
            thread = threading.Thread(target=lambda: outcome.append(refusal(gate)))
            thread.start()
            until(lambda: len(gate._waiting) == 1)
            assert not outcome
            shutdown.begin()
            thread.join(LONG)
        assert outcome[0].code == "busy"

    def test_the_first_signal_counts(self) -> None:
        shutdown = Shutdown()
        shutdown.begin()
        threading.Event().wait(0.05)
        shutdown.begin()
        assert shutdown.seconds >= 0.05


class TestBudget:
    def test_no_more_than_there_is(self) -> None:
        budget = Budget(100)
        with budget.reserve() as first, budget.reserve() as second:
            first.grow(60)
            second.grow(40)
            for share in (first, second):
                with pytest.raises(Busy) as caught:
                    share.grow(1)
                assert caught.value.retry_after == 1
        with budget.reserve() as third:
            third.grow(100)

    def test_given_back_at_the_end(self) -> None:
        budget = Budget(100)
        for _ in range(3):
            with budget.reserve() as share:
                share.grow(100)
                with pytest.raises(Busy):
                    share.grow(1)

    def test_what_is_there_already_counts_even_if_it_is_too_much(self) -> None:
        budget = Budget(100)
        with budget.reserve() as share, budget.reserve() as other:
            share.grow(50)
            share.resize(150)
            with pytest.raises(Busy):
                other.grow(1)
            share.resize(10)
            other.grow(90)
        with budget.reserve() as share:
            share.grow(100)
