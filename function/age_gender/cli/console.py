"""What the commands share: consoles, settings, and failures as one line."""

import logging
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from age_gender.errors import AgeGenderError
from age_gender.settings import FUNCTION_DIR, Settings, load_settings
from age_gender.vision.detectors.registry import DETECTORS, FACE_MESH

console = Console()
"""Standard output, for results."""
notes = Console(stderr=True)
"""Standard error, for everything else."""

CHECKOUT = FUNCTION_DIR.parent if (FUNCTION_DIR / "main.py").is_file() else None
"""Root of the source checkout; None where the package was installed."""
REBUILD_MODELS = "run `make models`" if CHECKOUT else "install the package again"
REINSTALL = "run `make models`, which installs the pinned ones" if CHECKOUT else "install it again"


def usable_settings() -> Settings:
    """Load the settings; end the command where they are wrong."""
    try:
        settings = load_settings()
    except AgeGenderError as error:
        fail(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    return settings


def require_models(settings: Settings) -> None:
    """End the command where a network is missing."""
    networks = required_networks(settings)
    if not all((settings.models_dir / f"{name}.tflite").is_file() for name in networks):
        fail(f"the models are missing: {REBUILD_MODELS}")


def required_networks(settings: Settings) -> list[str]:
    """Names of the networks that predictions need, without suffix."""
    detectors = (name for info in DETECTORS.values() for name in info.networks)
    return [*detectors, FACE_MESH, settings.attribute_model]


def fail(message: str) -> NoReturn:
    """Print an error and end with exit code 1."""
    notes.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
