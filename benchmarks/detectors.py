"""Compares networks for the `accurate` detector in one run.

::

    python -m benchmarks.detectors retinaface.tflite other.tflite

The first is what the others are compared with. With ``--tables``, faces cropped from photos are
pasted at known places, sizes and rolls; without, the faces are those of ``testing/photos``. With
``--without``, pictures of no people count false faces.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import Interpreter, LiteRTEngine
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import Float, Image, iou_matrix, resize
from benchmarks.detection import MIN_IOU, Labelled, Search, counted, of_photos
from training.detector import sources
from training.scenes import Rng, Subject, subject_of, texture

SIDES = (12, 16, 20, 24, 30, 40, 60, 80, 120, 200, 300)
"""Of faces, pixels of a picture that is looked at in full size."""
ROLLS = tuple(range(0, 360, 30))
ROLL_SIDE = 60
CLOSE_UPS = (0.7, 1.0, 1.5)
"""Sides of faces, relative to the picture's."""
WIDTH, HEIGHT = 640, 480
CONFIDENCE = NMS = 0.5
SMALLEST = 16.0
SPACING = 1.9
"""Between the centres of faces, in sides."""
RUNS = 40


def pasted(
    subjects: Sequence[Subject],
    grounds: Sequence[Image],
    side: float,
    roll: float | None,
    rng: Rng,
) -> Iterator[Labelled]:
    """Yield pictures that hold all the subjects once.

    Args:
        subjects: the faces.
        grounds: pictures without people to put them on.
        side: of the faces, pixels.
        roll: degrees by which they are rotated; None for a few at random.
        rng: chooses grounds, places and rolls.
    """
    step = max(side * SPACING, 30)
    columns, rows = max(1, int(WIDTH // step)), max(1, int(HEIGHT // step))
    # No more than leave the ground visible, or small faces would all be in one picture.
    per_picture = min(columns * rows, 24)
    for first in range(0, len(subjects), per_picture):
        image = ground(grounds, rng)
        boxes = []
        cells = rng.permutation(columns * rows)
        for subject, cell in zip(subjects[first : first + per_picture], cells, strict=False):
            centre = np.array([(cell % columns + 0.5) * WIDTH / columns,
                               (cell // columns + 0.5) * HEIGHT / rows], np.float32)  # fmt: skip
            angle = rng.normal(0, 8) if roll is None else roll
            boxes.append(paste(image, subject, side, angle, centre))
        yield Labelled(image, np.array(boxes, np.float32))


def paste(image: Image, subject: Subject, side: float, degrees: float, centre: Float) -> Float:
    """Draw a subject with its surroundings, softly bordered, and return its box ``[4]``."""
    zoom = side / subject.side
    source, shrunk = subject.image, 1.0
    if zoom < 1:
        size = [max(1, round(n * zoom)) for n in source.shape[1::-1]]
        source, shrunk = resize(source, *size), zoom
    middle = (subject.box[:2] + subject.box[2:]) / 2 * shrunk
    matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), -degrees, zoom / shrunk)
    matrix[:, 2] += (centre - middle).astype(np.float64)
    mask = np.zeros(source.shape[:2], np.float32)
    reach = subject.side * shrunk * 0.9
    cv2.circle(mask, tuple(int(v) for v in middle), max(2, int(reach)), 1.0, cv2.FILLED)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.4, reach * 0.05))
    whole = image.shape[1::-1]
    drawn = cv2.warpAffine(source, matrix, whole, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(soft, matrix, whole)[:, :, None]
    image[:] = image + (drawn - image.astype(np.float32)) * share
    half = (subject.box[2:] - subject.box[:2]) / 2 * zoom
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def close_ups(subjects: Sequence[Subject], share: float, rng: Rng) -> Iterator[Labelled]:
    """Yield pictures of one face each that takes ``share`` of their height."""
    for subject in subjects:
        image = texture(WIDTH, HEIGHT, rng)
        centre = np.asarray(rng.normal((WIDTH / 2, HEIGHT / 2), 20), np.float32)
        box = paste(image, subject, HEIGHT * share, rng.normal(0, 5), centre)
        yield Labelled(image, box[None])


def ground(grounds: Sequence[Image], rng: Rng) -> Image:
    """A picture without people that fills the size, or a texture."""
    if not grounds or rng.random() < 0.3:
        return texture(WIDTH, HEIGHT, rng)
    return np.ascontiguousarray(resize(grounds[int(rng.integers(len(grounds)))], WIDTH, HEIGHT))


def detector(model: Path) -> RetinaFaceDetector:
    """The service's detector with this network."""
    return RetinaFaceDetector(LiteRTEngine(model, CpuShares(1)))


def search_of(of: RetinaFaceDetector) -> Search:
    """The detector as it is asked here: for faces from `SMALLEST` pixels on."""
    return lambda image: of.detect(image, CONFIDENCE, NMS, SMALLEST)


def differences(first: Search, other: Search, pictures: Sequence[Labelled]) -> dict[str, Any]:
    """How scores, boxes and landmarks of faces that both found differ."""
    scores, boxes, points = [], [], []
    for picture in pictures:
        a, b = first(picture.image), other(picture.image)
        overlaps = iou_matrix(a.boxes, b.boxes)
        if not overlaps.size:
            continue
        assert a.landmarks is not None
        assert b.landmarks is not None
        for i, j in enumerate(overlaps.argmax(axis=1)):
            if overlaps[i, j] >= MIN_IOU:
                side = float((a.boxes[i, 2:] - a.boxes[i, :2]).max())
                scores.append(float(b.scores[j] - a.scores[i]))
                boxes.append(float(np.abs(a.boxes[i] - b.boxes[j]).mean()) / side)
                apart = np.linalg.norm(a.landmarks[i] - b.landmarks[j], axis=1)
                points.append(float(apart.mean()) / side)
    if not scores:
        return {"faces": 0}
    change = np.abs(scores)
    return {
        "faces": len(scores),
        "score_mean": round(float(np.mean(scores)), 4),
        "score_change": [round(float(q), 4) for q in np.quantile(change, (0.5, 0.9, 0.99))],
        "box_share": [round(float(q), 4) for q in np.quantile(boxes, (0.5, 0.9, 0.99))],
        "landmark_share": [round(float(q), 4) for q in np.quantile(points, (0.5, 0.9, 0.99))],
    }


def milliseconds(models: Sequence[Path]) -> list[float]:
    """Median CPU time of each network at 640x480, run in turn in one process."""
    interpreters = []
    for model in models:
        interpreter = Interpreter(model.name, model.read_bytes(), threads=1)
        interpreter.resize_input((1, HEIGHT, WIDTH, 3))
        interpreters.append(interpreter)
    pixels = np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    spent: list[list[float]] = [[] for _ in models]
    for _ in range(RUNS):
        for interpreter, times in zip(interpreters, spent, strict=True):
            start = time.process_time()
            interpreter.run_on(lambda batch: np.copyto(batch, pixels), len)
            times.append(time.process_time() - start)
    return [round(float(np.median(times)) * 1000, 2) for times in spent]


def compared(
    models: Sequence[Path],
    subjects: Sequence[Subject],
    without: dict[str, list[Image]],
) -> dict[str, Any]:
    """All the figures of the networks.

    Args:
        models: LiteRT files.
        subjects: faces to paste; if empty, ``testing/photos`` are used.
        without: pictures without people by kind.
    """
    searches = [search_of(detector(model)) for model in models]
    grounds = [image for images in without.values() for image in images]
    sets: dict[str, list[Labelled]] = {}
    rng = np.random.default_rng(0)
    for side in SIDES:
        sets[f"{side} px"] = list(
            pasted(subjects, grounds, side, None, rng) if subjects else of_photos(side)
        )
    if subjects:
        for roll in ROLLS:
            sets[f"{ROLL_SIDE} px, roll {roll}"] = list(
                pasted(subjects[:200], grounds, ROLL_SIDE, roll, rng)
            )
        for share in CLOSE_UPS:
            sets[f"close-up {share:.0%}"] = list(close_ups(subjects[:100], share, rng))
    rows = [
        {"pictures": name, "networks": [counted(each, pictures) for each in searches]}
        for name, pictures in sets.items()
    ]
    for kind, images in without.items():
        blank = [Labelled(image, np.zeros((0, 4), np.float32)) for image in images]
        networks = [counted(each, blank) for each in searches]
        rows.append({"pictures": f"{kind} ({len(images)})", "networks": networks})
    sides = ("16 px", "30 px", "60 px", "120 px", "300 px")
    return {
        "models": [model.name for model in models],
        "cpu_ms_640x480": milliseconds(models),
        "rows": rows,
        "differences": [
            {"pictures": name, "network": model.name, **differences(searches[0], each, sets[name])}
            for name in sides
            for model, each in zip(models[1:], searches[1:], strict=True)
        ],
    }


def as_text(result: dict[str, Any]) -> Iterator[str]:
    """Lines of a table."""
    yield f"{'':28}" + "".join(f"{name[:24]:>26}" for name in result["models"])
    yield f"{'CPU ms, 640x480':28}" + "".join(f"{ms:>26}" for ms in result["cpu_ms_640x480"])
    for row in result["rows"]:
        cells = [
            f"{n['found'] / n['faces']:.1%} of {n['faces']}, {n['false']} false"
            if n["faces"]
            else f"{n['false']} false"
            for n in row["networks"]
        ]
        yield f"{row['pictures']:28}" + "".join(f"{cell:>26}" for cell in cells)
    for row in result["differences"]:
        yield json.dumps(row)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="LiteRT files")
    parser.add_argument("--images", type=Path, help="folder of the tables' pictures")
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="of cropped faces")
    parser.add_argument("--faces", type=int, default=300, help="held-out faces to use")
    parser.add_argument("--without", type=Path, nargs="*", default=[], help="no people")
    parser.add_argument("--pictures", type=int, default=150, help="of each folder without people")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    subjects: list[Subject] = []
    if options.tables and not options.images:
        parser.error("--tables needs --images")
    if options.tables:
        reference = detector(options.models[0])
        files = sources.face_files(options.images, options.tables)
        for image in sources.chosen(files, options.faces, rng, held_out=True):
            subject = subject_of(image, reference)
            subjects += [subject] if subject else []
    without = {
        folder.name: list(
            sources.chosen(
                sources.other_files([folder], None), options.pictures, rng, held_out=True
            )
        )
        for folder in options.without
    }
    result = compared(options.models, subjects, without)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print("\n".join(as_text(result)))


if __name__ == "__main__":
    main()
