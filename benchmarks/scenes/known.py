"""Real pictures with the right answers, which may not be published: see the README beside them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, ios_matrix, iou_matrix
from benchmarks.scenes.counting import DUPLICATE_IOS
from benchmarks.scenes.services import DETECTORS, Checkout, Face

MIN_IOU = 0.3
"""Of an answer with a box that is drawn by hand, roughly."""
MAX_YEARS = 15.0
"""By which the estimate of a known age may be off."""
SURE = 0.9
"""Gender probability above which a wrong gender counts."""


@dataclass(frozen=True)
class Known:
    """A picture and what is right about it.

    Attributes:
        path: of the file.
        boxes: of the faces, float32 ``[N, 4]``, pixels.
        marks: of each: ``?`` may be missing, ``+`` must be reliable, ``-`` must not.
        others: which further answers are fine: ``*`` any, ``*-`` those not reliable, or none.
        age: of the first face, if known, years.
        gender: likewise.
    """

    path: Path
    boxes: Float
    marks: tuple[str, ...]
    others: str
    age: float | None
    gender: str | None


@dataclass(frozen=True)
class Verdict:
    """How right an answer is.

    Attributes:
        wrong: what is not, in words; empty if nothing.
        duplicates: further boxes on one face.
        phantoms: reliable boxes where no face is, or a second time on one.
    """

    wrong: tuple[str, ...]
    duplicates: int
    phantoms: int


def read(folder: Path) -> list[Known]:
    """Read ``cases.csv`` of a folder of pictures."""
    with (folder / "cases.csv").open(newline="", encoding="utf-8") as lines:
        return [_known(folder, row) for row in csv.DictReader(lines)]


def _known(folder: Path, row: Mapping[str, str]) -> Known:
    parts = [part.strip() for part in row["boxes"].split(";") if part.strip()]
    boxes = [part for part in parts if not part.startswith("*")]
    return Known(
        folder / row["file"],
        np.array([part.rstrip("?+-").split() for part in boxes], np.float32).reshape(-1, 4),
        tuple(part.lstrip("0123456789. ") for part in boxes),
        next((part for part in parts if part.startswith("*")), ""),
        float(row["age"]) if row["age"] else None,
        row["gender"] or None,
    )


def assessed(known: Known, faces: Sequence[Face]) -> Verdict:
    """Compare an answer, most probable face first, with what is right."""
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    of_answer = _matched(boxes, known.boxes)
    found = {int(face): faces[i] for i, face in enumerate(of_answer) if face >= 0}
    further = [i for i, face in enumerate(of_answer) if face < 0]
    wrong = []
    for number, mark in enumerate(known.marks):
        face = found.get(number)
        if face is None:
            wrong += [] if "?" in mark else ["missed"]
        elif ("+" in mark and not face.reliable) or ("-" in mark and face.reliable):
            wrong.append("reliable" if face.reliable else "not reliable")
    allowed = {"*": further, "*-": [i for i in further if not faces[i].reliable], "": []}
    refused = set(further) - set(allowed[known.others])
    wrong += ["no face"] * len(refused)
    wrong += _attributes(known, found.get(0))
    covered = np.any(ios_matrix(boxes, known.boxes) >= DUPLICATE_IOS, axis=1)
    return Verdict(
        tuple(wrong),
        sum(bool(covered[i]) for i in refused),
        sum(faces[i].reliable for i in refused),
    )


def _matched(boxes: Float, labelled: Float) -> NDArray[np.intp]:
    """Index of the labelled face that each answer is the first one for, -1 for none; ``[M]``."""
    matched = np.full(len(boxes), -1)
    overlaps = iou_matrix(boxes, labelled)
    for i in range(len(boxes)):
        free = np.where(np.isin(np.arange(len(labelled)), matched), 0, overlaps[i])
        if free.size and free.max() >= MIN_IOU:
            matched[i] = free.argmax()
    return matched


def _attributes(known: Known, face: Face | None) -> list[str]:
    if face is None:
        return []
    wrong = []
    if known.age is not None and abs(face.age - known.age) > MAX_YEARS:
        wrong.append("age")
    sure = face.gender_probability > SURE
    if known.gender is not None and face.gender != known.gender and sure:
        wrong.append("gender")
    return wrong


def measure(folder: Path, services: Mapping[str, Checkout]) -> list[dict[str, Any]]:
    """Send all pictures; print what is wrong with the answers.

    Returns:
        Rows by service and detector with numbers of ``pictures``, ``right`` ones, ``duplicates``
        and reliable ``phantoms`` among them.
    """
    known = read(folder)
    rows = []
    for detector in DETECTORS:
        for name, service in services.items():
            verdicts = [
                assessed(each, service.faces(each.path.read_bytes(), detector)) for each in known
            ]
            for each, verdict in zip(known, verdicts, strict=True):
                if verdict.wrong:
                    print(f"{name}, {detector}, {each.path.name}: {', '.join(verdict.wrong)}")
            rows.append(
                {
                    **{"part": "cases", "service": name, "detector": detector},
                    "pictures": len(known),
                    "right": sum(not verdict.wrong for verdict in verdicts),
                    "duplicates": sum(verdict.duplicates for verdict in verdicts),
                    "phantoms": sum(verdict.phantoms for verdict in verdicts),
                }
            )
    return rows
