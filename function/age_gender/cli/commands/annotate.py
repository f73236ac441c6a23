"""The command ``annotate``."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from age_gender.cli import options
from age_gender.cli.console import console, fail, notes, require_models, usable_settings
from age_gender.cli.text import ending, plural, printable
from age_gender.errors import AgeGenderError
from age_gender.vision.detectors.registry import DetectorName

if TYPE_CHECKING:
    from age_gender.batch.backfill import Summary

REFUSED = 3
"""Exit status when pictures were refused that no other run can read."""
NAME_WIDTH = 40
"""Characters of the place in the line of progress."""


def annotate(
    source: Annotated[str, typer.Argument(help="A folder, or gs://bucket/prefix.")],
    out: Annotated[str, typer.Option(help="Folder or gs://bucket/prefix for the results.")],
    model: options.Model = None,
    detector: Annotated[
        DetectorName | None,
        typer.Option(
            help="`accurate` or `fast`. [default: ANNOTATE_FACE_DETECTOR, which is accurate]",
            show_default=False,
            rich_help_panel=options.FACES,
        ),
    ] = None,
    shard: Annotated[int, typer.Option(min=0, help="Number of the shard, from 0.")] = 0,
    shards: Annotated[int, typer.Option(min=1, help="Number of shards.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as JSON.")] = False,
) -> None:
    """Annotate every picture in a folder or bucket, as the trigger does with new ones.

    Finished pictures are skipped, so a run that was stopped resumes where it was. More options are
    settings: `ANNOTATE_MIN_FACE`, `ANNOTATE_IMAGE`, …

    Files without an answer are named on standard error, with the reason.

    Exit codes: **0** every picture has its answer; **1** run it again, as some could not be read;
    **2** wrong usage; **3** nothing is left to do, but some pictures were refused for good.

    Example: `age-gender annotate holiday/ --out out/`
    """
    settings = usable_settings(model, annotate_face_detector=detector)
    require_models(settings)
    if "://" not in out:
        options.writable_folder(Path(out))
    from age_gender.batch import backfill
    from age_gender.cli.warm_up import start_engine
    from age_gender.runtime import Runtime

    start_engine(Runtime(settings))
    # `tell` prints them; what is unexpected has a trace, and stays.
    logging.getLogger(backfill.log.name).addFilter(lambda record: bool(record.exc_info))
    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task(escape(ending(source, NAME_WIDTH)), total=None)

        def tell(file: str, why: str) -> None:
            notes.print(f"[red]{escape(printable(file))}[/]: {escape(why)}", soft_wrap=True)

        def show(summary: backfill.Summary) -> None:
            bar.update(task, total=summary.total, completed=summary.pictures)

        try:
            summary = backfill.run(
                source, out, settings, shard=shard, shards=shards, progress=show, report=tell
            )
        except AgeGenderError as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("stopped; run the same command again to resume")
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), indent=2))
    else:
        for line in _lines(summary):
            console.print(escape(line), highlight=False, soft_wrap=True)
    raise typer.Exit(1 if not summary.complete else REFUSED if summary.refused_images else 0)


def _lines(summary: "Summary") -> list[str]:
    """Describe what was done, and what is left to do."""
    done = summary.annotated + summary.done_before
    lines = [
        f"{plural(done, 'picture')} with {plural(summary.faces, 'face')} in {summary.out}: "
        f"{summary.annotated:,} now, {summary.done_before:,} before, {summary.seconds:.1f} s"
    ]
    if summary.shards > 1:
        lines.append(f"Part {summary.shard} of {summary.shards}: run the others, too.")
    if summary.not_images:
        lines.append(
            f"{plural(summary.not_images, 'file is no picture', 'files are no pictures')}."
        )
    if summary.refused_images:
        lines.append(
            f"{plural(summary.refused_images, 'picture')} cannot be read, see above: convert or "
            "replace them."
        )
    if summary.failed:
        lines.append(f"{plural(summary.failed, 'file')} failed, see above: run this again.")
    return lines
