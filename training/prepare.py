"""Find the face in every training picture with the product's own detector, once.

Pictures and detections are stored side by side; chips are cut from them while training, with the
product's own alignment and with jitter::

    python -m training.prepare --images DIR --labels a.csv b.csv --models DIR --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import chip_transforms, warp_chips
from training.data import BORDER, DataError, Labels, concatenated, is_validation, read_labels

CONFIDENCE = NMS = 0.5
THUMBNAIL = 24
"""Side in pixels of the grey chips by which near-duplicates are found."""
SAME_PICTURE = 0.97
"""Correlation of two thumbnails from which on they are taken for one picture."""
CHUNK = 64

_detector: RetinaFaceDetector


def most_central(found: Detections, width: int, height: int) -> int:
    """Index of the face that a cropped picture is of: the most central of the large ones.

    Args:
        found: at least one face.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - np.array([width / 2, height / 2]), axis=1)
    distances[sides < sides.max() / 2] = np.inf
    return int(distances.argmin())


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a picture as uint8 ``[H, W, 3]``, RGB.

    Raises:
        DataError: there is none, or it is damaged.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise DataError(f"cannot read {path}")
    return np.asarray(picture, np.uint8)


def with_border(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The picture with its edge pixels repeated around it, and the border's width."""
    border = round(BORDER * max(picture.shape[:2]))
    padded = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8), border


def _load(models: Path) -> None:
    """Set a worker process up."""
    global _detector
    cv2.setNumThreads(1)
    _detector = RetinaFaceDetector(LiteRTEngine(models / "retinaface.tflite", CpuShares(1)))


def _work(paths: list[Path]) -> list[tuple[NDArray[np.generic], ...]]:
    return [_one(path) for path in paths]


def _one(path: Path) -> tuple[NDArray[np.generic], ...]:
    """Picture, box, landmarks, thumbnail (zeros where there is no face)."""
    picture = read_image(path)
    padded, border = with_border(picture)
    found = _detector.detect(padded, CONFIDENCE, NMS)
    box = np.zeros(4, np.float32)
    landmarks = np.zeros((5, 2), np.float32)
    thumbnail = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    if len(found):
        i = most_central(found, padded.shape[1], padded.shape[0])
        assert found.landmarks is not None
        box = found.boxes[i] - np.float32(border)
        landmarks = found.landmarks[i] - np.float32(border)
        transforms = chip_transforms(box[None], landmarks[None], 1.25, THUMBNAIL)
        (chip,) = warp_chips(picture, transforms, THUMBNAIL)
        thumbnail = np.asarray(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), np.uint8)
    return picture, box, landmarks, thumbnail


def _results(
    paths: list[Path], models: Path, workers: int
) -> Iterator[tuple[NDArray[np.generic], ...]]:
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    with ProcessPoolExecutor(workers, initializer=_load, initargs=(models,)) as pool:
        for done, chunk in enumerate(pool.map(_work, chunks)):
            yield from chunk
            if done % 20 == 0:
                print(f"{done * CHUNK} of {len(paths)} pictures", flush=True)


def find_leaks(
    thumbnails: NDArray[np.uint8], validation: NDArray[np.bool_], found: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Training pictures that are also in the validation part, mirrored or not.

    Args:
        thumbnails: ``[N, T, T]``, grey.
        validation: bool ``[N]``.
        found: bool ``[N]``, whether there is a thumbnail.

    Returns:
        bool ``[N]``.
    """
    unit = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    unit -= unit.mean(axis=1, keepdims=True)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    mirrored = unit.reshape(thumbnails.shape)[:, :, ::-1].reshape(unit.shape)
    kept = validation & found
    reference = np.concatenate([unit[kept], mirrored[kept]]).T
    leaked = np.zeros(len(unit), bool)
    for start in range(0, len(unit), 2048):
        part = slice(start, start + 2048)
        leaked[part] = (unit[part] @ reference).max(axis=1, initial=0) > SAME_PICTURE
    return leaked & ~validation & found


def prepare(images: Path, labels: Labels, models: Path, out: Path, workers: int) -> None:
    """Write ``pictures.npy`` and ``faces.npz`` (see `training.data.Prepared`) into ``out``."""
    count = len(labels)
    boxes = np.zeros((count, 4), np.float32)
    landmarks = np.zeros((count, 5, 2), np.float32)
    thumbnails = np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8)
    pictures: NDArray[np.uint8] | None = None
    paths = [images / file for file in labels.name]
    for i, (picture, *face) in enumerate(_results(paths, models, workers)):
        if pictures is None:
            shape = (count, *picture.shape)
            out.mkdir(parents=True, exist_ok=True)
            pictures = np.lib.format.open_memmap(out / "pictures.npy", "w+", np.uint8, shape)
        if picture.shape != pictures.shape[1:]:
            raise DataError(f"{labels.name[i]} is {picture.shape}, not {pictures.shape[1:]}")
        pictures[i] = picture
        boxes[i], landmarks[i], thumbnails[i] = face
    found = np.asarray(boxes.any(axis=1), bool)
    leaked = find_leaks(thumbnails, is_validation(list(labels.name)), found)
    temporary = out / "faces.new.npz"  # what is there is taken for complete
    np.savez(
        temporary,
        boxes=boxes,
        landmarks=landmarks,
        found=found,
        leaked=leaked,
        **asdict(labels),
    )
    temporary.replace(out / "faces.npz")
    print(
        f"{count} pictures, {count - found.sum()} without a face, "
        f"{leaked.sum()} training pictures that are also in the validation part"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder that `file` is in")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="CSV tables")
    parser.add_argument("--models", type=Path, required=True, help="folder of built models")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    labels = concatenated([read_labels(table) for table in args.labels])
    prepare(args.images, labels, args.models, args.out, args.workers)


if __name__ == "__main__":
    main()
