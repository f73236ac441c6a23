"""Standard streams that may be closed, and signals that must not tear a result apart."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Somebody wants the program to end; ``code`` is its exit status then, as shells give it."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class Interrupts:
    """Turns Ctrl-C and polite kills into `Stopped`, at once or after what must not be torn."""

    def __init__(self) -> None:
        self._held = False
        self._pending: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals while the block runs; those that are to be ignored stay so."""
        heard = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._arrived) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the block finish first; what arrived meanwhile is raised after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending is not None:
            number, self._pending = self._pending, None
            raise Stopped(number)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if not self._held:
            raise Stopped(number)
        self._pending = number


def open_missing() -> None:
    """Put the null device where standard streams were closed before the start (``>&-``).

    Otherwise Python has None there, and the first file opened takes the stream's number.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def abandon_stdout() -> None:
    """Send the rest of standard output nowhere: its reader has gone (``| head``)."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
