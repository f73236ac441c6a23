"""One thread for all that may take too long."""

import threading

from age_gender.edge.watchdog import Watchdog

LONG = 60.0


def test_checks_are_asked_while_inside_and_not_after() -> None:
    dog = Watchdog(step=0.005)
    asked = threading.Semaphore(0)
    with dog.watch(lambda: bool(asked.release())):
        for _ in range(3):
            assert asked.acquire(timeout=LONG)
    assert not dog._checks
    with dog.watch(lambda: True):  # after another round, what comes is from that round at most
        threading.Event().wait(0.05)
    while asked.acquire(blocking=False):
        pass
    assert not asked.acquire(timeout=0.05)


def test_a_check_that_has_acted_is_asked_once() -> None:
    dog = Watchdog(step=0.005)
    asked: list[int] = []

    def act() -> bool:
        asked.append(1)
        return True

    with dog.watch(act):
        threading.Event().wait(0.1)
    assert asked == [1]


def test_one_thread_for_all() -> None:
    before = threading.active_count()
    dog = Watchdog(step=0.005)
    with dog.watch(lambda: False), dog.watch(lambda: False), dog.watch(lambda: False):
        assert threading.active_count() == before + 1
