"""Standard streams that may be closed, and signals that wait for a result to be complete."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal asks the program to end; ``code`` is the exit status for it, as in shells."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class Interrupts:
    """Turns SIGINT and SIGTERM into `Stopped`, at once or after a block that must complete."""

    def __init__(self) -> None:
        self._held = False
        self._pending: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals while the block runs, except those that the process ignores."""
        handled = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._arrived) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay signals until the block ends."""
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
    """Open the null device in place of standard streams that are closed (``>&-``).

    Python has None for those, and the next file opened would take the stream's number.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


@contextmanager
def without_native_notes() -> Iterator[None]:
    """Drop what native libraries print as ``INFO`` while the block runs, and keep the rest.

    LiteRT has no setting for its line about XNNPACK, which it prints once in a process, into
    whatever a terminal shows at that moment.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as printed:
        number = sys.__stderr__.fileno() if sys.__stderr__ else 2
        kept = os.dup(number)
        os.dup2(printed.fileno(), number)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, number)
            os.close(kept)
            printed.seek(0)
            os.write(number, re.sub(rb"(?m)^INFO: .*\n?", b"", printed.read()))


def abandon_stdout() -> None:
    """Discard further output: the reader has closed the pipe (``| head``)."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
