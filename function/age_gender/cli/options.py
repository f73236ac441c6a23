"""Options that several commands share, declared once."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from age_gender.cli.inputs import VIDEO_SUFFIXES
from age_gender.settings import Settings
from age_gender.vision.detectors.registry import DetectorName
from age_gender.vision.formats.kinds import FORMATS

IMAGE_FORMATS = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
VIDEO_FORMATS = ", ".join(sorted(suffix[1:].upper() for suffix in VIDEO_SUFFIXES))
READS_IMAGES = f"Pictures: {IMAGE_FORMATS}, recognised by content."
READS_VIDEOS = f"{READS_IMAGES} Videos, recognised by suffix: {VIDEO_FORMATS}."

FACES = "Faces"
RESULTS = "Results"

Model = Annotated[
    str | None,
    typer.Option(
        help="Age and gender model: `agn-v2`, or `agn-v2-research`, a little better but for "
        f"non-commercial research only. [default: ATTRIBUTE_MODEL, which is "
        f"{Settings.model_fields['attribute_model'].default}]",
        show_default=False,
        rich_help_panel=FACES,
    ),
]
Detector = Annotated[
    DetectorName,
    typer.Option(
        help="`accurate` (RetinaFace) finds far more faces than `fast` (dlib).",
        rich_help_panel=FACES,
    ),
]
Confidence = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Minimum probability that a box is a human face.",
        rich_help_panel=FACES,
    ),
]
MinFace = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Smallest face in pixels; larger is faster. [default: by detector]",
        show_default=False,
        rich_help_panel=FACES,
    ),
]


def refuse_input(option: str, file: Path | None, inputs: Sequence[str]) -> None:
    """Check that a file to write is no input.

    Raises:
        typer.BadParameter: it is.
    """
    if file and any(os.path.realpath(name) == os.path.realpath(file) for name in inputs):
        raise typer.BadParameter(f"{option} would replace {file}, which is an input")


def writable(file: Path | None) -> Path | None:
    """Check that a file can be written, before the work begins, and make its folder.

    Raises:
        typer.BadParameter: it cannot.
    """
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(21, "is a folder")
        exists = file.exists()
        with file.open("ab"):
            pass
        if not exists:
            file.unlink()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
    return file


def writable_folder(folder: Path) -> Path:
    """Check that files can be written to a folder, before the work begins, and make it.

    Raises:
        typer.BadParameter: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}") from None
    return folder
