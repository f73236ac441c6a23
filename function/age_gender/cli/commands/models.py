"""The command ``models``."""

from typing import Annotated

import typer

from age_gender.cli.console import console, fail, usable_settings


def models(
    check: Annotated[bool, typer.Option(help="Only list what is missing or damaged.")] = False,
) -> None:
    """Fetch, verify and convert the networks; does nothing where they are built.

    Only in a checkout of the source: an installed package comes with its networks.
    """
    try:
        from modelbuild import build
        from modelbuild.errors import ModelBuildError
    except ModuleNotFoundError:
        fail("models are built in a checkout of the source; an installed package has them already")
    models_dir = usable_settings().models_dir
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
        fail(str(error))
