"""How many faces the detectors find in photos of groups and portraits, by size of face."""

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
"""Boxes drawn by hand and by detectors differ most where hair hides the forehead."""


def measure() -> list[dict[str, Any]]:
    """Recall and false faces, each photo scaled so that its median face has a given side."""
    engine = LiteRTEngine(load_settings().models_dir / "retinaface.tflite", CpuShares(2))
    detectors: list[Detector] = [HogDetector(2), RetinaFaceDetector(engine)]
    rows = []
    for side in SIDES:
        for detector in detectors:
            people = found = false = 0
            for photo in [*photos.groups(), *photos.portraits()]:
                true, hits, wrong = _count(detector, photo, side)
                people, found, false = people + true, found + hits, false + wrong
            row = {"face_px": side, "detector": detector.name, "faces": people}
            rows.append({**row, "recall": round(found / people, 3), "false": false})
    return rows


def _count(detector: Detector, photo: photos.Photo, side: int) -> tuple[int, int, int]:
    boxes = photo.boxes
    scale = side / float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)))
    image = photos.decoded(photo.data)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    found = detector.detect(np.asarray(shrunk, np.uint8), 0.5, 0.5, min(side, 40))
    overlaps = iou_matrix((boxes * scale).astype(np.float32), found.boxes)
    hits = int((overlaps.max(axis=1, initial=0) >= MIN_IOU).sum())
    false = int((overlaps.max(axis=0, initial=0) < MIN_IOU).sum())
    return len(boxes), hits, false
