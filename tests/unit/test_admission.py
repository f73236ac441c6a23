"""The gate: who gets in, who waits, who is turned away."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from age_gender.admission import Gate
from age_gender.errors import Busy

LONG = 60.0
"""A patience that no test uses up."""


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
        until(lambda: gate._places._value == 0)
        # The queue is full now: refused at once, although patience is long.
        assert refusal(gate).code == "busy"
        assert not waiting.entered.acquire(blocking=False)
        first.dismiss()
        waiting._leave.set()
        waiting.await_entries(2)
        waiting.dismiss()

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
