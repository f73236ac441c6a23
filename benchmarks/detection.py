"""Recall of the detectors on group photos and portraits, by face size."""

from typing import Any

import cv2
import numpy as np

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.settings import load_settings
from age_gender.vision.detectors.base import Detector
from age_gender.vision.detectors.hog import HogDetector
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import iou_matrix
from testing import photos

SIDES = (16, 20, 30, 40, 60, 80, 120)
MIN_IOU = 0.4
"""Low, because boxes differ where hair hides the forehead."""


def measure() -> list[dict[str, Any]]:
    """Recall and false positives, each photo scaled to a given side of its median face."""
    engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(2))
    detectors: list[Detector] = [HogDetector(2), RetinaFaceDetector(engine)]
    rows = []
    for side in SIDES:
        for detector in detectors:
            faces = hits = false_positives = 0
            for photo in [*photos.groups(), *photos.portraits()]:
                labelled, detected, wrong = _count(detector, photo, side)
                faces += labelled
                hits += detected
                false_positives += wrong
            row = {"face_px": side, "detector": detector.name, "faces": faces}
            rows.append(
                {**row, "recall": round(hits / faces, 3), "false_positives": false_positives}
            )
    return rows


def _count(detector: Detector, photo: photos.Photo, side: int) -> tuple[int, int, int]:
    """Number of labelled faces, of those detected, and of false positives."""
    boxes = photo.boxes
    scale = side / float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)))
    image = photos.decoded(photo.data)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    detections = detector.detect(np.asarray(shrunk, np.uint8), 0.5, 0.5, min(side, 40))
    overlaps = iou_matrix((boxes * scale).astype(np.float32), detections.boxes)
    hits = int((overlaps.max(axis=1, initial=0) >= MIN_IOU).sum())
    false_positives = int((overlaps.max(axis=0, initial=0) < MIN_IOU).sum())
    return len(boxes), hits, false_positives
