"""The service on your own machine: serve it, or run it on files, through the same code."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - started by whatever Python there is
    sys.exit("error: this needs Python 3.11 or later: run `make models`, which finds it")

import signal

_on_ctrl_c = signal.getsignal(signal.SIGINT)  # jobs in the background ignore it
if __name__ == "__main__" and _on_ctrl_c is not signal.SIG_IGN:
    # The imports take a moment, in which nothing can be lost.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import logging
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

ROOT = Path(__file__).resolve().parent
FUNCTION = ROOT / "function"
sys.path[:0] = [str(FUNCTION), str(ROOT)]

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress
    from rich.table import Table

    from age_gender.cli import streams
    from age_gender.errors import AgeGenderError, ModelUnavailable
    from age_gender.settings import Settings, load_settings
    from age_gender.vision.detectors.registry import DETECTORS, DetectorName
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {sys.executable} has no package {error.name}: run `make models` once, then "
        ".venv/bin/python local_runner.py"
    )

if TYPE_CHECKING:
    from age_gender.cli.copies import Copies
    from age_gender.cli.reports import Report

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,  # shells complete programs, not scripts of Python
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
notes = Console(stderr=True)

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def _seconds(text: str) -> float:
    """Read a duration such as ``500ms``, ``1s``, ``2.5`` or ``10min``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|)", str(text))
    if not found:
        raise typer.BadParameter("give a time such as 500ms, 1s or 2min")
    return float(found[1]) * UNITS[found[2]]


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Instead of PORT or config.json's.")] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a file of function/ changes.")
    ] = False,
) -> None:
    """Serve over HTTP, with functions-framework as in production.

    Example: `local_runner.py serve --port 8081 --reload`
    """
    settings = _settings()
    _require_models(settings)
    port = port or settings.port
    notes.print(f"[bold]Serving[/] on http://127.0.0.1:{port} (Ctrl-C ends it)")
    if settings.auth == "basic":
        password = settings.basic_auth_password
        shown = f"password {password}" if settings.uses_default_password else "your password"
        notes.print(escape(f"User name {settings.basic_auth_username}, {shown}"), highlight=False)
    target = os.environ.get("FUNCTION_TARGET", "predict")
    command = [sys.executable, "-m", "functions_framework", f"--target={target}"]
    command += [f"--host={settings.host}", f"--port={port}"]
    os.chdir(FUNCTION)
    if reload:
        from watchfiles import run_process

        logging.getLogger("watchfiles").setLevel(logging.ERROR)
        run_process(
            FUNCTION,
            target=shlex.join(command),
            target_type="command",
            callback=lambda changes: notes.print(_changed(changes), highlight=False),
        )
        return
    # Replaces this process, so that signals reach the server and nothing stays in memory twice.
    os.execv(sys.executable, command)


@app.command()
def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pictures, videos, folders of pictures, patterns in quotes, or `-` for a picture "
            "on standard input.",
            show_default=False,
        ),
    ] = None,
    camera: Annotated[
        int | None, typer.Option(min=0, help="Look at this camera instead; the first is 0.")
    ] = None,
    detector: Annotated[
        DetectorName, typer.Option(help="`accurate` finds far more.", rich_help_panel="Faces")
    ] = "accurate",
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of a face.", rich_help_panel="Faces")
    ] = 0.5,
    nms: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="IoU above which boxes are one face.", rich_help_panel="Faces"
        ),
    ] = 0.5,
    min_face: Annotated[
        int | None, typer.Option(min=1, help="Smallest face, pixels.", rich_help_panel="Faces")
    ] = None,
    every: Annotated[
        float,
        typer.Option(
            parser=_seconds,
            metavar="TIME",
            help="Time between the pictures taken from a video or camera: `500ms`, `1s`, `2min`; "
            "`0` takes all.",
            rich_help_panel="Videos and cameras",
        ),
    ] = "1s",  # type: ignore[assignment]  # parsed
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most pictures from each; by default all, from a camera until Ctrl-C.",
            rich_help_panel="Videos and cameras",
        ),
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option("--json", help="JSON Lines: an object a picture.", rich_help_panel="Results"),
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="CSV: a row a face.", rich_help_panel="Results")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with boxes and labels.", rich_help_panel="Results"),
    ] = None,
    blur: Annotated[
        Path | None,
        typer.Option(
            help="Folder for copies with unrecognisable faces.", rich_help_panel="Results"
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Contact sheet with all faces and a histogram of ages, `.html` or `.png`.",
            rich_help_panel="Results",
        ),
    ] = None,
) -> None:
    """Tell the faces, ages and genders in pictures and videos.

    Folders are read with all that is below; each file is taken once. Results go to standard
    output, all else to standard error. Ctrl-C keeps what is done, the contact sheet included.

    Examples:
    * `local_runner.py predict photo.jpg --draw out/`
    * `local_runner.py predict holiday/ '*.png' --json > faces.jsonl`
    * `local_runner.py predict holiday/ --sheet faces.html --blur public/`
    * `local_runner.py predict party.mp4 --every 5s --csv > party.csv`
    * `local_runner.py predict --camera 0 --every 2s`
    * `curl -s https://example.com/photo.jpg | local_runner.py predict -`

    Exit codes: **0** all were read; **1** some were not, or models or settings are wrong (standard
    error says what); **2** wrong usage; **130**, **143** stopped by Ctrl-C or a signal; **141**
    nobody read standard output any more.
    """
    if bool(files) == (camera is not None):
        raise typer.BadParameter("give either pictures or --camera")
    if json_lines and csv:
        raise typer.BadParameter("give either --json or --csv")
    settings = _settings()
    _require_models(settings)
    # After the command line has been found right: these imports load the native libraries.
    from age_gender.cli import gather, session
    from age_gender.cli.predict import predict_all
    from age_gender.runtime import Runtime
    from age_gender.vision.pipeline import Options

    if sheet and sheet.suffix.lower() not in session.SHEETS:
        raise typer.BadParameter("--sheet has to end with .html or .png")
    if sheet and any(os.path.realpath(file) == os.path.realpath(sheet) for file in files or []):
        raise typer.BadParameter(f"--sheet would replace {sheet}, which is to be read")
    found = gather.gather(files or [], [sheet] if sheet else [])
    inputs = [entry.name for entry in found.entries]
    wants = session.RunOptions(
        options=Options(
            confidence=confidence,
            nms=nms,
            face_detector=detector,
            min_face=min_face,
            return_image=blur is not None,
            draw=False,
            blur=blur is not None,
        ),
        report=_report(json_lines=json_lines, csv=csv, live=camera is not None),
        drawn=_copies(draw, gather.COPY_ENDINGS[0], inputs),
        blurred=_copies(blur, gather.COPY_ENDINGS[1], inputs),
        sheet=_writable(sheet),
        every=every,
        most=frames,
    )
    interrupts = streams.Interrupts()
    run = session.Session(Runtime(settings), wants, interrupts, notes)
    try:
        with interrupts.caught():
            status = predict_all(run, found, camera, streaming=json_lines or csv)
    except ModelUnavailable as error:
        _fail(str(error))
    raise typer.Exit(status)


@app.command()
def annotate(
    source: Annotated[str, typer.Argument(help="A folder, or gs://bucket/prefix.")],
    out: Annotated[str, typer.Option(help="Where results go: a folder, or gs://bucket/prefix.")],
    shard: Annotated[int, typer.Option(min=0, help="Which share of the pictures to take.")] = 0,
    shards: Annotated[int, typer.Option(min=1, help="How many shares there are.")] = 1,
) -> None:
    """Annotate all pictures of a folder or bucket, as the trigger does with new ones.

    What is done already is skipped, so a run that was stopped goes on where it was. Options of
    the pictures are settings: `ANNOTATE_FACE_DETECTOR`, `ANNOTATE_IMAGE`, …

    Exit code 0: all done; 1: some pictures may succeed in another run; 2: wrong usage.

    Example: `local_runner.py annotate holiday/ --out out/`
    """
    settings = _settings()
    _require_models(settings)
    from age_gender.batch import backfill

    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task(escape(source), total=None)

        def show(so_far: backfill.Summary) -> None:
            bar.update(task, total=so_far.total, completed=so_far.pictures)

        try:
            summary = backfill.run(source, out, settings, shard=shard, shards=shards, progress=show)
        except AgeGenderError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("stopped; the same command goes on from here")
    table = Table("", "")
    for name, value in summary.as_dict().items():
        table.add_row(name.replace("_", " "), escape(str(value)))
    console.print(table)
    raise typer.Exit(0 if summary.complete else 1)


@app.command()
def models(
    check: Annotated[bool, typer.Option(help="Only tell what is missing or damaged.")] = False,
) -> None:
    """Fetch, verify and convert the networks; does nothing when they are there."""
    from modelbuild import build
    from modelbuild.errors import ModelBuildError

    models_dir = _settings().models_dir
    if check:
        problems = build.check(models_dir)
        for problem in problems:
            console.print(problem)
        raise typer.Exit(1 if problems else 0)
    try:
        build.build_all(
            models_dir, log=lambda line: console.print(line, highlight=False, markup=False)
        )
    except ModelBuildError as error:
        _fail(str(error))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Tell what is installed, whether it works, how fast this machine is, and what to fix.

    Exit code 0: all works, though there may be warnings; 1: something is broken.
    """
    from age_gender.cli import doctor as examination
    from modelbuild import build

    def findings() -> "list[examination.Check]":
        try:
            settings = load_settings()
        except AgeGenderError as error:
            return [examination.wrong_settings(error)]
        requirements = [FUNCTION / "requirements.txt", ROOT / "requirements" / "local.txt"]
        with notes.status("Examining; the speed is measured last", spinner="line"):
            return list(examination.examine(settings, requirements, build.check))

    checks = findings()
    broken = any(check.status is examination.Status.FAILED for check in checks)
    if as_json:
        print(json.dumps({"ok": not broken, "checks": [c.as_dict() for c in checks]}, indent=2))
    else:
        _print_checks(checks)
    raise typer.Exit(1 if broken else 0)


def _report(*, json_lines: bool, csv: bool, live: bool) -> "Report":
    from age_gender.cli import reports

    if json_lines:
        return reports.JsonLines()
    if csv:
        return reports.Csv()
    return reports.Lines() if live else reports.Rows()


def _copies(folder: Path | None, ending: str, inputs: list[str]) -> "Copies | None":
    from age_gender.cli.copies import Copies

    if folder is None:
        return None
    try:
        return Copies(folder, ending, inputs)
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


def _changed(changes: Any) -> str:
    names = sorted({os.path.relpath(path, ROOT) for _, path in changes})
    return escape(f"{', '.join(names[:3])}{' and more' if len(names) > 3 else ''}: starting anew")


def _print_checks(checks: Any) -> None:
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    table = Table.grid("", "", "", padding=(0, 2, 0, 0))
    table.columns[2].overflow = "fold"
    for check in checks:
        mark = f"[{colours[check.status]}]{check.status}[/]"
        fix = f"\n[bold]→ {escape(check.fix)}[/]" if check.fix else ""
        table.add_row(mark, check.name, escape(check.found) + fix)
    console.print(table)


def _settings() -> Settings:
    try:
        settings = load_settings()
    except AgeGenderError as error:
        _fail(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    return settings


def _require_models(settings: Settings) -> None:
    needed = {settings.attribute_model, *(n for d in DETECTORS.values() for n in d.networks)}
    if not all((settings.models_dir / f"{name}.tflite").is_file() for name in needed):
        _fail("the models are not there yet: run `make models` (or local_runner.py models)")


def _fail(message: str) -> NoReturn:
    notes.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    streams.open_missing()
    signal.signal(signal.SIGINT, _on_ctrl_c)
    app()
