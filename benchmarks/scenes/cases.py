"""All pictures that are sent, part by part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.scenes.material import (
    NO_BOXES,
    SETS,
    labelled,
    subjects,
    whole_photos,
    without_people,
)
from benchmarks.scenes.pictures import (
    BORDERS,
    CHANGES,
    Picture,
    Scene,
    at_border,
    changed,
    close,
    sent,
    several,
    turned,
)
from benchmarks.scenes.services import Checkout
from training.prepare import read_image, with_border

SIZES = (1, 2, 3, 5, 10, 20, 30, 50, 60, 70, 80, 90, 100, 120, 150)
"""Height of the face, per cent of the picture's 1,000 pixels."""
PORTRAIT = (0.59, 0.70)
"""Range of the same in pictures of 1024 pixels."""
TURNS = tuple(range(0, 360, 15))
OUTSIDE = (-50, -25, 0, 10, 25, 50)
"""Part of the face beyond the border, per cent; if negative, distance from it."""
LARGE = (
    ("panorama, 5600x533", (5600, 533), 44, None, 120),
    ("page, 2430x3200", (2430, 3200), 44, None, 245),
    ("12 megapixels", (4000, 3000), 60, None, 120),
    ("12 megapixels, `min_face` 16", (4000, 3000), 32, 16, 120),
)
"""Name, size, height of the faces, `min_face`, grey value around them."""
LARGE_PICTURES = 3
TIMES = {"turn": 2, "portraits": 3, "mask": 2, "labelled": 9, "without people": 13}
"""Pictures of these parts (labelled: of each set) for each face of the others."""


@dataclass(frozen=True)
class Truth:
    """Label of a face.

    Attributes:
        low: lowest age, whole years.
        high: highest, the same if the age is exact.
        gender: ``M`` or ``F``.
    """

    low: int
    high: int
    gender: str


@dataclass(frozen=True)
class Case:
    """A picture to send.

    Attributes:
        part: that it belongs to.
        value: what is varied in that part.
        number: of the face among those of the part.
        make: makes it.
        min_face: field of the request.
        truth: label of the only face, which has no box, if it has one.
    """

    part: str
    value: str
    number: int
    make: Callable[[], Picture]
    min_face: int | None = None
    truth: Truth | None = None


def all_cases(data: Path, sample: int, service: Checkout) -> list[Case]:
    """List what is sent.

    Args:
        data: folder of the sets and their tables.
        sample: how many faces most pictures are made of.
        service: that finds the landmarks of those faces.
    """
    people = subjects(data, sample * max(TIMES["portraits"], TIMES["mask"]), service)
    return [
        *of_faces(people, sample),
        *(
            Case("photos", "as they are", number, lambda picture=picture: picture)  # type: ignore[misc]
            for number, picture in enumerate(whole_photos())
        ),
        *_without_people(data, sample * TIMES["without people"]),
        *_labelled(data, sample * TIMES["labelled"]),
    ]


def of_faces(people: list[Scene], sample: int) -> Iterator[Case]:
    """Yield pictures of faces, at every size, turn and border, and with things wrong.

    Args:
        people: the faces.
        sample: how many of them are enough for most parts.
    """
    few = people[:sample]
    for size in SIZES:
        yield from _each(few, "size", size, lambda face, _, s=size: close(face, 1000, s / 100))
    shares = np.linspace(*PORTRAIT, max(1, min(len(people), sample * TIMES["portraits"])))
    yield from _each(
        people[: len(shares)],
        "portraits",
        "59-70 %",
        lambda face, number: close(face, 1024, float(shares[number])),
    )
    for degrees in TURNS:
        yield from _each(
            people[: sample * TIMES["turn"]],
            "turn",
            degrees,
            lambda face, _, d=degrees: turned(face, d),
        )
    for border in BORDERS:
        for outside in OUTSIDE:
            yield from _each(
                few,
                border,
                outside,
                lambda face, _, b=border, o=outside: at_border(face, b, o / 100),
            )
    for name in CHANGES:
        yield from _each(
            people[: sample * TIMES.get(name, 1)],
            "changed",
            name,
            lambda face, number, name=name: changed(face, name, number),
        )
    for name, shape, height, min_face, grey in LARGE:
        for number in range(LARGE_PICTURES):
            chosen = [few[(number * 5 + i) % len(few)] for i in range(min(len(few), 12))]
            yield Case(
                "large",
                name,
                number,
                lambda c=chosen, s=shape, h=height, g=grey: several(c, s, h, g),  # type: ignore[misc]
                min_face,
            )


def _each(
    people: list[Scene], part: str, value: str | int, make: Callable[..., Scene]
) -> Iterator[Case]:
    for number, face in enumerate(people):

        def picture(face: Scene = face, number: int = number) -> Picture:
            made = make(face, number)
            return sent(made.image, made.box[None])

        yield Case(part, str(value), number, picture)


def _without_people(data: Path, count: int) -> Iterator[Case]:
    for number, each in enumerate(without_people(data, count)):
        value = f"{each.kind}, {'seen' if each.seen else 'unseen'}"
        yield Case(
            "without people",
            value,
            number,
            lambda image=each.image: sent(image, NO_BOXES),  # type: ignore[misc]
        )


def _labelled(data: Path, count: int) -> Iterator[Case]:
    for name in SETS:
        labels = labelled(data, name, count)
        for i in range(len(labels)):
            truth = Truth(int(labels.low[i]), int(labels.high[i]), "FM"[int(labels.male[i])])

            def picture(path: Path = data / str(labels.name[i])) -> Picture:
                image, _ = with_border(read_image(path))
                return sent(image, NO_BOXES)

            yield Case("labelled", name, i, picture, truth=truth)
