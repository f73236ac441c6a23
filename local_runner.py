"""The service on your own machine: serve it, or run it on files, through the same code."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

ROOT = Path(__file__).resolve().parent
FUNCTION = ROOT / "function"
sys.path[:0] = [str(FUNCTION), str(ROOT)]

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, track
from rich.table import Table

from age_gender.errors import AgeGenderError
from age_gender.pipeline import Options, Result
from age_gender.settings import Settings, load_settings

app = typer.Typer(
    help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)
console = Console()
notes = Console(stderr=True)

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}


class DetectorChoice(StrEnum):
    """Detectors by name."""

    fast = "fast"
    accurate = "accurate"


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Instead of PORT or config.json's.")] = None,
) -> None:
    """Serve over HTTP, with functions-framework as in production."""
    settings = _settings()
    _require_models(settings)
    port = port or settings.port
    notes.print(f"[bold]Serving[/] on http://127.0.0.1:{port} (Ctrl-C ends it)")
    target = os.environ.get("FUNCTION_TARGET", "predict")
    command = [sys.executable, "-m", "functions_framework", f"--target={target}"]
    os.chdir(FUNCTION)
    # Replaces this process, so that signals reach the server and nothing stays in memory twice.
    os.execv(sys.executable, [*command, f"--host={settings.host}", f"--port={port}"])


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    detector: Annotated[DetectorChoice, typer.Option(help="`accurate` finds far more.")] = (
        DetectorChoice.accurate
    ),
    confidence: Annotated[float, typer.Option(min=0, max=1)] = 0.5,
    nms: Annotated[float, typer.Option(min=0, max=1, help="IoU threshold.")] = 0.5,
    min_face: Annotated[int | None, typer.Option(min=1, help="Smallest face, pixels.")] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Folder for the annotated copies.")] = None,
    blur: Annotated[bool, typer.Option(help="Make faces unrecognisable in the copies.")] = False,
) -> None:
    """Tell the faces, ages and genders in pictures.

    Exit code 0: all were read; 1: some were not (said on standard error); 2: wrong usage.

    Examples: `local_runner.py predict photo.jpg --draw out/`,
    `local_runner.py predict holiday/ --json > faces.jsonl`
    """
    settings = _settings()
    _require_models(settings)
    # After the command line has been found right: these imports load the native libraries.
    from age_gender.runtime import Runtime
    from age_gender.schema import response_body

    paths = list(_pictures(files))
    options = Options(
        confidence=confidence,
        nms=nms,
        face_detector=detector.value,
        min_face=min_face,
        return_image=draw is not None,
        draw=not blur,
        blur=blur,
    )
    copies = None if draw is None else _Copies(draw)
    runtime = Runtime(settings)
    try:
        spec = runtime.estimator().spec
    except AgeGenderError as error:
        _fail(str(error))
    table = Table("file", "face", "age", "80 % interval", "sex", "p", "box", "reliable")
    failed = 0
    try:
        for path in track(paths, console=notes, transient=True, disable=len(paths) < 3):
            try:
                result = runtime.pipeline.run(path.read_bytes(), options)
            except (AgeGenderError, OSError) as error:
                failed += 1
                notes.print(
                    f"[red]{escape(str(path))}[/]: {escape(str(error))}",
                    highlight=False,
                    soft_wrap=True,
                )
                continue
            if copies is not None and result.jpeg is not None:
                copies.write(path, result.jpeg)
            if json_lines:
                body = response_body(result, options, spec, runtime.engine)
                print(json.dumps({"file": str(path), **body}), flush=True)
            else:
                _add_rows(table, path, result)
    except KeyboardInterrupt:
        notes.print("stopped; what follows is what was done")
        failed += 1
    if not json_lines:
        console.print(table)
    raise typer.Exit(1 if failed else 0)


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
    from age_gender import backfill

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
    from training.thirdparty import build
    from training.thirdparty.errors import ModelBuildError

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


def _settings() -> Settings:
    try:
        settings = load_settings()
    except AgeGenderError as error:
        _fail(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    return settings


def _require_models(settings: Settings) -> None:
    needed = ("retinaface.tflite", f"{settings.attribute_model}.tflite")
    if not all((settings.models_dir / name).is_file() for name in needed):
        _fail("the models are not there yet: run `make models` (or local_runner.py models)")


def _fail(message: str) -> NoReturn:
    notes.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _pictures(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
            yield from sorted(p for p in found if p.is_file())
        else:
            yield path


class _Copies:
    """Writes annotated copies; two pictures of one name from different folders both stay."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._taken: set[str] = set()

    def write(self, path: Path, jpeg: bytes) -> None:
        name, number = f"{path.stem}.annotated.jpg", 2
        while name in self._taken:
            name, number = f"{path.stem}.{number}.annotated.jpg", number + 1
        self._taken.add(name)
        (self._folder / name).write_bytes(jpeg)


def _add_rows(table: Table, path: Path, result: Result) -> None:
    if not result.faces:
        table.add_row(escape(str(path)), "none")
    for number, face in enumerate(result.faces, start=1):
        low, high = face.age_interval or (0, 0)
        table.add_row(
            escape(str(path)) if number == 1 else "",
            str(number),
            f"{face.age:.0f}",
            f"{low:.0f}-{high:.0f}",
            face.gender,
            f"{face.gender_probability:.0%}",
            " ".join(map(str, face.box)),
            "yes" if face.reliable else "[yellow]no[/]",
        )


if __name__ == "__main__":
    app()
