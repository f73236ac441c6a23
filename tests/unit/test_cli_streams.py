"""Signals that wait for results to be complete, and text that is safe to print."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from age_gender.cli.runner import run_all
from age_gender.cli.streams import Interrupts, Stopped, without_native_notes
from age_gender.cli.text import plural, printable


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Handle Ctrl-C, which shells have background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
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


def test_a_held_block_is_finished_first() -> None:
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
    """It arrives while the report is written: that is finished, and the counts are printed."""
    interrupts = Interrupts()
    printed: list[str] = []
    report = SimpleNamespace(close=lambda: os.kill(os.getpid(), signal.SIGTERM))
    spec = SimpleNamespace(chip=SimpleNamespace(size=8))
    estimator = SimpleNamespace(spec=spec, estimate=lambda _: None)
    session: Any = SimpleNamespace(
        runtime=SimpleNamespace(estimator=lambda: estimator),
        interrupts=interrupts,
        options=SimpleNamespace(report=report),
        read_files=lambda *_, **__: None,
        write_sheet=lambda: None,
        note=printed.append,
        frames=2,
        failed=0,
        summary="3 faces in 2 pictures",
    )
    inputs: Any = SimpleNamespace(
        files=[], problems=[], empty=[], copies=[], videos=[], others=[], hidden=0
    )
    with interrupts.caught():
        status = run_all(session, inputs, None, streaming=False)
    assert printed == ["3 faces in 2 pictures"]
    assert status == 143


def test_a_failure_in_a_held_block_is_not_hidden_by_the_signal() -> None:
    interrupts = Interrupts()

    def work() -> None:
        with interrupts.caught(), interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("own failure")

    with pytest.raises(ValueError, match="own failure"):
        work()


def test_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts().caught():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_native_notes_are_dropped_and_the_rest_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_notes():
        os.write(2, b"INFO: started\nERROR: it is broken\nINFO: and more")
    os.write(2, b"INFO: later\n")
    assert capfd.readouterr().err == "ERROR: it is broken\nINFO: later\n"


def test_ignored_signals_stay_ignored() -> None:
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
