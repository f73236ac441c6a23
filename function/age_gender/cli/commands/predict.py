"""The command ``predict``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from age_gender.cli import options
from age_gender.cli.console import fail, notes, require_models, usable_settings
from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.vision.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from age_gender.cli.copies import Copies
    from age_gender.cli.reports import Report
    from age_gender.cli.results_file import ResultsFile
    from age_gender.settings import Settings

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
            help="Pictures, videos, folders of pictures, addresses (`https://`, `gs://`), quoted "
            "patterns, or `-` for a picture on standard input.",
            show_default=False,
        ),
    ] = None,
    camera: Annotated[
        int | None, typer.Option(min=0, help="Use this camera instead; the first is 0.")
    ] = None,
    model: options.Model = None,
    detector: options.Detector = "accurate",
    confidence: options.Confidence = 0.5,
    nms: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="IoU above which two boxes count as one face.",
            rich_help_panel=options.FACES,
        ),
    ] = 0.5,
    min_face: options.MinFace = None,
    over_age: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=100,
            help="With --json: probability of being at least this old; repeatable. "
            "No proof of age.",
            rich_help_panel=options.FACES,
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
            "--json", help="JSON Lines: one object per picture.", rich_help_panel=options.RESULTS
        ),
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="CSV: one row per face.", rich_help_panel=options.RESULTS)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the results, `.jsonl` or `.csv`. If it exists, what it has is kept, "
            "and pictures that are in it are skipped, so a run that was stopped goes on.",
            rich_help_panel=options.RESULTS,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="With --output: begin the file anew.",
            rich_help_panel=options.RESULTS,
        ),
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Folder for copies with boxes and labels.", rich_help_panel=options.RESULTS
        ),
    ] = None,
    blur: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with blurred faces.", rich_help_panel=options.RESULTS),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Contact sheet with all faces and a histogram of ages, `.html` or `.png`.",
            rich_help_panel=options.RESULTS,
        ),
    ] = None,
) -> None:
    """Detect faces in pictures and videos and estimate their age and gender.

    Folders are searched recursively, and each file is read once. Results go to standard output,
    everything else to standard error. Ctrl-C keeps what is done, the contact sheet included.

    Examples:
    * `age-gender predict photo.jpg --draw out/`
    * `age-gender predict https://example.com/photo.jpg`
    * `age-gender predict holiday/ -o faces.csv`, which goes on where it was stopped
    * `age-gender predict holiday/ '*.png' --json | jq .faces`
    * `age-gender predict holiday/ --sheet faces.html --blur public/`
    * `age-gender predict party.mp4 --every 5s --csv > party.csv`
    * `age-gender predict --camera 0 --every 2s`

    Addresses are fetched as the service does: from public hosts only, within its limits.

    Exit codes: **0** every picture was read; **1** some files were not, or models or settings are
    wrong (see standard error); **2** wrong usage; **130**, **143** stopped by Ctrl-C or a signal;
    **141** standard output was closed.
    """
    if bool(files) == (camera is not None):
        raise typer.BadParameter("give either pictures or --camera")
    if json_lines and csv:
        raise typer.BadParameter("give either --json or --csv")
    if overwrite and output is None:
        raise typer.BadParameter("--overwrite is for --output")
    settings = usable_settings(model)
    require_models(settings)
    # Only now, as these imports load the native libraries.
    from age_gender.cli import inputs, session, streams
    from age_gender.cli.runner import run_all
    from age_gender.runtime import Runtime
    from age_gender.vision.pipeline import Options

    if sheet and sheet.suffix.lower() not in session.SHEETS:
        raise typer.BadParameter("--sheet has to end with .html or .png")
    written = {"--sheet": sheet, "--output": output}
    for option, file in written.items():
        options.refuse_input(option, file, files or [])
    collected = inputs.collect(files or [], [file for file in written.values() if file])
    names = [file.name for file in collected.files]
    kind = {"json_lines": json_lines, "csv": csv, "anew": overwrite}
    results = _opened(output, settings, detector, names, **kind)
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
        report=_report(results, json_lines=json_lines, csv=csv, live=camera is not None),
        drawn=_copies(draw, inputs.COPY_SUFFIXES[0], names),
        blurred=_copies(blur, inputs.COPY_SUFFIXES[1], names),
        sheet=options.writable(sheet),
        every=every,
        max_frames=frames,
        done=frozenset(results.done if results else ()),
    )
    interrupts = streams.Interrupts()
    run = session.Session(Runtime(settings), run_options, interrupts, notes)
    try:
        with interrupts.caught():
            streaming = (json_lines or csv) and results is None
            status = run_all(run, collected, camera, streaming=streaming)
    except ModelUnavailable as error:
        fail(str(error))
    finally:
        if results is not None:
            results.close()
    raise typer.Exit(status)


def _opened(
    path: Path | None,
    settings: "Settings",
    detector: str,
    inputs: list[str],
    *,
    json_lines: bool,
    csv: bool,
    anew: bool,
) -> "ResultsFile | None":
    """Open the file of ``--output``, if there is one; its suffix or an option says what it is."""
    if path is None:
        return None
    from age_gender.cli.results_file import CSV_SUFFIXES, JSON_SUFFIXES, ResultsFile
    from age_gender.vision.model_spec import load_spec

    suffix = path.suffix.lower()
    if not (json_lines or csv or suffix in JSON_SUFFIXES | CSV_SUFFIXES):
        raise typer.BadParameter("--output has to end with .jsonl or .csv, or add --json or --csv")
    try:
        spec = load_spec(settings.models_dir, settings.attribute_model)
        models = (DETECTORS[detector].label, spec.label)
        as_csv = csv or (suffix in CSV_SUFFIXES and not json_lines)
        return ResultsFile.opened(path, models, inputs, as_csv=as_csv, overwrite=anew)
    except AgeGenderError as error:
        raise typer.BadParameter(str(error)) from None


def _report(results: "ResultsFile | None", *, json_lines: bool, csv: bool, live: bool) -> "Report":
    from age_gender.cli import reports

    if results is not None:
        if results.as_csv:
            return reports.Csv(results.write, has_header=not results.is_new)
        return reports.JsonLines(results.write)
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
