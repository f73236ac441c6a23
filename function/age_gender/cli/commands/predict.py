"""The command ``predict``."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from age_gender.cli.console import fail, notes, require_models, usable_settings
from age_gender.errors import ModelUnavailable
from age_gender.vision.detectors.registry import DetectorName

if TYPE_CHECKING:
    from age_gender.cli.copies import Copies
    from age_gender.cli.reports import Report

SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of ``--every``."""


def _seconds(text: str) -> float:
    """Read a duration such as ``500ms``, ``1s``, ``2.5`` or ``10min``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|)", str(text))
    if not match:
        raise typer.BadParameter("use a duration such as 500ms, 1s or 2min")
    return float(match[1]) * SECONDS[match[2]]


def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pictures, videos, folders of pictures, quoted patterns, or `-` for a picture on "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    camera: Annotated[
        int | None, typer.Option(min=0, help="Use this camera instead; the first is 0.")
    ] = None,
    detector: Annotated[
        DetectorName,
        typer.Option(help="`accurate` finds far more faces.", rich_help_panel="Faces"),
    ] = "accurate",
    confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Minimum score of a face.", rich_help_panel="Faces"),
    ] = 0.5,
    nms: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="IoU above which two boxes count as one face.",
            rich_help_panel="Faces",
        ),
    ] = 0.5,
    min_face: Annotated[
        int | None,
        typer.Option(min=1, help="Smallest face in pixels.", rich_help_panel="Faces"),
    ] = None,
    over_age: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=100,
            help="With --json: probability of being at least this old; repeatable. "
            "No proof of age.",
            rich_help_panel="Faces",
        ),
    ] = None,
    every: Annotated[
        float,
        typer.Option(
            parser=_seconds,
            metavar="TIME",
            help="Interval between frames: `500ms`, `1s`, `2min`; `0` takes all.",
            rich_help_panel="Videos and cameras",
        ),
    ] = "1s",  # type: ignore[assignment]  # parsed
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum frames from each; by default all, from a camera until Ctrl-C.",
            rich_help_panel="Videos and cameras",
        ),
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json", help="JSON Lines: one object per picture.", rich_help_panel="Results"
        ),
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="CSV: one row per face.", rich_help_panel="Results")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with boxes and labels.", rich_help_panel="Results"),
    ] = None,
    blur: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with blurred faces.", rich_help_panel="Results"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Contact sheet with all faces and a histogram of ages, `.html` or `.png`.",
            rich_help_panel="Results",
        ),
    ] = None,
) -> None:
    """Detect faces in pictures and videos and estimate their age and gender.

    Folders are searched recursively, and each file is read once. Results go to standard output,
    everything else to standard error. Ctrl-C keeps what is done, the contact sheet included.

    Examples:
    * `age-gender predict photo.jpg --draw out/`
    * `age-gender predict holiday/ '*.png' --json > faces.jsonl`
    * `age-gender predict holiday/ --sheet faces.html --blur public/`
    * `age-gender predict party.mp4 --every 5s --csv > party.csv`
    * `age-gender predict --camera 0 --every 2s`
    * `curl -s https://example.com/photo.jpg | age-gender predict -`

    Pictures are recognised by content, not by name; other files in folders are named.

    Exit codes: **0** every picture was read; **1** some files were not, or models or settings are
    wrong (see standard error); **2** wrong usage; **130**, **143** stopped by Ctrl-C or a signal;
    **141** standard output was closed.
    """
    if bool(files) == (camera is not None):
        raise typer.BadParameter("give either pictures or --camera")
    if json_lines and csv:
        raise typer.BadParameter("give either --json or --csv")
    settings = usable_settings()
    require_models(settings)
    # Only now, as these imports load the native libraries.
    from age_gender.cli import inputs, session, streams
    from age_gender.cli.runner import run_all
    from age_gender.runtime import Runtime
    from age_gender.vision.pipeline import Options

    if sheet and sheet.suffix.lower() not in session.SHEETS:
        raise typer.BadParameter("--sheet has to end with .html or .png")
    if sheet and any(os.path.realpath(file) == os.path.realpath(sheet) for file in files or []):
        raise typer.BadParameter(f"--sheet would replace {sheet}, which is an input")
    collected = inputs.collect(files or [], [sheet] if sheet else [])
    names = [file.name for file in collected.files]
    run_options = session.RunOptions(
        pipeline=Options(
            confidence=confidence,
            nms=nms,
            face_detector=detector,
            min_face=min_face,
            over_age=tuple(sorted(set(over_age or ()))),
            return_image=blur is not None,
            draw=False,
            blur=blur is not None,
        ),
        report=_report(json_lines=json_lines, csv=csv, live=camera is not None),
        drawn=_copies(draw, inputs.COPY_SUFFIXES[0], names),
        blurred=_copies(blur, inputs.COPY_SUFFIXES[1], names),
        sheet=_writable(sheet),
        every=every,
        max_frames=frames,
    )
    interrupts = streams.Interrupts()
    run = session.Session(Runtime(settings), run_options, interrupts, notes)
    try:
        with interrupts.caught():
            status = run_all(run, collected, camera, streaming=json_lines or csv)
    except ModelUnavailable as error:
        fail(str(error))
    raise typer.Exit(status)


def _report(*, json_lines: bool, csv: bool, live: bool) -> "Report":
    from age_gender.cli import reports

    if json_lines:
        return reports.JsonLines()
    if csv:
        return reports.Csv()
    return reports.Lines() if live else reports.Rows()


def _copies(folder: Path | None, suffix: str, inputs: list[str]) -> "Copies | None":
    from age_gender.cli.copies import Copies

    if folder is None:
        return None
    try:
        return Copies(folder, suffix, inputs)
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}") from None


def _writable(file: Path | None) -> Path | None:
    """Check that a file can be written before the work begins."""
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{file.parent}: {error.strerror}") from None
    if file.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{file} cannot be written")
    return file
