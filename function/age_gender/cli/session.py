"""One run over pictures: each is judged, told, and copied; a broken one does not stop the rest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from age_gender.batch.folder_store import FolderStore
from age_gender.cli import sheet_html, sheet_png
from age_gender.cli.copies import Copies
from age_gender.cli.frames import Frame, camera_frames, frames_of
from age_gender.cli.gather import Entry
from age_gender.cli.reports import Report
from age_gender.cli.streams import Interrupts
from age_gender.cli.text import plural, printable
from age_gender.cli.tiles import Sheet, Tile, tiles_of
from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.runtime import Runtime
from age_gender.schema import response_body
from age_gender.vision.decode import DecodedImage
from age_gender.vision.pipeline import Options
from age_gender.vision.render import render_jpeg

SHEETS = {".html": sheet_html.page, ".png": sheet_png.picture}
"""What makes a contact sheet, by the ending of its file."""


@dataclass(frozen=True)
class RunOptions:
    """What is to become of each picture.

    Attributes:
        options: how faces are found and judged; what is rendered follows from the rest.
        report: tells the results.
        drawn: takes copies with boxes and labels, if there are to be any.
        blurred: takes copies without recognisable faces, if there are to be any.
        sheet: file of the contact sheet, if there is to be one; its ending is in `SHEETS`.
        every: seconds between the moments of videos and cameras that are looked at; 0: all.
        most: moments looked at in each video or camera, None for all.
    """

    options: Options
    report: Report
    drawn: Copies | None = None
    blurred: Copies | None = None
    sheet: Path | None = None
    every: float = 1.0
    most: int | None = None


@dataclass
class Session:
    """A run. Its numbers are right at any moment, also after a `Stopped`.

    Attributes:
        runtime: the models.
        wants: see `RunOptions`.
        interrupts: holds back signals while the results of one picture are written.
        notes: for what is to be said beside the results.
        pictures: judged so far.
        faces: found so far.
        failed: files that could not be read so far.
    """

    runtime: Runtime
    wants: RunOptions
    interrupts: Interrupts
    notes: Console
    pictures: int = 0
    faces: int = 0
    failed: int = 0
    _tiles: list[Tile] = field(default_factory=list)

    def read_files(self, entries: Sequence[Entry], *, show_progress: bool) -> None:
        """Judge files, one after the other."""
        with _progress(self.notes, shown=show_progress) as bar:
            overall = bar.add_task("", total=len(entries))
            for entry in entries:
                name = printable(entry.name)
                bar.update(overall, description=escape(name[-40:]))
                with self._failures_told(name), _part(bar) as part:
                    length = _Length(bar, part)
                    shots = frames_of(entry, self.runtime.settings, self.wants.every, length.tell)
                    for shot in islice(shots, self.wants.most if entry.is_video else None):
                        self._judge(shot)
                        length.at(shot)
                bar.advance(overall)

    def read_camera(self, number: int) -> None:
        """Judge what a camera shows, until something stops it."""
        with self._failures_told(f"camera {number}"):
            shots = camera_frames(number, self.runtime.settings, self.wants.every)
            for shot in islice(shots, self.wants.most):
                self._judge(shot)

    def complain(self, name: str, problem: str) -> None:
        """Count and tell a failure."""
        self.failed += 1
        self._say(f"[red]{escape(printable(name))}[/]: {escape(problem)}")

    def note(self, words: str) -> None:
        """Tell something beside the results."""
        self._say(escape(words))

    def write_sheet(self) -> None:
        """Write the contact sheet, if one is wanted, of what was found so far.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        path = self.wants.sheet
        if path is None:
            return
        content = SHEETS[path.suffix.lower()](Sheet(self._tiles, self.pictures, self.failed))
        with FolderStore(path.parent).replacing(path.name, "") as file:
            file.write(content)

    @property
    def summary(self) -> str:
        """The numbers in words."""
        words = f"{plural(self.faces, 'face')} in {plural(self.pictures, 'picture')}"
        return f"{words}, {self.failed} failed" if self.failed else words

    def _say(self, markup: str) -> None:
        self.notes.print(markup, highlight=False, soft_wrap=True)

    def _judge(self, shot: Frame) -> None:
        wants = self.wants
        result = self.runtime.pipeline.run(DecodedImage(shot.image), wants.options)
        with self.interrupts.held():
            self.pictures += 1
            self.faces += len(result.faces)
            if wants.sheet:
                self._tiles += tiles_of(shot, result.faces)
            wants.report.add(shot, result, response_body(result))
            if wants.drawn:
                wants.drawn.write(shot.stem, render_jpeg(shot.image, result.faces, draw=True))
            if wants.blurred and result.jpeg:
                wants.blurred.write(shot.stem, result.jpeg)

    @contextmanager
    def _failures_told(self, name: str) -> Iterator[None]:
        """Tell what is wrong with one file, and go on."""
        try:
            yield
        except ModelUnavailable:  # which no file is to blame for
            raise
        except (AgeGenderError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            self.complain(name, reason or str(error))


class _Length:
    """The progress within one video."""

    def __init__(self, bar: Progress, part: TaskID):
        self._bar = bar
        self._part = part

    def tell(self, seconds: float | None) -> None:
        self._bar.update(self._part, total=seconds, visible=True)

    def at(self, shot: Frame) -> None:
        self._bar.update(self._part, completed=shot.seconds)


@contextmanager
def _part(bar: Progress) -> Iterator[TaskID]:
    part = bar.add_task("  video", total=None, visible=False)
    try:
        yield part
    finally:
        bar.remove_task(part)


def _progress(notes: Console, *, shown: bool) -> Progress:
    # Standard output stays what it is: rich would send it the bar's way, past files and pipes.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not shown,
    )
