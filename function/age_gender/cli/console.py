"""What the commands share: consoles, settings, and failures as one line."""

import logging
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.settings import FUNCTION_DIR, REPLACED_MODELS, Settings, load_settings
from age_gender.vision.detectors.registry import required_networks

console = Console()
"""Standard output, for results."""
notes = Console(stderr=True)
"""Standard error, for everything else."""

CHECKOUT = FUNCTION_DIR.parent if (FUNCTION_DIR / "main.py").is_file() else None
"""Root of the source checkout; None where the package was installed."""
FREE_LICENCES = frozenset({"Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0"})
"""Licences of models that allow any use."""
REBUILD_MODELS = "run `make models`" if CHECKOUT else "install the package again"
REINSTALL = "run `make models`, which installs the pinned ones" if CHECKOUT else "install it again"


def usable_settings(model: str | None = None, **changes: object) -> Settings:
    """Load the settings; end the command where they are wrong.

    Args:
        model: the age and gender model, instead of the settings'.
        changes: other settings to replace; None leaves one as it is.
    """
    try:
        settings = load_settings()
        replaced = {name: value for name, value in changes.items() if value is not None}
        if model is not None:
            settings = with_model(settings, model)
        settings = settings.model_copy(update=replaced)
    except AgeGenderError as error:
        fail(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    return settings


def with_model(settings: Settings, name: str) -> Settings:
    """Return settings with another age and gender model; end the command if there is none.

    Where it may not be used for everything, a note says so.
    """
    from age_gender.vision.model_spec import load_spec

    if name in REPLACED_MODELS:
        raise typer.BadParameter(f"--model {name} no longer exists: agn-v2 replaces it")
    try:
        spec = load_spec(settings.models_dir, name)
    except ModelUnavailable as error:
        raise typer.BadParameter(f"--model: {error}") from None
    if spec.licence not in FREE_LICENCES:
        notes.print(f"note: {escape(f'{spec.label}: {spec.licence}')}", soft_wrap=True)
    return settings.model_copy(update={"attribute_model": name})


def require_models(settings: Settings) -> None:
    """End the command where a network is missing."""
    networks = required_networks(settings.attribute_model)
    if not all((settings.models_dir / f"{name}.tflite").is_file() for name in networks):
        fail(f"the models are missing: {REBUILD_MODELS}")


def fail(message: str) -> NoReturn:
    """Print an error and end with exit code 1."""
    notes.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
