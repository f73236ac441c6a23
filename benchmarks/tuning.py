"""Precision and recall of both detectors, by threshold, size of face and `min_face`.

``python -m benchmarks.tuning --crops FOLDER`` writes ``benchmarks/tuning.json``, the plots in
``docs/img/tuning`` and the measured parts of ``docs/tuning.md``; ``--report-only`` writes the last
two again. Two sets, because neither says everything:

* the labelled photos of ``testing/photos.toml``, at three sizes, and samples without people:
  all faces in them are known, so what else is found is false;
* a folder of pictures that each show one face in the middle (FairFace's with padding 0.25, say),
  pasted at known sizes onto those sample pictures: many faces, but for recall only, since their
  margins show other people, too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.settings import load_settings
from age_gender.vision.detectors.base import Detector
from age_gender.vision.detectors.hog import HogDetector
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import Float, Image, iou_matrix, resize
from benchmarks import tuning_report
from benchmarks.detection import MIN_IOU
from testing import photos

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "tuning.json"

PEOPLELESS = (
    *("brick", "chelsea", "coffee", "grass", "gravel", "horse", "hubble_deep_field"),
    *("moon", "motorcycle_left", "page", "rocket", "text"),
)
"""Sample pictures of scikit-image that its package brings along; chelsea is a cat."""

MIN_CONFIDENCE = 0.02
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
PHOTO_SIDES = (48, 96, 192)
"""Sides of the photos' median face, pixels: those that both detectors look for by default."""

CROP_SIDES = (10, 12, 16, 20, 24, 32, 40, 60, 80, 100)
CANVAS = (640, 480)
MAX_ON_A_CANVAS = 48
"""Faces; many more would fill the detector's list of candidates."""
FACE_SHARE = 0.8
"""Of a crop's side that its face is wide, as both detectors draw it; measured on FairFace's."""
SPACING = 1.5
"""From crop to crop, in crops."""

COST_PICTURES = ((640, 480), (1280, 960), (1920, 1440), (4000, 3000))
COST_MIN_FACES = (None, 16, 24, 40, 80, 160)
COST_ROUNDS = 5


@dataclass(frozen=True)
class Scene:
    """A picture and its faces, float32 ``[N, 4]`` in pixels."""

    image: Image
    boxes: Float


@dataclass(frozen=True)
class Tally:
    """What a detector said of some scenes.

    Attributes:
        hits: scores of the faces that were found, ``[H]``.
        false: scores of what is no face, or one told twice, ``[F]``.
        faces: faces that there were.
    """

    hits: Float
    false: Float
    faces: int

    def at(self, confidence: float) -> dict[str, float]:
        """Recall, precision and number of false faces from a threshold on."""
        hits, false = int((self.hits >= confidence).sum()), int((self.false >= confidence).sum())
        return {
            "confidence": confidence,
            "recall": round(hits / self.faces, 4),
            "precision": round(hits / max(hits + false, 1), 4),
            "false": false,
        }


def tally(detector: Detector, scenes: Iterable[Scene], min_face: int | None) -> Tally:
    """Run a detector over scenes at the lowest threshold, which answers for all higher ones.

    It does because greedy suppression never lets a box that is worse remove a better one.
    """
    hits, false, faces = [], [], 0
    for scene in scenes:
        found = detector.detect(scene.image, MIN_CONFIDENCE, 0.5, min_face)
        is_hit = matched(found.boxes, scene.boxes)
        hits.append(found.scores[is_hit])
        false.append(found.scores[~is_hit])
        faces += len(scene.boxes)
    return Tally(np.concatenate(hits), np.concatenate(false), faces)


def matched(found: Float, truth: Float) -> NDArray[np.bool_]:
    """Whether each box found (best first) is the first one of a true face.

    Args:
        found: ``[M, 4]``.
        truth: ``[N, 4]``.

    Returns:
        bool ``[M]``.
    """
    is_hit = np.zeros(len(found), bool)
    if len(truth) == 0:
        return is_hit
    overlaps = iou_matrix(found, truth)
    taken: set[int] = set()
    for i, face in enumerate(overlaps.argmax(axis=1).tolist()):
        if overlaps[i, face] >= MIN_IOU and face not in taken:
            is_hit[i] = True
            taken.add(face)
    return is_hit


def labelled_photos() -> Iterator[Scene]:
    """Every labelled photo at every one of `PHOTO_SIDES`."""
    for side in PHOTO_SIDES:
        for photo in [*photos.groups(), *photos.portraits()]:
            image, boxes = photos.decoded(photo.data), photo.boxes
            scale = side / float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)))
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            yield Scene(resize(image, *size), boxes * np.float32(scale))


@cache
def peopleless() -> tuple[Scene, ...]:
    """Pictures in which whatever is found is false."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    paths = [next(folder.glob(f"{name}.[jp][pn]g")) for name in PEOPLELESS]
    nobody = np.empty((0, 4), np.float32)
    return tuple(Scene(photos.decoded(path.read_bytes()), nobody) for path in paths)


def pasted(crops: Sequence[Image], side: int) -> Iterator[Scene]:
    """Crops in rows on sample pictures, their faces ``side`` pixels large."""
    crop_side = round(side / FACE_SHARE)
    step = round(crop_side * SPACING)
    columns, rows = CANVAS[0] // step, CANVAS[1] // step
    margin = (step - crop_side) // 2
    corners = [(x * step + margin, y * step + margin) for y in range(rows) for x in range(columns)][
        :MAX_ON_A_CANVAS
    ]
    backgrounds = [resize(scene.image, *CANVAS) for scene in peopleless()]
    for number, start in enumerate(range(0, len(crops), len(corners))):
        canvas = backgrounds[number % len(backgrounds)].copy()
        boxes = []
        for crop, (x, y) in zip(crops[start : start + len(corners)], corners, strict=False):
            canvas[y : y + crop_side, x : x + crop_side] = resize(crop, crop_side, crop_side)
            # Faces fill their crops to different degrees; whoever finds one covers most of it.
            boxes.append((x, y, x + crop_side, y + crop_side))
        yield Scene(canvas, np.array(boxes, np.float32))


def measure(crops: Sequence[Image]) -> dict[str, Any]:
    """All that the report shows."""
    engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(1))
    detectors: list[Detector] = [HogDetector(), RetinaFaceDetector(engine)]
    curves, sizes = {}, []
    for detector in detectors:
        told = tally(detector, [*labelled_photos(), *peopleless()], None)
        curves[detector.name] = [told.at(confidence) for confidence in THRESHOLDS]
        for side in CROP_SIDES if crops else ():
            scenes = list(pasted(crops, side))
            for asked, min_face in (("default", None), ("half", side // 2), ("face", side)):
                told = tally(detector, scenes, min_face)
                recalls = {str(t): told.at(t)["recall"] for t in THRESHOLDS}
                row = {"detector": detector.name, "face_px": side, "min_face": asked}
                sizes.append({**row, "recall": recalls})
            print(f"{detector.name}: faces of {side} px done")
    people = sum(len(photo.people) for photo in [*photos.groups(), *photos.portraits()])
    return {
        "photos": {
            "pictures": len([*photos.groups(), *photos.portraits()]),
            "faces": people,
            "face_px": PHOTO_SIDES,
            "peopleless": len(PEOPLELESS),
            "curves": curves,
        },
        "crops": {"faces": len(crops), "sizes": sizes},
        "costs": costs(detectors),
    }


def costs(detectors: Sequence[Detector]) -> list[dict[str, Any]]:
    """CPU time of each detector, over all threads, by size of picture and `min_face`; medians."""
    cv2.setNumThreads(1)
    rows = []
    for width, height in COST_PICTURES:
        image = photos.decoded(photos.resized("astronaut", width, height))
        for detector in detectors:
            for min_face in COST_MIN_FACES:
                times = []
                for _ in range(COST_ROUNDS + 1):  # the first one prepares an interpreter
                    start = time.process_time()
                    detector.detect(image, 0.5, 0.5, min_face)
                    times.append((time.process_time() - start) * 1000)
                milliseconds = round(statistics.median(times[1:]), 1)
                row = {"detector": detector.name, "picture": [width, height]}
                rows.append({**row, "min_face": min_face, "cpu_ms": milliseconds})
    return rows


def read_crops(folder: Path, count: int) -> list[Image]:
    """``count`` pictures of a folder, evenly spread over their names.

    Raises:
        SystemExit: it has fewer.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png", ".webp"))
    if len(paths) < count:
        raise SystemExit(f"{folder} has {len(paths)} pictures, fewer than {count}")
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    return [photos.decoded(path.read_bytes()) for path in chosen]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crops", type=Path, help="folder of pictures with one face each")
    parser.add_argument("--count", type=int, default=300, help="how many of them (default 300)")
    parser.add_argument("--report-only", action="store_true", help="write plots and tables again")
    arguments = parser.parse_args()
    if not arguments.report_only:
        crops = read_crops(arguments.crops, arguments.count) if arguments.crops else []
        RESULTS.write_text(json.dumps(measure(crops), indent=1) + "\n", encoding="utf-8")
    tuning_report.write(json.loads(RESULTS.read_text(encoding="utf-8")), ROOT / "docs")


if __name__ == "__main__":
    main()
