"""Signals that wait for what must not be torn, and names that cannot do harm."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from age_gender.cli.predict import predict_all
from age_gender.cli.streams import Interrupts, Stopped
from age_gender.cli.text import plural, printable


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Whoever started the tests may have them ignore Ctrl-C, as shells do in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_is_going_on(number: signal.Signals) -> None:
    done: list[str] = []

    def work() -> None:
        with Interrupts().caught():
            os.kill(os.getpid(), number)
            done.append("after")

    with pytest.raises(Stopped) as stopped:
        work()
    assert done == []
    assert stopped.value.code == 128 + number
    assert isinstance(stopped.value, KeyboardInterrupt)


def test_what_is_held_is_finished_first() -> None:
    interrupts = Interrupts()
    done: list[str] = []

    def work() -> None:
        with interrupts.caught():
            with interrupts.held():
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("held")
            done.append("after")

    with pytest.raises(Stopped):
        work()
    assert done == ["held"]


def test_a_signal_at_the_very_end_loses_no_summary() -> None:
    """It arrives while the report is written, which is finished, and the numbers are told."""
    interrupts = Interrupts()
    said: list[str] = []
    report = SimpleNamespace(close=lambda: os.kill(os.getpid(), signal.SIGTERM))
    run = SimpleNamespace(
        runtime=SimpleNamespace(estimator=lambda: None),
        interrupts=interrupts,
        wants=SimpleNamespace(report=report),
        read_files=lambda *_, **__: None,
        write_sheet=lambda: None,
        note=said.append,
        pictures=2,
        failed=0,
        summary="3 faces in 2 pictures",
    )
    found = SimpleNamespace(entries=[], problems=[], empty=[], copies=[], videos=[])
    with interrupts.caught():
        status = predict_all(run, found, None, streaming=False)
    assert said == ["3 faces in 2 pictures"]
    assert status == 143


def test_a_failure_within_is_not_hidden_by_the_signal() -> None:
    interrupts = Interrupts()

    def work() -> None:
        with interrupts.caught(), interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        work()


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts().caught():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_to_be_ignored_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().caught():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("naïve ☺ 写真.jpg", "naïve ☺ 写真.jpg"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31m\x9b\u202e", r"\x1b[31m\x9b\u202e"),
        (os.fsdecode(b"\xff"), r"\udcff"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_plural() -> None:
    assert plural(1, "face") == "1 face"
    assert plural(0, "face") == "0 faces"
    assert plural(1234, "copy", "copies") == "1,234 copies"
