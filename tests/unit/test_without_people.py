"""Which pictures without people there are, and which of them a fit sees."""

from pathlib import Path

import cv2
import numpy as np

from tests.unit.test_training import make_prepared
from training.looks import LISTED, PACKAGES, QUALITIES, RENDERED, Looks
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


def looks(rows: list[int], kinds: list[str]) -> Looks:
    count = len(rows)
    return Looks(
        np.array(rows),
        np.array(kinds),
        np.full((count, 101), 1 / 101, np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, 3), np.float16),
        np.zeros((count, len(QUALITIES)), np.float32),
    )


def test_no_picture_is_both_fitted_on_and_evaluated() -> None:
    data = make_prepared(60)
    pictures = 3 * FOLDS
    numbers = [-1 - number for number in range(pictures) for _ in range(2)]
    kinds = (LISTED, PACKAGES, RENDERED)
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
        assert of_kind[:, 0].sum() == pictures / FOLDS * (1 if kind == LISTED else FOLDS - 1)
