"""Converts one model: ``python -m modelbuild.convert MODULE SOURCE TARGET [ARGUMENT ...]``.

Runs in a process of its own, which confines TensorFlow's memory, log output and crashes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from modelbuild.catalogue import ROOT, Model
from modelbuild.errors import ModelBuildError
from modelbuild.process import run_quietly

TIME_LIMIT_S = 900.0


def convert_in_child(model: Model, source: Path, target: Path) -> None:
    """Convert a model in a child process.

    Args:
        model: its converter is run.
        source: input of the converter, see `Model`.
        target: existing empty folder for the outputs.

    Raises:
        ModelBuildError: TensorFlow is missing, or the conversion failed.
    """
    for library in ("tensorflow", "ai_edge_litert", "ai_edge_quantizer"):
        if importlib.util.find_spec(library) is None:
            raise ModelBuildError(
                f"{model.name}: the conversion needs {library}; "
                "install the packages of requirements/build.in"
            )
    command = [sys.executable, "-m", __name__, model.converter, str(source), str(target)]
    command += map(str, model.arguments)
    try:
        finished = run_quietly(command, ROOT, TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise ModelBuildError(
            f"{model.name}: the conversion took more than {TIME_LIMIT_S:g} s"
        ) from None
    if finished.disk_full:
        raise ModelBuildError(f"{model.name}: no space left on the disk of {target}")
    if finished.status < 0:
        raise ModelBuildError(
            f"{model.name}: the conversion was killed (signal {-finished.status}); "
            "it needs about 1.5 GB of memory"
        )
    if finished.status != 0:
        raise ModelBuildError(f"{model.name}: the conversion failed: {finished.last_lines(1)}")


def main(module: str, source: str, target: str, *arguments: str) -> None:
    """Convert in this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # reproducible on every machine
    converter = importlib.import_module(module)
    converter.convert(Path(source), Path(target), *map(int, arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
