"""Recall of the detectors on group photos and portraits, by face size."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.settings import load_settings
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.hog import HogDetector
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import Float, Image, iou_matrix
from testing import photos

SIDES = (16, 20, 30, 40, 60, 80, 120)
MIN_IOU = 0.4
"""Low, because boxes differ where hair hides the forehead."""

Search = Callable[[Image], Detections]


@dataclass(frozen=True)
class Labelled:
    """A picture with known faces: uint8 ``[H, W, 3]`` and float32 ``[N, 4]``."""

    image: Image
    boxes: Float


def measure() -> list[dict[str, Any]]:
    """Recall and false positives, each photo scaled to a given side of its median face."""
    engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(2))
    detectors: list[Detector] = [HogDetector(2), RetinaFaceDetector(engine)]
    rows = []
    for side in SIDES:
        for detector in detectors:
            counts = counted(_search(detector, side), of_photos(side))
            row = {"face_px": side, "detector": detector.name, "faces": counts["faces"]}
            recall = round(counts["found"] / counts["faces"], 3)
            rows.append({**row, "recall": recall, "false_positives": counts["false"]})
    return rows


def _search(detector: Detector, side: int) -> Search:
    return lambda image: detector.detect(image, 0.5, 0.5, min(side, 40))


def of_photos(side: float) -> Iterator[Labelled]:
    """Yield ``testing/photos``, their median face scaled to a side in pixels."""
    for photo in [*photos.groups(), *photos.portraits()]:
        boxes = photo.boxes
        scale = side / float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)))
        image = photos.decoded(photo.data)
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        yield Labelled(np.asarray(shrunk, np.uint8), (boxes * scale).astype(np.float32))


def counted(search: Search, pictures: Iterable[Labelled]) -> dict[str, int]:
    """Number of known faces, of those found, and of false ones."""
    faces = found = false = 0
    for picture in pictures:
        overlaps = iou_matrix(picture.boxes, search(picture.image).boxes)
        faces += len(picture.boxes)
        found += int((overlaps.max(axis=1, initial=0) >= MIN_IOU).sum())
        false += int((overlaps.max(axis=0, initial=0) < MIN_IOU).sum())
    return {"faces": faces, "found": found, "false": false}
