"""Reports on standard output: a table, JSON Lines, CSV, or plain lines for a camera."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from age_gender.cli.frames import Frame
from age_gender.cli.text import percent, printable
from age_gender.tables import FACE_COLUMNS, face_row
from age_gender.vision.face import Face
from age_gender.vision.pipeline import Result

CSV_COLUMNS = (
    *("file", "seconds", "width", "height"),
    *FACE_COLUMNS,
    *("track", "detector", "model"),
)

STDOUT = "standard output"
MAX_WIDTH = 10_000
"""Characters in the widest table."""


class OutputLost(Exception):
    """The results cannot be written.

    Attributes:
        place: standard output, or the name of a file.
        reader_gone: the reader closed the pipe (``| head``), which is not an error.
    """

    def __init__(self, error: OSError, place: str = STDOUT):
        super().__init__(f"the results cannot be written: {error.strerror}")
        self.place = place
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

    def __init__(self, write: "Callable[[str], None] | None" = None):
        """Write with ``write``, by default to standard output."""
        self._write = write or _write

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        time = {} if frame.seconds is None else {"seconds": frame.seconds}
        self._write(json.dumps({"file": frame.name, **time, **body}) + "\n")

    def close(self) -> None:
        """See `Report`."""


class Csv:
    """One row per face; an image without faces has one row with ``face`` 0."""

    def __init__(
        self, write: "Callable[[str], None] | None" = None, *, has_header: bool = False
    ) -> None:
        """Start without output.

        Args:
            write: by default to standard output.
            has_header: whether the header is there already; else it comes with the first row.
        """
        self._write = write or _write
        self._started = has_header

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:
        """See `Report`."""
        self._write_rows(csv_rows(frame, result, body))

    def close(self) -> None:
        """See `Report`."""
        self._write_rows([])

    def _write_rows(self, rows: list[dict[str, Any]]) -> None:
        self._write(csv_text(rows, with_header=not self._started))
        self._started = True


def csv_rows(frame: Frame, result: Result, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Build a row for each face, or one with ``face`` 0, with keys from `CSV_COLUMNS`."""
    model = body["model"]
    common = {"file": frame.name, "seconds": frame.seconds}
    common |= dict(zip(("width", "height"), result.size, strict=True))
    common |= {"detector": model["detector"], "model": model["attributes"]}
    rows = [
        {**common, **face_row(number, face), "track": face.get("track")}
        for number, face in enumerate(body["details"], start=1)
    ]
    return rows or [{**common, "face": 0}]


def csv_text(rows: list[dict[str, Any]], *, with_header: bool) -> str:
    """Format rows as CSV; booleans as JSON and spreadsheets spell them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if with_header:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        cells = (row.get(name) for name in CSV_COLUMNS)
        writer.writerow(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells)
    return text.getvalue()


class Rows:
    """A table and the model at the end; in a narrow terminal, faces below their image's name."""

    def __init__(self) -> None:
        """Start an empty table."""
        self._images: list[tuple[str, list[list[str]]]] = []
        self._model = Text()

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:  # noqa: ARG002
        """See `Report`."""
        models = result.models
        self._model = Text(f"\n{models.attributes}, licence {models.licence}", overflow="fold")
        cells = [[str(n), *_cells(face)] for n, face in enumerate(result.faces, start=1)]
        self._images.append((printable(frame.label), cells))

    def close(self) -> None:
        """See `Report`."""
        if not self._images:
            return
        terminal = Console()
        wide = Console(width=MAX_WIDTH)
        table = self._table()
        needed = Measurement.get(wide, wide.options, table).maximum
        if not terminal.is_terminal:  # no width to fit into, so nothing is cut
            self._print(table, max(needed, self._model.cell_len), colours=False)
        elif needed <= terminal.width:
            self._print(table, terminal.width, colours=True)
        else:
            self._print(self._list(), terminal.width, colours=True)

    def _print(self, content: RenderableType, width: int, *, colours: bool) -> None:
        # Not printed by rich, which ends the program when the pipe is closed.
        text = io.StringIO()
        Console(file=text, force_terminal=colours, width=width).print(content, self._model)
        _write(text.getvalue())

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("file", "face", "age", "interval", "gender", "box", "reliable"):
            table.add_column(name, no_wrap=True)
        for name, faces in self._images:
            for cells in faces or [["none"]]:
                table.add_row(escape(name) if cells[0] in ("1", "none") else "", *cells)
        return table

    def _list(self) -> Group:
        lines: list[RenderableType] = []
        for name, faces in self._images:
            lines.append(Text(name, style="bold", overflow="fold"))
            for number, age, interval, gender, _, reliable in faces:
                doubt = "" if reliable == "yes" else f", {reliable.replace('no:', 'not reliable:')}"
                text = f"{number}: {age} ({interval}) {gender}{doubt}"
                lines.append(Padding(Text.from_markup(text), (0, 0, 0, 2)))
            if not faces:
                lines.append(Padding("no face", (0, 0, 0, 2)))
        return Group(*lines)


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
        f"{attributes.gender} {percent(attributes.gender_probability)}",
        " ".join(map(str, face.box)),
        "yes" if attributes.reliable else f"[yellow]no: {' '.join(attributes.reasons)}[/]",
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
