"""Compares the accuracy of our models and of other packages on labelled pictures, in one run.

::

    python -m benchmarks.peers.accuracy --images DIR --labels a.csv b.csv [--leave-out clean.csv]
        [--work DIR]

Tables and pictures are those of ``make evaluate``; of each data set, a fixed sample of the
validation part is used. Every program gets the same pixels and uses its own detector. Ours answers
over HTTP. With ``--work``, answers are kept there, so that an interrupted or a smaller run goes on.
Writes ``benchmarks/accuracy.json`` and the table in docs/accuracy.md.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Image
from benchmarks import machine
from benchmarks.markers import write_section
from benchmarks.peers.accuracy_table import Estimates, comparison, summary
from benchmarks.peers.answers import Answer, Answers
from benchmarks.peers.peer import ESTIMATORS, Kind, Peer, Unavailable
from benchmarks.peers.pictures import Pictures, choose
from testing.service import ROOT, Service
from training.data import read_tables
from training.evaluate import SETS
from training.prepare import central_face
from training.recipes import load_recipe

RESULTS = ROOT / "benchmarks" / "accuracy.json"
PAGE = ROOT / "docs" / "accuracy.md"
OURS = ("agn-v2", "agn-v2-research")
PER_SET = 600
JOBS = 2
"""Programs that run at once; this compares what they answer, not how fast."""

Face = list[Any]
"""Age in years, gender, x1, y1, x2, y2; see `benchmarks.peers.peer`."""
Runner = Callable[[Image], list[Face]]
Opener = Callable[[], AbstractContextManager[Runner]]


@contextmanager
def ours(model: str) -> Iterator[Runner]:
    """Our service with one of its models."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(Path(folder) / "log", ATTRIBUTE_MODEL=model) as service,
    ):

        def run(image: Image) -> list[Face]:
            encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
            answer = service.predict(encoded, return_image=False, face_detector="accurate")
            return [[d["age"], d["gender"], *d["box"]] for d in answer["details"]]

        yield run


@contextmanager
def theirs(kind: Kind) -> Iterator[Runner]:
    """Another package in its own process."""
    with tempfile.TemporaryDirectory() as folder, Peer(kind) as peer:
        pixels = Path(folder) / "pixels.rgb"

        def run(image: Image) -> list[Face]:
            image.tofile(pixels)
            faces: list[Face] = peer.run(pixels, image.shape[1], image.shape[0])["faces"]
            return faces

        yield run


def central(faces: list[Face], width: int, height: int) -> Answer:
    """Return the answer for the most central of the large faces in a picture.

    Args:
        faces: of the picture.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    if not faces:
        return None, ""
    boxes = np.array([face[2:] for face in faces], np.float32)
    detections = Detections(boxes, np.ones(len(faces), np.float32))
    age, gender = faces[central_face(detections, width, height)][:2]
    return float(age), str(gender)[0].upper()


def estimate(open_runner: Opener, pictures: Pictures, answers: Answers) -> Estimates:
    """Run a program on all pictures that there are no answers for yet.

    Raises:
        Unavailable: it cannot be installed or started.
    """
    names = pictures.labels.name
    missing = [i for i, name in enumerate(names) if str(name) not in answers]
    if missing:
        with open_runner() as run:
            for i in missing:
                image = pictures.read(i)
                faces = run(image)
                answers.add(str(names[i]), central(faces, image.shape[1], image.shape[0]))
    return answers.of(names)


def measure(pictures: Pictures, work: Path, jobs: int = JOBS) -> dict[str, Any]:
    """Run all programs on all pictures; see `accuracy_table.summary` for the results.

    Args:
        pictures: the same for all.
        work: folder for the answers.
        jobs: programs that run at once.
    """
    runners: dict[str, Opener] = {name: partial(ours, name) for name in OURS}
    runners |= {kind.name: partial(theirs, kind) for kind in ESTIMATORS}
    programs: list[dict[str, Any]] = [
        {"name": f"ours, {name}", "ours": True, "data": _our_data(name)} for name in OURS
    ]
    programs += [
        {"name": kind.title, "ours": False, "data": kind.data and list(kind.data)}
        for kind in ESTIMATORS
    ]

    def attempt(name: str) -> Estimates | str:
        try:
            return estimate(runners[name], pictures, Answers(work / f"{name}.jsonl"))
        except Unavailable as reason:
            return str(reason)

    with ThreadPoolExecutor(jobs) as pool:
        answers = list(pool.map(attempt, runners))
    return summary(programs, answers, pictures.labels, pictures.sets)


def _our_data(model: str) -> list[str]:
    return list(dict.fromkeys(SETS[name] for name in load_recipe(model).data))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compare accuracy with other packages.")
    parser.add_argument("--images", type=Path, help="folder of the `file` column")
    parser.add_argument("--labels", type=Path, nargs="+", help="CSV tables")
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--per-set", type=int, default=PER_SET, help="pictures of each data set")
    parser.add_argument("--work", type=Path, help="folder to keep the answers in")
    parser.add_argument("--jobs", type=int, default=JOBS, help="programs that run at once")
    parser.add_argument("--report-only", action="store_true", help="only rewrite the table")
    args = parser.parse_args()
    if not args.report_only:
        if args.images is None or not args.labels:
            parser.error("--images and --labels are needed to measure")
        labels = read_tables(args.labels, args.leave_out)
        pictures = choose(args.images, labels, args.per_set)
        with tempfile.TemporaryDirectory() as scratch:
            work = args.work or Path(scratch)
            work.mkdir(parents=True, exist_ok=True)
            results = {"machine": machine.describe(), **measure(pictures, work, args.jobs)}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_section(PAGE, "peers", comparison(json.loads(RESULTS.read_text(encoding="utf-8"))))
    print(f"wrote the table of {PAGE.name} from {RESULTS.name}")


if __name__ == "__main__":
    main()
