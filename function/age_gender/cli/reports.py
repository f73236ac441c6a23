"""Reports on standard output: a table, JSON Lines, CSV, or plain lines for a camera."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from age_gender.cli.frames import Frame
from age_gender.cli.text import printable
from age_gender.vision.face import Face
from age_gender.vision.pipeline import Result

CSV_COLUMNS = (
    *("file", "seconds", "width", "height", "face", "x1", "y1", "x2", "y2", "confidence"),
    *("age", "age_low", "age_high", "gender", "gender_probability", "reliable"),
)

MAX_WIDTH = 10_000
"""Characters in the widest table."""


class OutputLost(Exception):
    """Standard output cannot be written.

    Attributes:
        reader_gone: the reader closed the pipe (``| head``), which is not an error.
    """

    def __init__(self, error: OSError):
        super().__init__(f"the results cannot be written: {error.strerror}")
        self.reader_gone = isinstance(error, BrokenPipeError)


class Report(Protocol):
    """Takes results one at a time. The methods raise `OutputLost`."""

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:
        """Add one result; ``body`` is the service's response to it."""
        ...

    def close(self) -> None:
        """Write what was kept back."""
        ...


class JsonLines:
    """One JSON object per image: the service's response, with the file's name."""

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        time = {} if frame.seconds is None else {"seconds": frame.seconds}
        _write(json.dumps({"file": frame.name, **time, **body}) + "\n")

    def close(self) -> None:
        """See `Report`."""


class Csv:
    """One row per face; an image without faces has one row with ``face`` 0."""

    def __init__(self) -> None:
        """Start without output; the header comes with the first row."""
        self._started = False

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:
        """See `Report`."""
        start = [frame.name, frame.seconds, *result.size]
        rows = [
            [*start, number, *face["box"], face["confidence"], *_attributes(face)]
            for number, face in enumerate(body["details"], start=1)
        ]
        self._write(rows or [[*start, 0, *[None] * (len(CSV_COLUMNS) - 5)]])

    def close(self) -> None:
        """See `Report`."""
        self._write([])

    def _write(self, rows: list[list[Any]]) -> None:
        text = io.StringIO()
        header = [] if self._started else [CSV_COLUMNS]
        self._started = True
        csv.writer(text, lineterminator="\n").writerows([*header, *rows])
        _write(text.getvalue())


class Rows:
    """A table at the end."""

    def __init__(self) -> None:
        """Start an empty table."""
        self._table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
        )
        self._table.add_column("file", overflow="fold")
        for name in ("face", "age", "interval", "gender", "box", "reliable"):
            self._table.add_column(name, no_wrap=True)

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        name = escape(printable(frame.label))
        if not result.faces:
            self._table.add_row(name, "none")
        for number, face in enumerate(result.faces, start=1):
            self._table.add_row(name if number == 1 else "", str(number), *_cells(face))

    def close(self) -> None:
        """See `Report`."""
        if not self._table.row_count:
            return
        terminal = Console()
        width = terminal.width
        if not terminal.is_terminal:  # no width to fit into, so nothing is cut
            wide = Console(width=MAX_WIDTH)
            width = Measurement.get(wide, wide.options, self._table).maximum
        # Not printed by rich, which ends the program when the pipe is closed.
        text = io.StringIO()
        Console(file=text, force_terminal=terminal.is_terminal, width=width).print(self._table)
        _write(text.getvalue())


class Lines:
    """One line of text per face, at once."""

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        for line in _lines(frame, result):
            _write(printable(line) + "\n")

    def close(self) -> None:
        """See `Report`."""


def _lines(frame: Frame, result: Result) -> Iterator[str]:
    if not result.faces:
        yield f"{frame.label}: no face"
    for number, face in enumerate(result.faces, start=1):
        age, interval, gender, *_ = _cells(face)
        yield f"{frame.label}: face {number}, {age} ({interval}) {gender}"


def _cells(face: Face) -> list[str]:
    attributes = face.attributes
    assert attributes is not None  # `predict` always asks for them
    low, high = attributes.age_interval
    return [
        f"{attributes.age:.0f}",
        f"{low:.0f}-{high:.0f}",
        f"{attributes.gender} {attributes.gender_probability:.0%}",
        " ".join(map(str, face.box)),
        "yes" if attributes.reliable else "[yellow]no[/]",
    ]


def _attributes(face: dict[str, Any]) -> list[Any]:
    """Attributes of one entry of ``details``, in the order of `CSV_COLUMNS`."""
    return [
        *(face["age"], *face["age_interval"], face["gender"], face["gender_probability"]),
        str(face["reliable"]).lower(),
    ]


def _write(text: str) -> None:
    """Write and flush, so that nothing is lost if the program is killed.

    File names that are not UTF-8 are written byte for byte.
    """
    try:
        sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputLost(error) from error
