"""The command ``annotate``."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from age_gender.cli.console import console, fail, notes, require_models, usable_settings
from age_gender.cli.text import printable
from age_gender.errors import AgeGenderError

REFUSED = 3
"""Exit status when pictures were refused that no other run can read."""


def annotate(
    source: Annotated[str, typer.Argument(help="A folder, or gs://bucket/prefix.")],
    out: Annotated[str, typer.Option(help="Folder or gs://bucket/prefix for the results.")],
    shard: Annotated[int, typer.Option(min=0, help="Number of the shard, from 0.")] = 0,
    shards: Annotated[int, typer.Option(min=1, help="Number of shards.")] = 1,
) -> None:
    """Annotate every picture in a folder or bucket, as the trigger does with new ones.

    Finished pictures are skipped, so a run that was stopped resumes where it was. Options are
    settings: `ANNOTATE_FACE_DETECTOR`, `ANNOTATE_IMAGE`, …

    Files without an answer are named on standard error, with the reason.

    Exit codes: **0** every picture has its answer; **1** run it again, as some could not be read;
    **2** wrong usage; **3** nothing is left to do, but some pictures were refused for good.

    Example: `age-gender annotate holiday/ --out out/`
    """
    settings = usable_settings()
    require_models(settings)
    from age_gender.batch import backfill

    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task(escape(source), total=None)

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
    table = Table("", "")
    for name, value in summary.as_dict().items():
        table.add_row(name.replace("_", " "), escape(str(value)))
    console.print(table)
    raise typer.Exit(1 if not summary.complete else REFUSED if summary.refused_images else 0)
