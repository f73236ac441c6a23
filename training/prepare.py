"""Detects the face in every training image with the service's detector, once.

Images and detections are stored; training cuts chips from them with the service's alignment and
with jitter::

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
"""Side in pixels of the grey chips that identify near-duplicates."""
MIN_DUPLICATE_CORRELATION = 0.97
"""Of two thumbnails that count as one photo."""
CHUNK = 64

_detector: RetinaFaceDetector


def central_face(detections: Detections, width: int, height: int) -> int:
    """Return the index of a portrait's subject: the most central of the large faces.

    Args:
        detections: at least one face.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(axis=1)
    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - np.array([width / 2, height / 2]), axis=1)
    distances[sides < sides.max() / 2] = np.inf
    return int(distances.argmin())


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 ``[H, W, 3]``, RGB.

    Raises:
        DataError: it is missing or cannot be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"cannot read {path}")
    return np.asarray(image, np.uint8)


def with_border(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Repeat the edge pixels of ``[H, W, 3]`` as a border; also return its width in pixels."""
    border = round(BORDER * max(image.shape[:2]))
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8), border


def _init_worker(models: Path) -> None:
    """Load the detector in a worker process."""
    global _detector
    cv2.setNumThreads(1)
    _detector = RetinaFaceDetector(LiteRTEngine(models / "retinaface.tflite", CpuShares(1)))


def _detect_all(paths: list[Path]) -> list[tuple[NDArray[np.generic], ...]]:
    return [_detect(path) for path in paths]


def _detect(path: Path) -> tuple[NDArray[np.generic], ...]:
    """Image, box, landmarks, thumbnail (zeros without a face)."""
    image = read_image(path)
    padded, border = with_border(image)
    detections = _detector.detect(padded, CONFIDENCE, NMS)
    box = np.zeros(4, np.float32)
    landmarks = np.zeros((5, 2), np.float32)
    thumbnail = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    if len(detections):
        i = central_face(detections, padded.shape[1], padded.shape[0])
        assert detections.landmarks is not None
        box = detections.boxes[i] - np.float32(border)
        landmarks = detections.landmarks[i] - np.float32(border)
        transforms = chip_transforms(box[None], landmarks[None], 1.25, THUMBNAIL)
        (chip,) = warp_chips(image, transforms, THUMBNAIL)
        thumbnail = np.asarray(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), np.uint8)
    return image, box, landmarks, thumbnail


def _results(
    paths: list[Path], models: Path, workers: int
) -> Iterator[tuple[NDArray[np.generic], ...]]:
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    with ProcessPoolExecutor(workers, initializer=_init_worker, initargs=(models,)) as pool:
        for done, chunk in enumerate(pool.map(_detect_all, chunks)):
            yield from chunk
            if done % 20 == 0:
                print(f"{done * CHUNK} of {len(paths)} images", flush=True)


def find_leaks(
    thumbnails: NDArray[np.uint8], validation: NDArray[np.bool_], detected: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Find training images that are also in the validation part, mirrored or not.

    Args:
        thumbnails: ``[N, T, T]``, grey.
        validation: bool ``[N]``.
        detected: bool ``[N]``, whether there is a thumbnail.

    Returns:
        bool ``[N]``.
    """
    unit = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    unit -= unit.mean(axis=1, keepdims=True)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    mirrored = unit.reshape(thumbnails.shape)[:, :, ::-1].reshape(unit.shape)
    kept = validation & detected
    reference = np.concatenate([unit[kept], mirrored[kept]]).T
    leaked = np.zeros(len(unit), bool)
    for start in range(0, len(unit), 2048):
        part = slice(start, start + 2048)
        leaked[part] = (unit[part] @ reference).max(axis=1, initial=0) > MIN_DUPLICATE_CORRELATION
    return leaked & ~validation & detected


def prepare(images: Path, labels: Labels, models: Path, out: Path, workers: int) -> None:
    """Write ``images.npy`` and ``faces.npz`` (see `training.data.Prepared`) to ``out``."""
    count = len(labels)
    boxes = np.zeros((count, 4), np.float32)
    landmarks = np.zeros((count, 5, 2), np.float32)
    thumbnails = np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8)
    stored: NDArray[np.uint8] | None = None
    paths = [images / file for file in labels.name]
    for i, (image, *face) in enumerate(_results(paths, models, workers)):
        if stored is None:
            shape = (count, *image.shape)
            out.mkdir(parents=True, exist_ok=True)
            stored = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, shape)
        if image.shape != stored.shape[1:]:
            raise DataError(f"{labels.name[i]} is {image.shape}, not {stored.shape[1:]}")
        stored[i] = image
        boxes[i], landmarks[i], thumbnails[i] = face
    detected = np.asarray(boxes.any(axis=1), bool)
    leaked = find_leaks(thumbnails, is_validation(list(labels.name)), detected)
    temporary = out / "faces.new.npz"  # a file of the final name counts as complete
    np.savez(
        temporary,
        boxes=boxes,
        landmarks=landmarks,
        detected=detected,
        leaked=leaked,
        **asdict(labels),
    )
    temporary.replace(out / "faces.npz")
    print(
        f"{count} images, {count - detected.sum()} without a face, "
        f"{leaked.sum()} training images that are also in the validation part"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the `file` column")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="CSV tables")
    parser.add_argument("--models", type=Path, required=True, help="folder of built models")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    labels = concatenated([read_labels(table) for table in args.labels])
    prepare(args.images, labels, args.models, args.out, args.workers)


if __name__ == "__main__":
    main()
