"""A file that collects results over several runs: what it has already is not done again."""

import csv
import fcntl
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from age_gender.cli.reports import CSV_COLUMNS, OutputLost
from age_gender.errors import AgeGenderError

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
CSV_SUFFIXES = frozenset({".csv"})

_JSON_START = b'{"file": '
_CSV_HEADER = ",".join(CSV_COLUMNS).encode()


class UnusableFile(AgeGenderError):
    """The file holds something else than results of the same kind, or cannot be written."""

    code = "results-file"


@dataclass(frozen=True)
class Settled:
    """One row of an earlier run.

    Attributes:
        name: of the file that it is about.
        models: detector, and age and gender model.
        is_video: whether it is about a frame of a video.
        start: offset of its first byte.
    """

    name: str
    models: tuple[str, str]
    is_video: bool
    start: int


@dataclass
class ResultsFile:
    """The file of ``--output``, open for more rows.

    A picture is done when its rows are complete. Of a video that was the last one, more frames may
    be missing, so its rows are dropped and it is read again.

    Attributes:
        path: the file.
        as_csv: whether it is CSV and not JSON Lines.
        done: names of files that need not be read again.
        is_new: whether it has no row, nor a header.
    """

    path: Path
    as_csv: bool
    done: set[str] = field(default_factory=set)
    is_new: bool = True
    _file: IO[bytes] = field(init=False, repr=False)

    @classmethod
    def opened(
        cls,
        path: Path,
        models: tuple[str, str],
        inputs: Collection[str],
        *,
        as_csv: bool,
        overwrite: bool,
    ) -> "ResultsFile":
        """Open or create the file.

        Args:
            path: the file.
            models: names of the detector and of the age and gender model of this run; those of
                earlier runs have to be the same.
            inputs: names of the files that this run reads.
            as_csv: whether it is CSV and not JSON Lines.
            overwrite: whether to drop what it has.

        Raises:
            UnusableFile: it holds something else, other models made it, another run writes to it,
                or it cannot be written.
        """
        results = cls(path, as_csv)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise UnusableFile(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end = 0 if overwrite else results._read(file, models, inputs)
            file.truncate(end)
            file.seek(end)
        except BlockingIOError:
            file.close()
            raise UnusableFile(f"{path}: another run is writing to it") from None
        except UnusableFile:
            file.close()
            raise
        results.is_new = end == 0
        results._file = file
        return results

    def write(self, text: str) -> None:
        """Append text at once; file names that are not UTF-8 are written byte for byte.

        Raises:
            OutputLost: it cannot be written, for example because the disk is full.
        """
        try:
            self._file.write(text.encode(errors="surrogateescape"))
            self._file.flush()
        except OSError as error:
            raise OutputLost(error, str(self.path)) from error

    def close(self) -> None:
        """Let other runs write to it."""
        self._file.close()

    def _read(self, file: IO[bytes], models: tuple[str, str], inputs: Collection[str]) -> int:
        """Collect the names that are done; return where to go on writing."""
        rows: list[Settled] = []
        end = 0
        try:
            for row, row_end in _csv_rows(file) if self.as_csv else _json_rows(file):
                end = row_end
                if row is not None:
                    rows.append(row)
        except (ValueError, KeyError, TypeError, csv.Error):
            raise UnusableFile(
                f"{self.path} holds something else than results of this kind: name another file, "
                "or add --overwrite"
            ) from None
        other = next((row.models for row in rows if row.models != models), None)
        if other:
            raise UnusableFile(
                f"{self.path} was made by {' and '.join(other)}, but this run uses "
                f"{' and '.join(models)}: use the same, name another file, or add --overwrite"
            )
        incomplete = os.fstat(file.fileno()).st_size > end
        last = rows[-1] if rows else None
        # What this run does not read again, such as a camera's frames, stays.
        if last and last.name in inputs and (last.is_video or (incomplete and self.as_csv)):
            while rows and rows[-1].name == last.name:
                end = rows.pop().start
        self.done = {row.name for row in rows}
        return end


def _json_rows(file: IO[bytes]) -> Iterator[tuple[Settled | None, int]]:
    """Yield each complete line with the offset of its end."""
    start = 0
    for line in file:
        if not line.endswith(b"\n"):
            if not _JSON_START.startswith(line[: len(_JSON_START)]):
                raise ValueError("no row of ours")
            return
        row: dict[str, Any] = json.loads(line)
        models = row["model"]["detector"], row["model"]["attributes"]
        yield Settled(row["file"], models, "seconds" in row, start), start + len(line)
        start += len(line)


def _csv_rows(file: IO[bytes]) -> Iterator[tuple[Settled | None, int]]:
    """Yield each complete row with the offset of its end; None for the header."""
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in file:
            if not line.endswith(b"\n"):
                if end == 0 and not _CSV_HEADER.startswith(line):
                    raise ValueError("no header of ours")
                return
            end += len(line)
            yield line.decode(errors="surrogateescape")

    reader = csv.reader(lines())
    start = 0
    for number, cells in enumerate(reader):
        if number == 0:
            if tuple(cells) != CSV_COLUMNS:
                raise ValueError("other columns")
            yield None, end
        elif len(cells) == len(CSV_COLUMNS):
            row = dict(zip(CSV_COLUMNS, cells, strict=True))
            models = row["detector"], row["model"]
            yield Settled(row["file"], models, bool(row["seconds"]), start), end
        start = end
