"""From pictures to the small detector in one command; it resumes where it was stopped.

::

    python -m training.detector --images DIR --tables a.csv b.csv --others DIR --work DIR
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from training.detector import sources

LESSONS = 60
"""Files of 256 pictures."""


def steps(
    images: Path, tables: list[Path], animals: Path | None, others: list[Path], work: Path
) -> list[tuple[Path | None, list[str]]]:
    """List the commands in order, each with the file that marks it as done (None: always run).

    Args:
        images: folder of the data sets.
        tables: of cropped faces.
        animals: table of pictures without people.
        others: folders of pictures without people.
        work: folder for results.
    """
    teacher, lessons, run = work / "teacher", work / "lessons", work / "run"
    material = ["--images", str(images), "--tables", *map(str, tables)]
    material += ["--animals", str(animals)] if animals else []
    material += ["--others", *map(str, others)] if others else []
    # fmt: off
    return [
        (teacher / "large.npz", ["training.detector.teacher", "--out", str(teacher)]),
        (lessons / f"{LESSONS - 1:04d}.npz",
         ["training.detector.lessons", *material, "--teacher", str(teacher / "teacher.tflite"),
          "--out", str(lessons), "--files", str(LESSONS), "--keep", str(LESSONS)]),
        (None, ["training.detector.train", "--lessons", str(lessons),
                "--large", str(teacher / "large.npz"), "--run", str(run)]),
        (None, ["training.detector.export", "--weights", str(run / "final.npz")]),
    ]
    # fmt: on


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    sources.add_options(parser)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    listed = steps(options.images, options.tables, options.animals, options.others, options.work)
    for done, command in listed:
        if done is None or not done.is_file():
            print(" ".join(command), flush=True)
            subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main()
