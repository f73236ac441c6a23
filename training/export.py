"""Our own models: from the committed weights to LiteRT and a SavedModel.

::

    python -m training.export --name agn-v1 --models DIR                      # build from the npz
    python -m training.export --name agn-v1 --models DIR --weights W.npz ...  # commit new weights
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

from age_gender.model_spec import Ages, Chip, ModelSpec
from training.convert import convert


def export_own(name: str, models_dir: Path) -> None:
    """Build ``name.tflite`` and ``name/`` in ``models_dir`` from its committed weights there.

    Raises:
        ModelBuildError: as `convert`.
    """
    with tempfile.TemporaryDirectory(prefix=".own-", dir=models_dir) as scratch:
        built = Path(scratch)
        convert(models_dir / "own" / f"{name}.npz", built)
        (built / f"{name}.tflite").replace(models_dir / f"{name}.tflite")
        target = models_dir / name
        if target.exists():
            target.rename(built / "old")
        (built / name).rename(target)


def publish(weights: Path, spec: ModelSpec, models_dir: Path) -> str:
    """Put weights and a specification that is not calibrated yet where `export_own` looks.

    Args:
        weights: ``weights.npz`` of a training run.
        spec: of the model.
        models_dir: folder of the models.

    Returns:
        SHA-256 of the weights' file.
    """
    committed = models_dir / "own" / f"{spec.name}.npz"
    committed.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, committed)
    write_spec(spec, models_dir)
    return hashlib.sha256(committed.read_bytes()).hexdigest()


def write_spec(spec: ModelSpec, models_dir: Path) -> None:
    """Write ``specs/NAME.json``."""
    folder = models_dir / "specs"
    folder.mkdir(parents=True, exist_ok=True)
    text = spec.model_dump_json(indent=2) + "\n"
    (folder / f"{spec.name}.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build or replace a model of our own.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--weights", type=Path, help="weights.npz of a training run to commit")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--size", type=int, default=160, help="side of the chips, pixels")
    parser.add_argument("--scale", type=float, default=1.25, help="side of the chips, boxes")
    parser.add_argument("--licence", default="", help="of the weights")
    parser.add_argument("--data", default="", help="what they were trained on")
    args = parser.parse_args()
    if args.weights:
        spec = ModelSpec(
            name=args.name,
            version=args.version,
            licence=args.licence,
            data=args.data,
            chip=Chip(size=args.size, scale=args.scale),
            ages=Ages(first=0.0, step=1.0),
        )
        print(f"sha256 {publish(args.weights, spec, args.models)}")
    export_own(args.name, args.models)


if __name__ == "__main__":
    main()
