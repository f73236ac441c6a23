"""The command ``doctor``."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from age_gender.cli import checks
from age_gender.cli.console import CHECKOUT, console, notes
from age_gender.errors import AgeGenderError
from age_gender.settings import Settings, load_settings
from age_gender.vision.detectors.registry import required_networks


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Check what is installed, whether it works and how fast, and say what to fix.

    Exit codes: **0** everything works, perhaps with warnings; **1** something is broken.
    """
    results = _results()
    broken = any(check.status is checks.Status.FAILED for check in results)
    if as_json:
        typer.echo(
            json.dumps({"ok": not broken, "checks": [c.as_dict() for c in results]}, indent=2)
        )
    else:
        _print(results)
    raise typer.Exit(1 if broken else 0)


def _results() -> list[checks.Check]:
    try:
        settings = load_settings()
    except AgeGenderError as error:
        return [checks.wrong_settings(error)]
    locks = []
    if CHECKOUT is not None:
        locks = [
            CHECKOUT / "function" / "requirements.txt",
            CHECKOUT / "requirements" / "local.txt",
        ]
    with notes.status("Checking; the speed comes last", spinner="line"):
        return list(checks.run_checks(settings, locks, _model_check(settings)))


def _model_check(settings: Settings) -> Callable[[Path], list[str]]:
    """Compare with the catalogue in a checkout, else with the manifest that came along."""
    try:
        from modelbuild import build
    except ModuleNotFoundError:
        return lambda models_dir: checks.installed_model_problems(
            models_dir, required_networks(settings.attribute_model)
        )
    return build.check


def _print(results: Sequence[checks.Check]) -> None:
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    table = Table.grid("", "", "", padding=(0, 2, 0, 0))
    table.columns[2].overflow = "fold"
    for check in results:
        mark = f"[{colours[check.status]}]{check.status}[/]"
        fix = f"\n[bold]→ {escape(check.fix)}[/]" if check.fix else ""
        table.add_row(mark, check.name, escape(check.found) + fix)
    console.print(table)
