"""Which pictures without people there are, and which of them a fit sees."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Image
from testing.photos import portraits
from tests.unit.models import MODELS
from tests.unit.test_training import make_prepared
from training.looks import EDITED, LISTED, QUALITIES, WITHOUT_PEOPLE, Looks, looks_without_people
from training.reliability import FOLDS, samples
from training.without_people import in_folder, of_packages


def test_packages_are_folders_and_their_pictures_lie_anywhere_below(tmp_path: Path) -> None:
    for name in ("cats/a.png", "cats/deep/b.JPG", "dogs/c.webp", "dogs/people/d.png", "cats/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path.with_suffix(".png")), np.zeros((4, 4), np.uint8))
        path.with_suffix(".png").rename(path)
    found = of_packages(tmp_path, left_out=("people",))
    assert [(p.kind, p.path.name) for p in found] == [
        ("cats", "a.png"),
        ("cats", "b.JPG"),
        ("dogs", "c.webp"),
    ]
    assert all(picture.free for picture in found)
    assert [p.path.name for p in in_folder(tmp_path / "dogs")] == ["c.webp", "d.png"]


def looks(rows: list[int], kinds: list[str], features: int = 3) -> Looks:
    """Faces of which all measures are zero, so that they are blurred."""
    count = len(rows)
    return Looks(
        np.array(rows),
        np.array(kinds),
        np.full((count, 101), 1 / 101, np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, features), np.float16),
        np.zeros((count, len(QUALITIES)), np.float32),
    )


def test_no_picture_is_both_fitted_on_and_evaluated() -> None:
    data = make_prepared(60)
    pictures = 3 * FOLDS
    numbers = [-1 - number for number in range(pictures) for _ in range(2)]
    kinds = (*WITHOUT_PEOPLE, *EDITED.values())
    rows = [*range(60), *(number for _ in kinds for number in numbers)]
    named = ["clean"] * 60 + [kind for kind in kinds for _ in numbers]
    unclean = np.zeros(60, bool)
    unclean[:5] = True
    evaluated, training = samples(looks(rows, named), data, unclean)
    faces = np.array(named) == "clean"
    assert (training[faces] == (~data.validation & ~unclean)).all()
    assert (evaluated.looks.row == np.flatnonzero(data.validation)).all()
    for kind in kinds:
        of_kind = training[np.array(named) == kind].reshape(-1, 2)
        assert (of_kind[:, 0] == of_kind[:, 1]).all(), "both sizes of a picture"
        assert of_kind[:, 0].sum() == pictures / FOLDS * (
            1 if kind.startswith(LISTED) else FOLDS - 1
        )


class Boxes:
    """A detector that finds the middle of every picture, or nothing."""

    name = "middle"
    min_detectable = candidate_score = turned_score = 0.0

    def __init__(self, count: int) -> None:
        self.count = count

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        return 1.0

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        height, width = image.shape[:2]
        box = np.array([width, height, 3 * width, 3 * height], np.float32) / np.float32(4)
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.4, 0.6], [0.6, 0.6]])
        landmarks = (points * [width, height]).astype(np.float32)
        found = Detections(box[None], np.ones(1, np.float32), landmarks[None])
        return found[np.arange(self.count)]


def test_some_variations_of_a_picture_are_edited(tmp_path: Path) -> None:
    for number, photo in enumerate(portraits()[:2]):
        (tmp_path / f"{number}.jpg").write_bytes(photo.data)
    pictures = in_folder(tmp_path)
    seen = looks_without_people(LISTED, pictures, MODELS, "agn-v2", Boxes(1))
    assert seen.kind.tolist() == [LISTED] * 8 + [EDITED[LISTED]] * 8
    assert seen.row.tolist() == ([-1] * 4 + [-2] * 4) * 2
    assert len({row.tobytes() for row in seen.embedding}) == 16
    with pytest.raises(ValueError, match="nothing in the 2 pictures of 'listed'"):
        looks_without_people(LISTED, pictures, MODELS, "agn-v2", Boxes(0))
