"""What goes to standard output: a table, JSON Lines or CSV, or lines as a camera goes on."""

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

WIDEST = 10_000
"""Columns of the widest table."""


class OutputLost(Exception):
    """Standard output takes no more.

    Attributes:
        reader_gone: because nobody reads it any more (``| head``), which is no mistake.
    """

    def __init__(self, error: OSError):
        super().__init__(f"the results cannot be written: {error.strerror}")
        self.reader_gone = isinstance(error, BrokenPipeError)


class Report(Protocol):
    """Takes results one by one. Its methods raise `OutputLost`."""

    def add(self, shot: Frame, result: Result, body: dict[str, Any]) -> None:
        """Tell one result; ``body`` is what the service would answer."""
        ...

    def close(self) -> None:
        """Tell what has waited for the end."""
        ...


class JsonLines:
    """One JSON object a picture: the service's answer, with the file's name."""

    def add(self, shot: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        moment = {} if shot.seconds is None else {"seconds": shot.seconds}
        _write(json.dumps({"file": shot.name, **moment, **body}) + "\n")

    def close(self) -> None:
        """See `Report`."""


class Csv:
    """One row a face; a picture without any has one with ``face`` 0."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._begun = False

    def add(self, shot: Frame, result: Result, body: dict[str, Any]) -> None:
        """See `Report`."""
        start = [shot.name, shot.seconds, *result.size]
        rows = [
            [*start, number, *face["box"], face["confidence"], *_told(face)]
            for number, face in enumerate(body["details"], start=1)
        ]
        self._write(rows or [[*start, 0, *[None] * (len(CSV_COLUMNS) - 5)]])

    def close(self) -> None:
        """See `Report`."""
        self._write([])

    def _write(self, rows: list[list[Any]]) -> None:
        text = io.StringIO()
        header = [] if self._begun else [CSV_COLUMNS]
        self._begun = True
        csv.writer(text, lineterminator="\n").writerows([*header, *rows])
        _write(text.getvalue())


class Rows:
    """A table at the end."""

    def __init__(self) -> None:
        """Begin an empty table."""
        self._table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
        )
        self._table.add_column("file", overflow="fold")
        for name in ("face", "age", "interval", "sex", "box", "reliable"):
            self._table.add_column(name, no_wrap=True)

    def add(self, shot: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        name = escape(printable(shot.label))
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
        if not terminal.is_terminal:  # nothing that it has to fit into, so nothing is cut
            wide = Console(width=WIDEST)
            width = Measurement.get(wide, wide.options, self._table).maximum
        # Not printed by rich, which would end the program when the reader has gone.
        text = io.StringIO()
        Console(file=text, force_terminal=terminal.is_terminal, width=width).print(self._table)
        _write(text.getvalue())


class Lines:
    """A line of words for each face, as soon as it is found."""

    def add(self, shot: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        for line in _lines(shot, result):
            _write(printable(line) + "\n")

    def close(self) -> None:
        """See `Report`."""


def _lines(shot: Frame, result: Result) -> Iterator[str]:
    if not result.faces:
        yield f"{shot.label}: no face"
    for number, face in enumerate(result.faces, start=1):
        age, interval, gender, *_ = _cells(face)
        yield f"{shot.label}: face {number}, {age} ({interval}) {gender}"


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


def _told(face: dict[str, Any]) -> list[Any]:
    """Age and sex of one of the answer's details, in the order of `CSV_COLUMNS`."""
    return [
        *(face["age"], *face["age_interval"], face["gender"], face["gender_probability"]),
        str(face["reliable"]).lower(),
    ]


def _write(text: str) -> None:
    """Write and flush, so that nothing is lost whatever happens next.

    File names may hold bytes that are no UTF-8; they go out as they came in.
    """
    try:
        sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputLost(error) from error
