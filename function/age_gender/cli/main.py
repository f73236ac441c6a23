"""The commands, one module each in ``commands``."""

from typing import Annotated

import typer

from age_gender import __version__
from age_gender.cli.commands.annotate import annotate
from age_gender.cli.commands.doctor import doctor
from age_gender.cli.commands.models import models
from age_gender.cli.commands.predict import predict
from age_gender.cli.commands.report import report
from age_gender.cli.commands.serve import serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (serve, predict, report, annotate, models, doctor):
    app.command()(command)


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
