"""From labelled pictures to a judged model in one command.

It goes on where it was stopped::

    python -m training.steps --name agn-v1 --images DIR --labels a.csv b.csv --work DIR

Every step is a command of its own (see ``training/README.md``), run in a process of its own so that
nothing of one is left in the memory of the next; those whose results are in ``--work`` are skipped.
Results of other tables or of a recipe that was changed since are refused, not used.
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
from modelbuild.catalogue import CATALOGUE, MODELS_DIR, load_catalogue
from modelbuild.fetch import sha256
from training.data import DataError
from training.recipes import Recipe, as_options, load_recipe

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
) -> list[tuple[Path | None, Command]]:
    """The commands in their order, each with the file that it is done with (None: always run).

    Args:
        recipe: of the model.
        images: folder that the labels' names are in.
        labels: tables.
        work: folder for everything between; prepared pictures are shared by all models.
        faceres: folder with the weights to start from.
        models: folder of the models.
        docs: folder for the card and its pictures.
    """
    prepared, run = work / "prepared", work / recipe.name
    first, served = run / "first.npz", run / "served.npz"
    tables = [str(table) for table in labels]
    learn = ["--prepared", str(prepared), "--data", recipe.data]
    flat = ["--flatness", str(recipe.tuning.flatness)]
    size = ["--size", str(recipe.size), "--scale", str(recipe.tuning.scale)]
    judged = ["--names", recipe.name, "--models", str(models), "--images", str(images)]
    judged += ["--labels", *tables]
    # fmt: off
    return [
        (prepared / "faces.npz",
         ["training.prepare", "--images", str(images), "--labels", *tables,
          "--models", str(models), "--out", str(prepared)]),
        (first,
         ["training.refit", *learn, "--faceres", str(faceres), *size, *flat,
          *as_options(recipe.head), "--out", str(first)]),
        (None,  # knows by itself how far it is
         ["training.train", *learn, "--start", str(first), "--run", str(run),
          *as_options(recipe.tuning)]),
        (served,
         ["training.refit", *learn, "--start", str(run / "weights.npz"), *size, *flat,
          *as_options(recipe.refit), "--out", str(served)]),
        (None, ["training.export", "--name", recipe.name, "--models", str(models),
                "--weights", str(served)]),
        (None, ["training.calibrate", *judged]),
        (None, ["training.evaluate", *judged, "--docs", str(docs),
                "--logs", str(run / "log.csv")]),
    ]
    # fmt: on


def keep_apart(folder: Path, made_of: dict[str, Any]) -> None:
    """Note what the results in a folder are made of, which must be what they always were.

    Args:
        folder: of results; made if need be.
        made_of: names what they depend on.

    Raises:
        DataError: it holds results of something else, or nobody knows of what.
    """
    note = folder / "made_of.json"
    text = json.dumps(made_of, indent=1, sort_keys=True) + "\n"
    results = {path.name for path in folder.glob("*")} - {note.name}
    if results and not note.exists():
        raise DataError(
            f"{folder} holds files of which nobody knows what they were made of: remove it, or, if "
            f"you know that it was this, write it into {note}:\n{text}"
        )
    if results and note.read_text(encoding="utf-8") != text:
        raise DataError(
            f"{folder} holds results of another recipe or other tables (see {note.name} there): "
            "give another --work, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")


def _that_counts(recipe: Recipe) -> dict[str, Any]:
    """A recipe without what is only said about its model."""
    said = {"name", "version", "licence", "provenance"}
    return {name: value for name, value in asdict(recipe).items() if name not in said}


def _digests(tables: list[Path]) -> list[list[str]]:
    return [[table.name, sha256(table)] for table in tables]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make one of our models from labelled pictures.")
    parser.add_argument("--name", required=True, help="of a recipe in recipes.toml")
    parser.add_argument("--images", type=Path, required=True, help="folder that `file` is in")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="CSV tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for all between")
    parser.add_argument("--models", type=Path, default=MODELS_DIR)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    try:
        recipe = load_recipe(args.name)
        labels = _digests(args.labels)
        pictures = {"images": str(args.images.resolve()), "labels": labels}
        keep_apart(args.work / "prepared", pictures)
        keep_apart(args.work / args.name, {**pictures, "recipe": _that_counts(recipe)})
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
    )
    for result, command in commands:
        if result is not None and result.exists():
            print(f"{command[0]}: done already ({result})", flush=True)
            continue
        print(f"python -m {' '.join(command)}", flush=True)
        status = subprocess.run([sys.executable, "-m", *command], check=False).returncode
        if status:
            sys.exit(f"{command[0]} failed (exit status {status}); the same command goes on there")


if __name__ == "__main__":
    main()
