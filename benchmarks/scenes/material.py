"""What the pictures are made of: photos of packages, and the labelled sets of a folder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, Image, iou_matrix
from benchmarks import tuning
from benchmarks.scenes.pictures import Picture, Scene, cut, faces, sent
from benchmarks.scenes.services import Checkout, central
from testing import photos
from training.data import Labels, in_second_half, is_validation, read_tables
from training.prepare import read_image, with_border
from training.without_people import listed

SETS = {
    "UTKFace": ("utk_train",),
    "FairFace": ("fairface_train", "fairface_more"),
    "All-Age-Faces": ("aaf_train",),
}
"""Tables of the labelled sets."""
PORTRAITS = "portraits"
THINGS = "thing"
"""Kind of the sample images of scikit-image."""
NO_BOXES: Float = np.empty((0, 4), np.float32)
SAME_IOU = 0.4


@dataclass(frozen=True)
class WithoutPeople:
    """A picture without people.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        kind: what it shows.
        seen: whether the probability of a face was fitted on it.
    """

    image: Image
    kind: str
    seen: bool


def labelled(data: Path, name: str, count: int) -> Labels:
    """Choose labelled pictures that nothing was trained or fitted on.

    They are of the validation part and of its second half, on which ``training.reliability`` fits
    no limit, and not among those with doubtful labels.

    Args:
        data: folder of the sets and their tables.
        name: a key of `SETS`.
        count: how many at most.
    """
    return _chosen(data, SETS[name], count)


def _chosen(data: Path, tables: Iterable[str], count: int) -> Labels:
    labels = read_tables([data / f"{table}.csv" for table in tables], data / "clean.csv")
    names = list(labels.name)
    usable = np.flatnonzero(is_validation(names) & in_second_half(names))
    return labels[_sampled(usable, count)]


def _sampled(rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def subjects(data: Path, count: int, service: Checkout) -> list[Scene]:
    """Faces to make pictures of: those of photos and of official portraits in turn.

    The boxes of photos are labelled by eye. Those of portraits, and all landmarks, are what the
    service answers for the face as it is; a face that it does not find has no use here.

    Args:
        data: folder of the sets and their tables.
        count: how many at most.
        service: to ask.
    """
    labels = _chosen(data, (PORTRAITS,), count)
    photographed = [of_photo(face, service) for face in faces()[:count]]
    portrayed = [of_portrait(read_image(data / name), service) for name in labels.name]
    found = [face for pair in zip_longest(photographed, portrayed) for face in pair]
    return [face for face in found if face is not None][:count]


def of_photo(face: Scene, service: Checkout) -> Scene | None:
    """Add the landmarks of a labelled face; None if it is not found."""
    answered = service.faces(sent(face.image, face.box[None]).data, "accurate")
    for each in answered:
        if iou_matrix(each.box[None], face.box[None])[0, 0] >= SAME_IOU:
            return replace(face, landmarks=each.landmarks)
    return None


def of_portrait(image: Image, service: Checkout) -> Scene | None:
    """Find the face of a portrait, with the usual surroundings; None if there is none."""
    padded, _ = with_border(image)
    picture = sent(padded, NO_BOXES)
    face = central(service.faces(picture.data, "accurate"), picture.size)
    if face is None or face.landmarks is None:
        return None
    around = cut(padded, face.box)
    shift = around.box[:2] - face.box[:2]
    return replace(around, landmarks=face.landmarks + shift)


def whole_photos() -> list[Picture]:
    """Photos as they are, with the boxes of all faces that are not turned away."""
    pictures = []
    for photo in [*photos.portraits(), *photos.groups()]:
        clear = [not person.turned for person in photo.people]
        size = photos.decoded(photo.data).shape[1::-1]
        pictures.append(Picture(photo.data, (size[0], size[1]), photo.boxes[clear]))
    return pictures


def without_people(data: Path, count: int) -> list[WithoutPeople]:
    """Pictures without people: those of the folder's table, and sample images of scikit-image.

    The probability of a face, and what the default model takes for none, were fitted on those of
    the table that may be used commercially.

    Args:
        data: folder of the sets and their tables.
        count: how many of the table at most.
    """
    table = listed(data / "animals.csv", data)
    chosen = _sampled(np.arange(len(table)), count)
    found = [WithoutPeople(read_image(table[i].path), table[i].kind, table[i].free) for i in chosen]
    samples: Sequence[tuning.Scene] = tuning.without_people()
    return found + [WithoutPeople(each.image, THINGS, seen=False) for each in samples]
