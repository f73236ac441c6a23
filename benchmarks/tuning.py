"""Precision and recall of the detectors, by threshold, face size and `min_face`.

``python -m benchmarks.tuning --crops FOLDER`` writes ``benchmarks/tuning.json``, the plots in
``docs/img/tuning`` and the measured sections of ``docs/tuning.md``; ``--report-only`` only rewrites
the last two. It uses two data sets:

* the labelled photos of ``testing/photos.toml``, at three sizes, and sample images without people:
  all faces are known, so every other detection is a false positive;
* a folder of images with one central face each (such as FairFace with padding 0.25), pasted at
  known sizes onto the sample images: many faces, but for recall only, since their margins can show
  other people.
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

WITHOUT_PEOPLE = (
    *("brick", "chelsea", "coffee", "grass", "gravel", "horse", "hubble_deep_field"),
    *("moon", "motorcycle_left", "page", "rocket", "text"),
)
"""Sample images in the scikit-image package; chelsea is a cat."""

MIN_CONFIDENCE = 0.02
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
PHOTO_SIDES = (48, 96, 192)
"""Sides of a photo's median face, pixels: both detectors find these by default."""

CROP_SIDES = (10, 12, 16, 20, 24, 32, 40, 60, 80, 100)
CANVAS = (640, 480)
MAX_FACES_PER_CANVAS = 48
"""Many more would exceed the detector's maximum number of candidates."""
FACE_SHARE = 0.8
"""Width of a face relative to its crop, by both detectors' boxes; measured on FairFace."""
SPACING = 1.5
"""Distance between crops, in crop sides."""

COST_SIZES = ((640, 480), (1280, 960), (1920, 1440), (4000, 3000))
COST_MIN_FACES = (None, 16, 24, 40, 80, 160)
COST_ROUNDS = 5


@dataclass(frozen=True)
class Scene:
    """An image and its face boxes, float32 ``[N, 4]``, pixels."""

    image: Image
    boxes: Float


@dataclass(frozen=True)
class Scores:
    """Scores of a detector's output on some scenes.

    Attributes:
        hits: scores of the detected faces, ``[H]``.
        false_positives: scores of all other detections, duplicates included, ``[F]``.
        faces: number of labelled faces.
    """

    hits: Float
    false_positives: Float
    faces: int

    def at(self, confidence: float) -> dict[str, float]:
        """Recall, precision and number of false positives at a threshold."""
        hits = int((self.hits >= confidence).sum())
        false_positives = int((self.false_positives >= confidence).sum())
        return {
            "confidence": confidence,
            "recall": round(hits / self.faces, 4),
            "precision": round(hits / max(hits + false_positives, 1), 4),
            "false_positives": false_positives,
        }


def score(detector: Detector, scenes: Iterable[Scene], min_face: int | None) -> Scores:
    """Run a detector over scenes at the lowest threshold.

    This also gives the results at higher ones: in greedy NMS, a box only removes worse ones.
    """
    hits, false_positives, faces = [], [], 0
    for scene in scenes:
        detections = detector.detect(scene.image, MIN_CONFIDENCE, 0.5, min_face)
        is_hit = match(detections.boxes, scene.boxes)
        hits.append(detections.scores[is_hit])
        false_positives.append(detections.scores[~is_hit])
        faces += len(scene.boxes)
    return Scores(np.concatenate(hits), np.concatenate(false_positives), faces)


def match(detected: Float, labelled: Float) -> NDArray[np.bool_]:
    """Whether each detected box (best first) is the first one that matches a labelled face.

    Args:
        detected: ``[M, 4]``.
        labelled: ``[N, 4]``.

    Returns:
        bool ``[M]``.
    """
    is_hit = np.zeros(len(detected), bool)
    if len(labelled) == 0:
        return is_hit
    overlaps = iou_matrix(detected, labelled)
    matched: set[int] = set()
    for i, face in enumerate(overlaps.argmax(axis=1).tolist()):
        if overlaps[i, face] >= MIN_IOU and face not in matched:
            is_hit[i] = True
            matched.add(face)
    return is_hit


def labelled_photos() -> Iterator[Scene]:
    """Yield every labelled photo at each of `PHOTO_SIDES`."""
    for side in PHOTO_SIDES:
        for photo in [*photos.groups(), *photos.portraits()]:
            image, boxes = photos.decoded(photo.data), photo.boxes
            scale = side / float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)))
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            yield Scene(resize(image, *size), boxes * np.float32(scale))


@cache
def without_people() -> tuple[Scene, ...]:
    """Sample images in which every detection is a false positive."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    paths = [next(folder.glob(f"{name}.[jp][pn]g")) for name in WITHOUT_PEOPLE]
    no_boxes = np.empty((0, 4), np.float32)
    return tuple(Scene(photos.decoded(path.read_bytes()), no_boxes) for path in paths)


def pasted(crops: Sequence[Image], side: int) -> Iterator[Scene]:
    """Paste crops in rows onto sample images, with faces of ``side`` pixels."""
    crop_side = round(side / FACE_SHARE)
    step = round(crop_side * SPACING)
    columns, rows = CANVAS[0] // step, CANVAS[1] // step
    margin = (step - crop_side) // 2
    corners = [(x * step + margin, y * step + margin) for y in range(rows) for x in range(columns)][
        :MAX_FACES_PER_CANVAS
    ]
    backgrounds = [resize(scene.image, *CANVAS) for scene in without_people()]
    for number, start in enumerate(range(0, len(crops), len(corners))):
        canvas = backgrounds[number % len(backgrounds)].copy()
        boxes = []
        for crop, (x, y) in zip(crops[start : start + len(corners)], corners, strict=False):
            canvas[y : y + crop_side, x : x + crop_side] = resize(crop, crop_side, crop_side)
            # Faces fill their crops to different degrees, so the whole crop counts as the face.
            boxes.append((x, y, x + crop_side, y + crop_side))
        yield Scene(canvas, np.array(boxes, np.float32))


def measure(crops: Sequence[Image]) -> dict[str, Any]:
    """Measure everything in the report."""
    engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(1))
    detectors: list[Detector] = [HogDetector(), RetinaFaceDetector(engine)]
    curves, sizes = {}, []
    for detector in detectors:
        scores = score(detector, [*labelled_photos(), *without_people()], None)
        curves[detector.name] = [scores.at(confidence) for confidence in THRESHOLDS]
        for side in CROP_SIDES if crops else ():
            scenes = list(pasted(crops, side))
            for choice, min_face in (("default", None), ("half", side // 2), ("face", side)):
                scores = score(detector, scenes, min_face)
                recalls = {str(t): scores.at(t)["recall"] for t in THRESHOLDS}
                row = {"detector": detector.name, "face_px": side, "min_face": choice}
                sizes.append({**row, "recall": recalls})
            print(f"{detector.name}: faces of {side} px done")
    faces = sum(len(photo.people) for photo in [*photos.groups(), *photos.portraits()])
    return {
        "photos": {
            "images": len([*photos.groups(), *photos.portraits()]),
            "faces": faces,
            "face_px": PHOTO_SIDES,
            "without_people": len(WITHOUT_PEOPLE),
            "curves": curves,
        },
        "crops": {"faces": len(crops), "sizes": sizes},
        "costs": costs(detectors),
    }


def costs(detectors: Sequence[Detector]) -> list[dict[str, Any]]:
    """Median CPU time of each detector, all threads, by image size and `min_face`."""
    cv2.setNumThreads(1)
    rows = []
    for width, height in COST_SIZES:
        image = photos.decoded(photos.resized("astronaut", width, height))
        for detector in detectors:
            for min_face in COST_MIN_FACES:
                times = []
                for _ in range(COST_ROUNDS + 1):  # the first run prepares an interpreter
                    start = time.process_time()
                    detector.detect(image, 0.5, 0.5, min_face)
                    times.append((time.process_time() - start) * 1000)
                milliseconds = round(statistics.median(times[1:]), 1)
                row = {"detector": detector.name, "size": [width, height]}
                rows.append({**row, "min_face": min_face, "cpu_ms": milliseconds})
    return rows


def read_crops(folder: Path, count: int) -> list[Image]:
    """Read ``count`` images of a folder, evenly spread over the file names.

    Raises:
        SystemExit: the folder has fewer.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png", ".webp"))
    if len(paths) < count:
        raise SystemExit(f"{folder} has {len(paths)} images, fewer than {count}")
    sample = [paths[i * len(paths) // count] for i in range(count)]
    return [photos.decoded(path.read_bytes()) for path in sample]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crops", type=Path, help="folder of images with one face each")
    parser.add_argument("--count", type=int, default=300, help="number of crops (default 300)")
    parser.add_argument("--report-only", action="store_true", help="only rewrite plots and tables")
    arguments = parser.parse_args()
    if not arguments.report_only:
        crops = read_crops(arguments.crops, arguments.count) if arguments.crops else []
        RESULTS.write_text(json.dumps(measure(crops), indent=1) + "\n", encoding="utf-8")
    tuning_report.write(json.loads(RESULTS.read_text(encoding="utf-8")), ROOT / "docs")


if __name__ == "__main__":
    main()
