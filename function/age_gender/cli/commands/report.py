"""The command ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from age_gender.cli import options
from age_gender.cli.console import fail, require_models, usable_settings
from age_gender.cli.console import notes as console
from age_gender.errors import ModelUnavailable

MAX_SIDE = 480


def report(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Folders, pictures or addresses.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file, replaced if it exists.")
    ] = Path("report.html"),
    title: Annotated[
        str | None, typer.Option(help="Title; by default the name of the folder.")
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=160,
            max=4000,
            help="Longer side of the pictures in it, in pixels; each takes about 30 to 60 KB at "
            f"{MAX_SIDE}.",
        ),
    ] = MAX_SIDE,
    blur: Annotated[
        bool, typer.Option("--blur", help="Make the faces in it unrecognisable.")
    ] = False,
    model: options.Model = None,
    detector: options.Detector = "accurate",
    confidence: options.Confidence = 0.5,
    min_face: options.MinFace = None,
) -> None:
    """Make one HTML file about all faces in a folder, to open in a browser or to pass on.

    It has every picture with its boxes, an age pyramid by gender with uncertainty, the share of
    unreliable faces and why, filters, and the results as CSV. It needs no network.

    Example: `age-gender report holiday/ -o holiday.html`

    Exit codes: as those of `predict`.
    """
    settings = usable_settings(model)
    require_models(settings)
    # Only now, as these imports load the native libraries.
    from age_gender.cli import inputs, session, streams
    from age_gender.cli.report_html import HtmlReport
    from age_gender.cli.runner import run_all
    from age_gender.runtime import Runtime
    from age_gender.vision.pipeline import Options

    if output.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter("--output has to end with .html")
    options.refuse_input("--output", output, files)
    options.writable(output)
    collected = inputs.collect(files, [output])
    videos = [file for file in collected.files if file.is_video]
    for video in videos:
        collected.files.remove(video)
        collected.problems.append((video.name, "a report has no videos: see `predict --sheet`"))
    pages = HtmlReport(output, title or _title(files), size)
    run_options = session.RunOptions(
        pipeline=Options(
            confidence=confidence,
            face_detector=detector,
            min_face=min_face,
            return_image=blur,
            draw=False,
            blur=blur,
        ),
        report=pages,
    )
    interrupts = streams.Interrupts()
    run = session.Session(Runtime(settings), run_options, interrupts, console)
    try:
        with interrupts.caught():
            status = run_all(run, collected, None, streaming=False)
    except ModelUnavailable as error:
        fail(str(error))
    if output.exists():
        megabytes = output.stat().st_size / 1e6
        run.note(f"wrote {output} ({megabytes:.1f} MB)")
    raise typer.Exit(status)


def _title(files: list[str]) -> str:
    """Name of the only folder or file, else a general one."""
    if len(files) > 1 or "://" in files[0]:
        return "Faces"
    return Path(files[0]).resolve().name or "Faces"
