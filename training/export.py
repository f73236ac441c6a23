"""Publishes a training run's weights: copies and pins them, and builds the model from them.

::

    python -m training.export --name agn-v2 --models DIR --weights W.npz

Version, licence and provenance are those of ``recipes.toml``. The specification it writes is not
calibrated yet, see `training.calibrate`.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.model_spec import Ages, Chip, ModelSpec
from modelbuild.build import build_all
from modelbuild.catalogue import CATALOGUE, OWN
from modelbuild.fetch import sha256
from training.recipes import load_recipe

LAST_BLOCK = 1024
"""Features of the last block of layers, which come first in `modelbuild.agn`'s embedding."""


def publish(weights: Path, spec: ModelSpec, models_dir: Path, own: Path = OWN) -> str:
    """Copy weights and write their specification where the build step expects them.

    Args:
        weights: ``weights.npz`` of a training run.
        spec: of the model.
        models_dir: folder of the models.
        own: folder of the committed weights.

    Returns:
        SHA-256 of the weights' file.
    """
    committed = own / f"{spec.name}.npz"
    committed.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, committed)
    write_spec(spec, models_dir)
    return sha256(committed)


def halves(weights: NDArray[np.floating]) -> str:
    """Encode weights as specifications hold them: float16, little-endian, base64."""
    return base64.b64encode(weights.astype("<f2").tobytes()).decode()


def write_spec(spec: ModelSpec, models_dir: Path) -> None:
    """Write ``specs/NAME.json``."""
    folder = models_dir / "specs"
    folder.mkdir(parents=True, exist_ok=True)
    text = spec.model_dump_json(indent=2) + "\n"
    (folder / f"{spec.name}.json").write_text(text, encoding="utf-8")


def pinned(
    catalogue: str, name: str, version: str, licence: str, digest: str, chip_size: int
) -> str:
    """Return the text of ``models.toml`` with the table ``own.NAME`` replaced or appended.

    Args:
        catalogue: the current text.
        name: of the model.
        version: of the model.
        licence: of its weights.
        digest: SHA-256 of its committed weights.
        chip_size: side of its chips, pixels.
    """
    table = (
        f'[own.{name}]\nversion = "{version}"\nlicence = {json.dumps(licence)}\n'
        f'sha256 = "{digest}"\n'
        f"revision = 1\nchip_size = {chip_size}\n"
    )
    pattern = re.compile(rf"^\[own\.{re.escape(name)}\]\n(?:[^\[\n].*\n)*", re.MULTILINE)
    replaced, count = pattern.subn(table, catalogue)
    return replaced if count else f"{catalogue.rstrip()}\n\n{table}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Publish weights and build the model.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--weights", type=Path, required=True, help="weights.npz of a run")
    args = parser.parse_args()
    recipe = load_recipe(args.name)
    spec = ModelSpec(
        name=args.name,
        version=recipe.version,
        licence=recipe.licence,
        data=recipe.provenance,
        chip=Chip(size=recipe.size, scale=recipe.scale),
        ages=Ages(first=0.0, step=1.0),
    )
    digest = publish(args.weights, spec, args.models)
    catalogue = CATALOGUE.read_text(encoding="utf-8")
    text = pinned(catalogue, args.name, recipe.version, recipe.licence, digest, recipe.size)
    CATALOGUE.write_text(text, encoding="utf-8")
    build_all(args.models, only=[args.name])


if __name__ == "__main__":
    main()
