"""One thread enforces all time limits."""

import threading

from age_gender.edge.watchdog import Watchdog

LONG = 60.0


def test_a_check_is_called_while_inside_and_not_after() -> None:
    dog = Watchdog(step=0.005)
    called = threading.Semaphore(0)

    def check() -> bool:
        called.release()
        return False

    with dog.watch(check):
        for _ in range(3):
            assert called.acquire(timeout=LONG)
    with dog.watch(lambda: True):  # let a round that had begun come to its end
        threading.Event().wait(0.05)
    while called.acquire(blocking=False):
        pass
    assert not called.acquire(timeout=0.05)


def test_a_check_that_returned_true_is_not_called_again() -> None:
    dog = Watchdog(step=0.005)
    calls: list[int] = []

    def check() -> bool:
        calls.append(1)
        return True

    with dog.watch(check):
        threading.Event().wait(0.1)
    assert calls == [1]


def test_one_thread_for_all_checks() -> None:
    before = threading.active_count()
    dog = Watchdog(step=0.005)
    with dog.watch(lambda: False), dog.watch(lambda: False), dog.watch(lambda: False):
        assert threading.active_count() == before + 1
