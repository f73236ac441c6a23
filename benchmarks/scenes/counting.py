"""Compares answers with what is in the pictures, and counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import clip_boxes, ios_matrix
from benchmarks import tuning
from benchmarks.scenes.cases import Case, Truth
from benchmarks.scenes.pictures import Picture
from benchmarks.scenes.services import Face, central

SAME_AGE = 8.0
"""Years by which the ages of one face may differ between two pictures."""
DUPLICATE_IOS = 0.5
"""Overlap with a face from which another box is a duplicate of it."""
CURVE_POINTS = 40
MIN_KEPT = 0.1
"""Share of the faces from which the curves are drawn."""


@dataclass(frozen=True)
class Outcome:
    """An answer to one picture.

    Attributes:
        part: of the picture, see `Case`.
        value: likewise.
        number: likewise.
        service: which one answered.
        detector: which one was asked for.
        labelled: faces in the picture.
        found: those of them that were found, as answered.
        duplicates: further boxes on faces.
        elsewhere: boxes that are on no face.
        reliable_elsewhere: those of duplicates and boxes elsewhere that are reliable.
        truth: label of the only face.
    """

    part: str
    value: str
    number: int
    service: str
    detector: str
    labelled: int
    found: tuple[Face, ...]
    duplicates: int
    elsewhere: int
    reliable_elsewhere: int
    truth: Truth | None = None

    @property
    def boxes(self) -> int:
        """All boxes of the answer."""
        return len(self.found) + self.duplicates + self.elsewhere


def compared(
    case: Case, picture: Picture, faces: Sequence[Face], service: str, detector: str
) -> Outcome:
    """Say which faces an answer found.

    Args:
        case: that was sent.
        picture: likewise.
        faces: of the answer, most probable first.
        service: that answered.
        detector: likewise.
    """
    if case.truth is not None:
        subject = central(faces, picture.size)
        hits = np.array([face is subject for face in faces], bool)
        labelled, on_a_face = 1, np.zeros(len(faces), bool)
    else:
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        seen = clip_boxes(picture.boxes, *picture.size)
        hits, labelled = tuning.match(boxes, seen), len(seen)
        on_a_face = np.any(ios_matrix(boxes, seen) >= DUPLICATE_IOS, axis=1)
    others = [face for face, hit in zip(faces, hits, strict=True) if not hit]
    return Outcome(
        *(case.part, case.value, case.number, service, detector, labelled),
        found=tuple(face for face, hit in zip(faces, hits, strict=True) if hit),
        duplicates=int((on_a_face & ~hits).sum()),
        elsewhere=int((~on_a_face & ~hits).sum()),
        reliable_elsewhere=sum(face.reliable for face in others),
        truth=case.truth,
    )


def counted(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Count by part, value, service and detector.

    Returns:
        Rows with, besides these, numbers of ``pictures``, ``faces`` in them, ``found`` ones,
        ``right`` pictures (each face once and nothing else), pictures with ``several`` boxes
        beyond those of its faces, with ``any`` box, ``duplicates``, boxes ``elsewhere``,
        ``reliable`` faces, ``reliable_elsewhere``, and found faces estimated as ``under_16``.
    """
    rows = []
    for key, group in _groups(outcomes):
        found = [face for outcome in group for face in outcome.found]
        rows.append(
            key
            | {
                "pictures": len(group),
                "faces": sum(o.labelled for o in group),
                "found": len(found),
                "right": sum(len(o.found) == o.labelled == o.boxes for o in group),
                "several": sum(o.boxes > o.labelled for o in group),
                "any": sum(o.boxes > 0 for o in group),
                "duplicates": sum(o.duplicates for o in group),
                "elsewhere": sum(o.elsewhere for o in group),
                "reliable": sum(face.reliable for face in found),
                "reliable_elsewhere": sum(o.reliable_elsewhere for o in group),
                "under_16": sum(face.age < 16 for face in found),
            }
        )
    return rows


def _groups(outcomes: Iterable[Outcome]) -> list[tuple[dict[str, Any], list[Outcome]]]:
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for o in outcomes:
        groups.setdefault((o.part, o.value, o.service, o.detector), []).append(o)
    names = ("part", "value", "service", "detector")
    return [(dict(zip(names, key, strict=True)), group) for key, group in groups.items()]


def turns(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Compare what is answered for turned faces with what is for the same ones upright.

    Returns:
        Rows by angle, service and detector with numbers of ``faces`` that are found upright, those
        of the ``same`` gender and about the same age, and those that are not, but ``wrong`` and
        reliable.
    """
    known = list(outcomes)
    upright = {
        (o.service, o.detector, o.number): o.found[0] for o in known if o.value == "0" and o.found
    }
    rows = []
    for key, group in _groups(known):
        pairs = [
            (upright[o.service, o.detector, o.number], o.found)
            for o in group
            if (o.service, o.detector, o.number) in upright
        ]
        same = [bool(found) and _alike(face, found[0]) for face, found in pairs]
        wrong = [
            bool(found) and found[0].reliable and not alike
            for (_, found), alike in zip(pairs, same, strict=True)
        ]
        rows.append(key | {"faces": len(pairs), "same": sum(same), "wrong": sum(wrong)})
    return rows


def _alike(one: Face, other: Face) -> bool:
    return one.gender == other.gender and abs(one.age - other.age) <= SAME_AGE


def errors(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Measure the errors of reliable faces, and of those left out.

    Returns:
        Rows by set, service and detector with, for ``reliable`` and ``left_out`` faces, their
        number ``faces``, the mean ``years`` that ages are off (outside the labelled range), and the
        share of wrong ``genders``; and curves of both errors over the share of faces kept.
    """
    rows = []
    for key, group in _groups(outcomes):
        pairs = [(o.found[0], o.truth) for o in group if o.found and o.truth is not None]
        reliable = np.array([face.reliable for face, _ in pairs], bool)
        years = np.array([max(t.low - f.age, f.age - t.high, 0.0) for f, t in pairs])
        wrong = np.array([f.gender != t.gender for f, t in pairs], float)
        rows.append(
            key
            | {
                "reliable": _means(years, wrong, reliable),
                "left_out": _means(years, wrong, ~reliable),
                "years_curve": curve(years, np.array([f.width for f, _ in pairs])),
                "genders_curve": curve(wrong, np.array([-f.gender_probability for f, _ in pairs])),
            }
        )
    return rows


def _means(
    years: NDArray[np.float64], wrong: NDArray[np.float64], rows: NDArray[np.bool_]
) -> dict[str, float | int | None]:
    count = int(rows.sum())
    return {
        "faces": count,
        "years": round(float(years[rows].mean()), 3) if count else None,
        "genders": round(float(wrong[rows].mean()), 4) if count else None,
    }


def curve(values: NDArray[np.float64], risks: NDArray[np.float64]) -> list[list[float]]:
    """Mean of the errors of the faces with the least risks, over the share of faces kept.

    Args:
        values: errors, ``[N]``.
        risks: what the answer says of them, ``[N]``.

    Returns:
        Pairs of a share and a mean, by rising share.
    """
    if not len(values):
        return []
    means = values[np.argsort(risks, kind="stable")].cumsum() / np.arange(1, len(values) + 1)
    counts = np.linspace(max(1, MIN_KEPT * len(values)), len(values), CURVE_POINTS).astype(int)
    return [[round(n / len(values), 4), round(float(means[n - 1]), 4)] for n in np.unique(counts)]
