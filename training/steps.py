"""From labelled images to an evaluated model in one command.

It resumes where it was stopped::

    python -m training.steps --name agn-v2 --images DIR --labels a.csv b.csv --work DIR

Every step is a command of its own (see ``training/README.md``) and runs in its own process, which
frees its memory. Steps whose results are in ``--work`` are skipped; results of other tables or of
an older recipe are refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelbuild.build import fetched
from modelbuild.catalogue import CATALOGUE, MODELS_DIR, OWN, load_catalogue
from modelbuild.fetch import sha256
from training.data import DataError
from training.recipes import Recipe, load_recipe, recipe_names

Command = list[str]


def steps(
    recipe: Recipe,
    *,
    images: Path,
    labels: list[Path],
    work: Path,
    faceres: Path,
    models: Path,
    docs: Path,
    leave_out: Path | None = None,
    device: str = "",
) -> list[tuple[Path | None, Command]]:
    """List the commands in order, each with the file that marks it as done (None: always run).

    Args:
        recipe: of the model.
        images: folder of the images that the labels name.
        labels: tables.
        work: folder for intermediate results; all models share the prepared images.
        faceres: folder of the initial weights.
        models: folder of the models.
        docs: folder for the model card and its plots.
        leave_out: CSV whose column ``file`` names images not to train on.
        device: of PyTorch; empty: the GPU if there is one.
    """
    prepared, initial, run = work / "prepared", work / "initial", work / recipe.name
    tables = [str(table) for table in labels]
    others = [str(work / name) for name in recipe_names() if name != recipe.name]
    options = ["--leave-out", str(leave_out)] if leave_out else []
    options += ["--device", device] if device else []
    evaluated = ["--names", recipe.name, "--models", str(models), "--images", str(images)]
    evaluated += ["--labels", *tables]
    # fmt: off
    return [
        (prepared / "faces.npz",
         ["training.prepare", "--images", str(images), "--labels", *tables,
          "--models", str(models), "--out", str(prepared)]),
        (initial / "faceres.npz",
         ["training.initial", "--faceres", str(faceres), "--out", str(initial)]),
        (None,  # resumes by itself
         ["training.train", "--name", recipe.name, "--prepared", str(prepared),
          "--weights", str(initial), *others, str(OWN), "--run", str(run), *options]),
        (None, ["training.export", "--name", recipe.name, "--models", str(models),
                "--weights", str(run / f"{recipe.name}.npz")]),
        (None, ["training.calibrate", *evaluated]),
        (None, ["training.evaluate", *evaluated, "--docs", str(docs),
                "--log", str(run / "log.csv")]),
    ]
    # fmt: on


def require_same_inputs(folder: Path, inputs: dict[str, Any]) -> None:
    """Record the inputs of the results in a folder, and refuse results of other inputs.

    Args:
        folder: of the results; made if missing.
        inputs: everything the results depend on.

    Raises:
        DataError: the folder holds results of other or of unknown inputs.
    """
    note = folder / "inputs.json"
    text = json.dumps(inputs, indent=1, sort_keys=True) + "\n"
    results = {path.name for path in folder.glob("*")} - {note.name}
    if results and not note.exists():
        raise DataError(
            f"{folder} holds results of unknown inputs: remove it, or, if you know they were "
            f"these, write them to {note}:\n{text}"
        )
    if results and note.read_text(encoding="utf-8") != text:
        raise DataError(
            f"{folder} holds results of another recipe or other tables (see {note.name} there): "
            "pass another --work, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")


def recipe_inputs(recipe: Recipe) -> dict[str, Any]:
    """Everything in a recipe that affects the weights."""
    descriptive = {"name", "version", "licence", "provenance"}
    return {name: value for name, value in asdict(recipe).items() if name not in descriptive}


def _digests(tables: list[Path]) -> list[list[str]]:
    return [[table.name, sha256(table)] for table in tables]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make one of our models from labelled images.")
    parser.add_argument("--name", required=True, help="recipe in recipes.toml")
    parser.add_argument("--images", type=Path, required=True, help="folder of the `file` column")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="CSV tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate results")
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--device", default="", help="of PyTorch; by default a GPU if there is one")
    parser.add_argument("--models", type=Path, default=MODELS_DIR)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    try:
        recipe = load_recipe(args.name)
        labels = _digests(args.labels)
        data = {"images": str(args.images.resolve()), "labels": labels}
        require_same_inputs(args.work / "prepared", data)
        left_out = _digests([args.leave_out] if args.leave_out else [])
        inputs = {**data, "left_out": left_out, "recipe": recipe_inputs(recipe)}
        require_same_inputs(args.work / args.name, inputs)
    except (DataError, OSError) as error:
        sys.exit(str(error))
    commands = steps(
        recipe,
        images=args.images,
        labels=args.labels,
        work=args.work,
        faceres=fetched(load_catalogue(CATALOGUE)["faceres"]),
        models=args.models,
        docs=args.docs,
        leave_out=args.leave_out,
        device=args.device,
    )
    for result, command in commands:
        if result is not None and result.exists():
            print(f"{command[0]}: already done ({result})", flush=True)
            continue
        print(f"python -m {' '.join(command)}", flush=True)
        status = subprocess.run([sys.executable, "-m", *command], check=False).returncode
        if status:
            sys.exit(f"{command[0]} failed (exit status {status}); run the command again to resume")


if __name__ == "__main__":
    main()
