"""The `accurate` detector on each kind of picture in which a face was missed or found twice."""

import csv
import io
import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.hog import HogDetector
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from age_gender.vision.geometry import Float, Image, clip_boxes, iou_matrix
from benchmarks.scenes.pictures import BORDERS, Scene, at_border, faces, scene
from testing import photos
from tests.unit.models import model

CASES = Path(os.environ.get("SHARED_CASES", Path(__file__).resolve().parents[3] / "shared/cases"))
KINDS = ("closeup", "partial", "large", "group")
PERSON = 0
"""Of `faces`: the first portrait."""


@cache
def detector() -> RetinaFaceDetector:
    return RetinaFaceDetector(LiteRTEngine(model("retinaface.tflite"), CpuShares(2)))


def found(image: Image, min_face: int | None = None) -> Detections:
    """All that the service looks at more closely."""
    return detector().detect(image, detector().candidate_score, 0.5, min_face)


def assert_only_the_face(picture: Scene, min_face: int | None = None) -> Detections:
    height, width = picture.image.shape[:2]
    detections = found(picture.image, min_face)
    assert len(detections) == 1
    seen = clip_boxes(picture.box[None], width, height)
    assert iou_matrix(clip_boxes(detections.boxes, width, height), seen).max() > 0.4
    return detections


@pytest.mark.parametrize("size", [0.5, 0.7, 0.9, 1.2, 1.5])
def test_a_close_up_is_one_face(size: float) -> None:
    assert_only_the_face(scene(faces()[PERSON], (800, 800), size * 800, (400, 400)))


@pytest.mark.parametrize("border", BORDERS)
def test_half_a_face_at_the_border(border: str) -> None:
    assert_only_the_face(at_border(faces()[PERSON], border, 0.45))


@pytest.mark.parametrize(
    ("size", "pixels"), [((4480, 426), 48), ((1600, 2100), 44), ((600, 3600), 40)]
)
def test_long_and_large_pictures(size: tuple[int, int], pixels: int) -> None:
    """At the scale of the longer side, the face would be too small."""
    width, height = size
    assert_only_the_face(scene(faces()[PERSON], size, pixels, (width * 0.7, height * 0.6)))


def test_min_face_means_what_it_says() -> None:
    """In parts, where one run over the picture cannot see so small a face."""
    picture = scene(faces()[PERSON], (2400, 1800), 26, (1013, 905))
    assert len(found(picture.image)) == 0
    assert_only_the_face(picture, min_face=16)


def test_a_close_up_searched_in_parts_is_one_face() -> None:
    assert_only_the_face(scene(faces()[PERSON], (1500, 1300), 1000, (750, 650)), min_face=14)


@pytest.mark.parametrize(
    ("share", "right", "down"),
    [(1, 0.75, 0.0), (0.6, 0.5, 0.7), (0.4, 0.5, 0.5)],
    ids=["cheek to cheek", "child held", "small in front of large"],
)
@pytest.mark.parametrize("height", [120, 400])
def test_faces_close_together_are_two(height: int, share: float, right: float, down: float) -> None:
    first = scene(faces()[0], (900, 900), height, (450, 450))
    sides = first.box[2:] - first.box[:2]
    away = np.array([right, down]) * sides * (1 + share) / 2
    second = scene(faces()[1], (900, 900), height * share, (450 + away[0], 450 + away[1]))
    middle, half = (second.box[:2] + second.box[2:]) / 2, (second.box[2:] - second.box[:2]) * 0.6
    mask = np.zeros((900, 900), np.uint8)
    cv2.ellipse(mask, tuple(map(int, middle)), tuple(map(int, half)), 0, 0, 360, 255, -1)
    image = np.where(mask[..., None] > 0, second.image, first.image)
    boxes = found(image).boxes
    expected: Float = np.stack([first.box, second.box])
    assert len(boxes) == 2
    assert (iou_matrix(expected, boxes).max(axis=1) > 0.35).all()


@pytest.mark.parametrize("name", ["sample1", "sample3", "sample5"])
def test_groups_are_complete_and_each_counted_once(name: str) -> None:
    photo = photos.photo(name)
    boxes = found(photos.decoded(photo.data)).boxes
    assert len(boxes) == len(photo.people)
    assert (iou_matrix(photo.boxes, boxes).max(axis=1) > 0.4).all()


@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize("size", [0.3, 0.6])
def test_turned_faces_leave_a_trace(turn: int, size: float) -> None:
    for face in faces():
        picture = scene(face, (800, 600), size * 600, (400, 300))
        turned = np.ascontiguousarray(np.rot90(picture.image, turn))
        assert found(turned).highest >= detector().turned_score


def test_an_empty_picture_shows_none() -> None:
    ramp = np.linspace(40, 220, 800, dtype=np.uint8)
    assert found(np.dstack([np.tile(ramp, (600, 1))] * 3)).highest < detector().turned_score


def test_a_lower_confidence_only_adds_faces() -> None:
    picture = scene(faces()[PERSON], (800, 800), 640, (400, 400))
    sure, all_of_them = found(picture.image), detector().detect(picture.image, 0.1, 0.5)
    assert len(all_of_them) >= len(sure)
    np.testing.assert_allclose(all_of_them.boxes[: len(sure)], sure.boxes, atol=1)


@pytest.mark.parametrize("size", [0.1, 0.5, 1.0])
def test_fast_finds_upright_faces_of_any_size(size: float) -> None:
    picture = scene(faces()[PERSON], (600, 600), size * 600, (300, 300))
    assert len(HogDetector(2).detect(picture.image, 0.5, 0.5)) == 1


def test_pictures_on_which_the_service_failed() -> None:
    """Of the kinds that are the detector's: no one missed or counted twice."""
    if not CASES.is_dir():
        pytest.skip("NOT TESTED: ../shared/cases is not here")
    rows = csv.DictReader(io.StringIO((CASES / "cases.csv").read_text(encoding="utf-8")))
    wrong = []
    for row in rows:
        if row["kind"] not in KINDS:
            continue
        count = len(found(photos.decoded((CASES / row["file"]).read_bytes())))
        least = int(row["faces"])
        if not least <= count <= least + int(row["optional_faces"]):
            wrong.append((row["file"], row["kind"], least, count))
    assert wrong == []
