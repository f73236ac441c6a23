"""One face in every kind of picture: how often a detector finds exactly that face.

``python -m benchmarks.scenes`` makes pictures with one face each from the labelled photos of
``testing/photos.toml``: at every size, at every border, at every turn, and in long and large
pictures. It writes ``benchmarks/scenes.json`` and the measured sections of ``docs/tuning.md``;
``--report-only`` only rewrites the latter. ``--as before`` with an older commit's ``function``
folder in ``PYTHONPATH`` measures that one.
"""

import argparse
import json
import math
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import age_gender
from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.settings import load_settings
from age_gender.vision.detectors.base import Detector
from age_gender.vision.detectors.hog import HogDetector
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import Float, Image, clip_boxes, iou_matrix, resize
from benchmarks.detection import MIN_IOU
from benchmarks.markers import write_section
from benchmarks.report import table
from testing import photos

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "scenes.json"
TUNING = ROOT / "docs" / "tuning.md"

MARGIN = 0.9
"""Distance from a face's centre to the edge of its crop, in sides of the face."""
BACKGROUND = (120, 120, 120)

SIZES = (1, 2, 3, 5, 10, 20, 30, 50, 60, 70, 80, 90, 100, 120, 150)
"""Height of the face, per cent of the picture's."""
OUTSIDE = (0, 10, 25, 50)
"""Part of the face beyond the border, per cent."""
BORDERS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
TURNS = tuple(range(0, 360, 45))
TURN_SIZES = (10, 60)
LARGE = (
    (5600, 533, 44, None),
    (2430, 3200, 46, None),
    (4000, 3000, 60, None),
    (4000, 3000, 32, 16),
)
"""Width and height of the picture, height of the face, and `min_face`; pixels."""


@dataclass(frozen=True)
class Face:
    """A face with its surroundings; ``box`` is ``[4]``, pixels of ``image``."""

    image: Image
    box: Float


@dataclass(frozen=True)
class Scene:
    """A picture of one face; ``box`` is ``[4]``, pixels, and may reach over the border."""

    image: Image
    box: Float


@cache
def faces() -> tuple[Face, ...]:
    """Labelled faces, neither turned nor close to another one."""
    return tuple(
        _cut(photos.decoded(photo.data), photo.boxes[i])
        for photo in [*photos.portraits(), *photos.groups()]
        for i, person in enumerate(photo.people)
        if not person.turned and _is_alone(photo.boxes, i)
    )


def _is_alone(boxes: Float, index: int) -> bool:
    x1, y1, x2, y2 = boxes[index]
    x, y, reach = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) * MARGIN
    others = np.delete(boxes, index, axis=0)
    crop = np.array([[x - reach, y - reach, x + reach, y + reach]], np.float32)
    return not iou_matrix(crop, others).any()


def _cut(image: Image, box: Float) -> Face:
    x1, y1, x2, y2 = box
    reach = math.ceil(max(x2 - x1, y2 - y1) * MARGIN)
    padded = cv2.copyMakeBorder(image, *[reach] * 4, cv2.BORDER_REPLICATE)
    x, y = int(x1 + x2) // 2, int(y1 + y2) // 2
    crop = np.asarray(padded[y : y + 2 * reach, x : x + 2 * reach], np.uint8)
    return Face(crop, (box - np.tile([x - reach, y - reach], 2)).astype(np.float32))


def scene(
    face: Face,
    size: tuple[int, int],
    height: float,
    centre: tuple[float, float],
    degrees: float = 0,
) -> Scene:
    """Put a face into a picture.

    Args:
        face: with its surroundings.
        size: width and height of the picture, pixels.
        height: of the face, pixels.
        centre: of the face, pixels.
        degrees: its turn, clockwise.
    """
    zoom = height / float(face.box[3] - face.box[1])
    side = max(2, round(face.image.shape[0] * zoom))
    image = resize(face.image, side, side)
    box = face.box * np.float32(zoom)
    middle = (box[:2] + box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -degrees, 1)
    turn[:, 2] += np.array(centre) - middle
    picture = cv2.warpAffine(image, turn, size, flags=cv2.INTER_LINEAR, borderValue=BACKGROUND)
    half = (box[2:] - box[:2]) / 2
    if degrees % 180 == 90:
        half = half[::-1]
    corners = np.concatenate([np.array(centre) - half, np.array(centre) + half])
    return Scene(np.asarray(picture, np.uint8), corners.astype(np.float32))


def kinds() -> Iterator[tuple[dict[str, Any], Callable[[Face], Scene], int | None]]:
    """Yield each kind of scene: what describes it, how it is made, and the `min_face` to use."""
    square = (1000, 1000)
    for size in SIZES:
        yield (
            {"kind": "size", "value": size},
            lambda face, size=size: scene(face, square, size * 10, (500, 500)),  # type: ignore[misc]
            None,
        )
    for border in BORDERS:
        for outside in OUTSIDE:
            yield (
                {"kind": border, "value": outside},
                lambda face, border=border, outside=outside: at_border(  # type: ignore[misc]
                    face, border, outside / 100
                ),
                None,
            )
    for size in TURN_SIZES:
        for degrees in TURNS:
            yield (
                {"kind": f"turn, {size} %", "value": degrees},
                lambda face, size=size, degrees=degrees: scene(  # type: ignore[misc]
                    face, (640, 640), size * 6.4, (320, 320), degrees
                ),
                None,
            )
    for width, height, pixels, min_face in LARGE:
        yield (
            {"kind": f"{width}x{height}, `min_face` {min_face or 'default'}", "value": pixels},
            lambda face, width=width, height=height, pixels=pixels: scene(  # type: ignore[misc]
                face, (width, height), pixels, (width * 0.3, height * 0.4)
            ),
            min_face,
        )


def at_border(face: Face, border: str, outside: float) -> Scene:
    """Put a face of 192 pixels at a border of a picture of 640x480.

    Args:
        face: with its surroundings.
        border: one of `BORDERS`.
        outside: part of the face beyond it, 0-1.
    """
    direction = np.array(BORDERS[border])
    size, height = (640, 480), 192
    width = height * float((face.box[2] - face.box[0]) / (face.box[3] - face.box[1]))
    edge = np.array(size) * (1 + direction) / 2
    x, y = edge + (outside - 0.5) * np.array([width, height]) * direction
    return scene(face, size, height, (float(x), float(y)))


def measure(detectors: list[Detector]) -> list[dict[str, Any]]:
    """Count, for each kind and detector, the pictures by what was found in them."""
    rows = []
    for what, make, min_face in kinds():
        counts = {d.name: {"right": 0, "none": 0, "several": 0} for d in detectors}
        for face in faces():
            picture = make(face)
            for detector in detectors:
                boxes = detector.detect(picture.image, 0.5, 0.5, min_face).boxes
                counted = counts[detector.name]
                counted["none"] += len(boxes) == 0
                counted["several"] += len(boxes) > 1
                counted["right"] += len(boxes) == 1 and _is_right(picture, boxes)
        rows += [
            {"detector": name, **what, "pictures": len(faces()), **counted}
            for name, counted in counts.items()
        ]
        print(*what.values(), {name: c["right"] for name, c in counts.items()}, flush=True)
    return rows


def _is_right(picture: Scene, boxes: Float) -> bool:
    height, width = picture.image.shape[:2]
    seen = clip_boxes(picture.box[None], width, height)
    return bool(iou_matrix(clip_boxes(boxes, width, height), seen).max() >= MIN_IOU)


def report(results: dict[str, Any], title: str, chosen: Callable[[str], bool]) -> str:
    """Table of the pictures in which exactly the face is found, before and after."""
    head = [title, *(f"`{d}`: {when}" for d in ("accurate", "fast") for when in results)]
    shares: dict[tuple[str, int], dict[tuple[str, str], str]] = {}
    for when, run in results.items():
        for row in run["rows"]:
            if chosen(row["kind"]):
                cell = f"{row['right'] / row['pictures']:.0%}"
                if row["several"]:
                    cell += f" ({row['several'] / row['pictures']:.0%})"
                key = (row["kind"], row["value"])
                shares.setdefault(key, {})[row["detector"], when] = cell
    rows = [
        [
            f"{value} %" if kind == "size" else f"{kind}, {value}",
            *(cells.get((d, when), "") for d in ("accurate", "fast") for when in results),
        ]
        for (kind, value), cells in shares.items()
    ]
    return table(head, rows)


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "close": lambda results: report(
        results, "height of the face, share of the picture's", lambda kind: kind == "size"
    ),
    "borders": lambda results: report(
        results, "border, per cent of the face outside", lambda kind: kind in BORDERS
    ),
    "turns": lambda results: report(
        results, "turn, height of the face, degrees", lambda kind: kind.startswith("turn")
    ),
    "long": lambda results: report(
        results, "picture, height of the face in pixels", lambda kind: "min_face" in kind
    ),
}
"""Measured sections of ``docs/tuning.md``."""


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--as", dest="label", default="now", choices=("before", "now"))
    parser.add_argument("--report-only", action="store_true", help="only rewrite the tables")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if not arguments.report_only:
        cv2.setNumThreads(1)
        engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(1))
        rows = measure([RetinaFaceDetector(engine), HogDetector()])
        results[arguments.label] = {"commit": _commit(), "rows": rows}
        results = {label: results[label] for label in ("before", "now") if label in results}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, render in PARTS.items():
        write_section(TUNING, name, render(results))


def _commit() -> str:
    folder = Path(age_gender.__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
