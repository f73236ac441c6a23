"""Publishes the small detector.

::

    python -m training.detector.export --weights W.npz

Writes the weights to ``modelbuild/own``, pins them in ``models.toml`` and builds the model.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from modelbuild import weights as files
from modelbuild.build import build_all
from modelbuild.catalogue import CATALOGUE, MODELS_DIR, OWN
from modelbuild.fetch import sha256

NAME = "retinaface"


def pinned(catalogue: str, digest: str) -> str:
    """Return the text of ``models.toml`` with another SHA-256 for the small detector.

    Raises:
        ValueError: its table is missing.
    """
    table = re.compile(rf'(^\[own\.{NAME}\]\n(?:[^\[\n].*\n)*?sha256 = ")[0-9a-f]*', re.MULTILINE)
    text, count = table.subn(rf"\g<1>{digest}", catalogue)
    if not count:
        raise ValueError(f"models.toml has no [own.{NAME}] with a sha256")
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="final.npz of a run")
    parser.add_argument("--models", type=Path, default=MODELS_DIR)
    options = parser.parse_args()
    committed = OWN / f"{NAME}.npz"
    files.save(files.load(options.weights), committed)
    text = pinned(CATALOGUE.read_text(encoding="utf-8"), sha256(committed))
    CATALOGUE.write_text(text, encoding="utf-8")
    build_all(options.models, only=[NAME])


if __name__ == "__main__":
    main()
