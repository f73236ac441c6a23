"""Writes pictures and what the large detector says of them.

::

    python -m training.detector.lessons --images DIR --tables a.csv --teacher T --out DIR

It goes on until it is stopped, or has made as many as were asked for. Beyond ``--keep`` files, the
oldest one is replaced, so a trainer that runs beside it always has fresh ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from age_gender.vision.geometry import Image
from training.detector import arrays, sources
from training.detector.pictures import SIDE, picture
from training.detector.sources import Sources

A_FILE = 256
"""Pictures in a file."""


class Teacher:
    """The published detector in float32 with its feature maps, see `training.detector.teacher`."""

    def __init__(self, path: Path, threads: int):
        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        runner = self._interpreter.get_signature_runner()
        (self._input,) = (d["index"] for d in runner.get_input_details().values())
        self._outputs = {k: d["index"] for k, d in runner.get_output_details().items()}
        del runner
        self._interpreter.resize_tensor_input(self._input, (1, SIDE, SIDE, 3))
        self._interpreter.allocate_tensors()

    def __call__(self, image: Image) -> dict[str, NDArray[np.float16]]:
        """What it says of a picture.

        Returns:
            float16: ``logits`` ``[A]`` of a face, ``boxes`` ``[A, 4]``, ``landmarks`` ``[A, 10]``,
            and the maps ``c3``, ``c4`` and ``c5``, ``[H, W, C]`` each.
        """
        self._interpreter.set_tensor(self._input, image[None].astype(np.float32))
        self._interpreter.invoke()
        said = {k: self._interpreter.get_tensor(i)[0] for k, i in self._outputs.items()}
        said["logits"] = said["logits"][:, 0]
        return {key: value.astype(np.float16) for key, value in said.items()}


def lesson(teacher: Teacher, material: Sources, seed: tuple[int, int]) -> Mapping[str, Any]:
    """Arrays of a file: ``images`` and what the teacher says of each."""
    rng = np.random.default_rng(seed)
    images = [picture(material, rng) for _ in range(A_FILE)]
    said = [teacher(image) for image in images]
    return {"images": np.stack(images), **{k: np.stack([s[k] for s in said]) for k in said[0]}}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    sources.add_options(parser)
    parser.add_argument(
        "--teacher", type=Path, required=True, help="from training.detector.teacher"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=10**6)
    parser.add_argument("--keep", type=int, default=48)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--faces", type=int, default=14_000)
    parser.add_argument("--pictures", type=int, default=3_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.first)
    files = sources.face_files(options.images, options.tables)
    others = sources.other_files(options.others, options.animals)
    material = Sources(
        list(sources.chosen(files, options.faces, rng)),
        list(sources.chosen(others, options.pictures, rng)),
    )
    print(f"{len(material.faces)} faces, {len(material.others)} other pictures", flush=True)
    teacher = Teacher(options.teacher, options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.files):
        start = time.monotonic()
        target = options.out / f"{number % options.keep:04d}.npz"
        if number < options.keep and target.is_file():  # from before it was stopped
            continue
        arrays.write(target, lesson(teacher, material, (1, number)))
        print(f"{number}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
