"""The command ``serve``."""

import logging
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from age_gender.cli import options
from age_gender.cli.console import CHECKOUT, fail, notes, require_models, usable_settings
from age_gender.settings import FUNCTION_DIR
from age_gender.vision.detectors.registry import DetectorName

SOURCE = (FUNCTION_DIR if CHECKOUT else FUNCTION_DIR / "age_gender" / "function") / "main.py"
"""What functions-framework loads."""


def serve(
    port: Annotated[
        int | None, typer.Option(help="Port, instead of PORT or config.json's.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when a file in function/ changes.")
    ] = False,
    model: options.Model = None,
    detector: Annotated[
        DetectorName | None,
        typer.Option(
            help="Detector of requests that name none. [default: DEFAULT_FACE_DETECTOR, which is "
            "fast]",
            show_default=False,
            rich_help_panel=options.FACES,
        ),
    ] = None,
) -> None:
    """Serve over HTTP, with functions-framework as in production.

    Example: `age-gender serve --port 8081`
    """
    settings = usable_settings(model)
    require_models(settings)
    # The server reads its settings itself.
    chosen = {"ATTRIBUTE_MODEL": model, "DEFAULT_FACE_DETECTOR": detector}
    os.environ.update({name: value for name, value in chosen.items() if value is not None})
    port = port or settings.port
    notes.print(f"[bold]Serving[/] on http://127.0.0.1:{port} (Ctrl-C to stop)")
    if settings.auth == "basic":
        password = settings.basic_auth_password
        shown = f"password {password}" if settings.uses_default_password else "your password"
        notes.print(escape(f"User name {settings.basic_auth_username}, {shown}"), highlight=False)
    target = os.environ.get("FUNCTION_TARGET", "predict")
    command = [sys.executable, "-m", "functions_framework", f"--target={target}"]
    command += [f"--source={SOURCE}", f"--host={settings.host}", f"--port={port}"]
    os.chdir(SOURCE.parent)
    if reload:
        _serve_and_reload(command)
        return
    # Replaces this process, so that signals reach the server and nothing stays in memory twice.
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


def _serve_and_reload(command: list[str]) -> None:
    if CHECKOUT is None:
        fail("--reload is for a checkout of the source")
    try:
        from watchfiles import run_process
    except ModuleNotFoundError:
        fail("--reload needs watchfiles: pip install 'age-gender-estimation[cli]'")
    logging.getLogger("watchfiles").setLevel(logging.ERROR)
    run_process(
        FUNCTION_DIR,
        target=shlex.join(command),
        target_type="command",
        callback=lambda changes: notes.print(
            _changed(path for _, path in changes), highlight=False
        ),
    )


def _changed(paths: Iterable[str]) -> str:
    names = sorted({Path(path).relative_to(FUNCTION_DIR).as_posix() for path in paths})
    more = " and more" if len(names) > 3 else ""
    return escape(f"{', '.join(names[:3])}{more} changed: restarting")
