"""The commands, one module each in ``commands``."""

from shutil import get_terminal_size
from typing import Annotated

import typer

from age_gender import __version__
from age_gender.cli import options
from age_gender.cli.commands.annotate import annotate
from age_gender.cli.commands.doctor import doctor
from age_gender.cli.commands.models import models
from age_gender.cli.commands.predict import predict
from age_gender.cli.commands.report import report
from age_gender.cli.commands.serve import serve

MIN_TABLE_WIDTH = 60
"""Characters that the tables of help need."""

WIDTH = get_terminal_size().columns

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich's tables cut the names of options in narrow terminals; plain help does not.
    rich_markup_mode="markdown" if WIDTH >= MIN_TABLE_WIDTH else None,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": WIDTH - 1},
)
for command, formats in (
    (serve, None),
    (predict, options.READS_VIDEOS),
    (report, options.READS_IMAGES),
    (annotate, options.READS_IMAGES),
    (models, None),
    (doctor, None),
):
    app.command(epilog=formats)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"age-gender {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Age and gender estimation on your own machine: serve it, or run it on files."""
