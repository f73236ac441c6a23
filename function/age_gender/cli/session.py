"""Runs the pipeline on one frame after another, and writes reports, copies and contact sheet."""

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
from age_gender.cli.inputs import STDIN, InputFile
from age_gender.cli.reports import Report
from age_gender.cli.streams import Interrupts
from age_gender.cli.text import ending, plural, printable
from age_gender.cli.tiles import Sheet, Tile, summary, tiles_of
from age_gender.cli.tracks import Tracker
from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.runtime import Runtime
from age_gender.schema import response_body
from age_gender.vision.decode import DecodedImage
from age_gender.vision.pipeline import Options
from age_gender.vision.render import render_jpeg

MIN_NAME = 8
"""Characters of a name in the line of progress."""
SHEETS = {".html": sheet_html.render_html, ".png": sheet_png.render_png}
"""Renders a contact sheet, by the suffix of its file."""


@dataclass(frozen=True)
class RunOptions:
    """What to do with each frame.

    Attributes:
        pipeline: the pipeline's options.
        report: prints the results.
        drawn: takes copies with boxes and labels, if any.
        blurred: takes copies with blurred faces, if any.
        sheet: file of the contact sheet, if any; its suffix is in `SHEETS`.
        every: seconds between the frames of a video or camera; 0 for all frames.
        max_frames: maximum frames from each video or camera; None for all.
        done: names of files that an earlier run finished, skipped.
    """

    pipeline: Options
    report: Report
    drawn: Copies | None = None
    blurred: Copies | None = None
    sheet: Path | None = None
    every: float = 1.0
    max_frames: int | None = None
    done: frozenset[str] = frozenset()


@dataclass
class Session:
    """One run. Its counts are correct at any time, also after a `Stopped`.

    Attributes:
        runtime: the models.
        options: what to do with each frame.
        interrupts: delays signals while one frame's results are written.
        notes: console for everything but results.
        frames: frames processed so far, still images included.
        faces: faces detected so far.
        people: the same, with the faces of one track in a video counted once.
        failed: files that could not be read so far.
    """

    runtime: Runtime
    options: RunOptions
    interrupts: Interrupts
    notes: Console
    frames: int = 0
    faces: int = 0
    people: int = 0
    failed: int = 0
    _tiles: list[Tile] = field(default_factory=list)

    def read_files(self, files: Sequence[InputFile], *, show_progress: bool) -> None:
        """Process files, one after the other, except those that are done."""
        done = [file for file in files if self._is_done(file)]
        if done:
            self.note(f"skipped {plural(len(done), 'file')} that an earlier run finished")
            self._reserve_copies(done)
        files = [file for file in files if not self._is_done(file)]
        with _progress(self.notes, shown=show_progress) as bar:
            overall = bar.add_task("", total=len(files))
            for file in files:
                name = printable(file.name)
                shown = ending(name, max(MIN_NAME, self.notes.width // 3))
                bar.update(overall, description=escape(shown))
                with self._reported_failures(name), _subtask(bar) as subtask:
                    position = _Position(bar, subtask)
                    frames = frames_of(
                        file, self.runtime.settings, self.options.every, position.set_length
                    )
                    max_frames = self.options.max_frames if file.is_video else None
                    tracker = Tracker() if file.is_video else None
                    for frame in islice(frames, max_frames):
                        self._process(frame, tracker)
                        position.advance_to(frame)
                bar.advance(overall)

    def read_camera(self, number: int) -> None:
        """Process a camera's frames until something stops it."""
        with self._reported_failures(f"camera {number}"):
            frames = camera_frames(number, self.runtime.settings, self.options.every)
            tracker = Tracker()
            for frame in islice(frames, self.options.max_frames):
                self._process(frame, tracker)

    def report_failure(self, name: str, problem: str) -> None:
        """Count and print a failure."""
        self.failed += 1
        self._print(f"[red]{escape(printable(name))}[/]: {escape(problem)}")

    def note(self, text: str) -> None:
        """Print a remark, apart from the results."""
        self._print(escape(text))

    def write_sheet(self) -> None:
        """Write the contact sheet, if requested, of the faces so far.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        path = self.options.sheet
        if path is None:
            return
        content = SHEETS[path.suffix.lower()](Sheet(self._tiles, self.frames, self.failed))
        with FolderStore(path.parent).replacing(path.name, "") as file:
            file.write(content)

    @property
    def summary(self) -> str:
        """The counts as text."""
        text = summary(self.faces, self.people, self.frames)
        return f"{text}, {self.failed} failed" if self.failed else text

    def _is_done(self, file: InputFile) -> bool:
        return file.name in self.options.done and file.name != STDIN

    def _reserve_copies(self, files: Sequence[InputFile]) -> None:
        """Leave their copies' names to them, as if they had been written again."""
        for copies in filter(None, (self.options.drawn, self.options.blurred)):
            for file in files:
                copies.reserve(file.relative.with_suffix(""))

    def _print(self, markup: str) -> None:
        self.notes.print(markup, highlight=False, soft_wrap=True)

    def _process(self, frame: Frame, tracker: Tracker | None) -> None:
        options = self.options
        result = self.runtime.pipeline.run(
            DecodedImage(frame.image, frame.warnings), options.pipeline
        )
        for warning in frame.warnings:
            self.note(f"{printable(frame.label)}: {warning}")
        with self.interrupts.held():
            self.frames += 1
            self.faces += len(result.faces)
            body = response_body(result)
            tracks = None
            if tracker is None:
                self.people += len(result.faces)
            else:
                self.people -= len(tracker.tracks)
                tracks = tracker.add(result.faces)
                self.people += len(tracker.tracks)
                for details, track in zip(body["details"], tracks, strict=True):
                    details["track"] = track.number
                body["tracks"] = [track.body for track in tracker.tracks]
            if options.sheet:
                self._tiles += tiles_of(frame, result.faces, tracks)
            options.report.add(frame, result, body)
            if options.drawn:
                jpeg = render_jpeg(frame.image, result.faces, draw=True)
                options.drawn.write(frame.stem, jpeg)
            if options.blurred and result.jpeg:
                options.blurred.write(frame.stem, result.jpeg)

    @contextmanager
    def _reported_failures(self, name: str) -> Iterator[None]:
        """Report what is wrong with one file, and continue."""
        try:
            yield
        except ModelUnavailable:  # not the file's fault
            raise
        except (AgeGenderError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            self.report_failure(name, reason or str(error))


class _Position:
    """Progress within one video."""

    def __init__(self, bar: Progress, task: TaskID):
        self._bar = bar
        self._task = task

    def set_length(self, seconds: float | None) -> None:
        self._bar.update(self._task, total=seconds, visible=True)

    def advance_to(self, frame: Frame) -> None:
        self._bar.update(self._task, completed=frame.seconds)


@contextmanager
def _subtask(bar: Progress) -> Iterator[TaskID]:
    task = bar.add_task("  video", total=None, visible=False)
    try:
        yield task
    finally:
        bar.remove_task(task)


def _progress(notes: Console, *, shown: bool) -> Progress:
    # Otherwise rich redirects standard output through the bar, past files and pipes.
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
