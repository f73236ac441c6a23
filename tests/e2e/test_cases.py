"""Pictures of the kind `format` among the cases on which the service once failed.

They may not be published, so they lie beside the repository, and the test skips where they do not.
"""

import csv
from pathlib import Path

import pytest

from age_gender.analyzer import FaceAnalyzer

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
OVERLAP = 0.3


def rows() -> list[dict[str, str]]:
    table = CASES / "cases.csv"
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == "format"]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.fixture(scope="module")
def analyzer() -> FaceAnalyzer:
    return FaceAnalyzer()


@pytest.mark.skipif(not rows(), reason="NOT TESTED: ../shared/cases is not there")
def test_pictures_are_read_upright(analyzer: FaceAnalyzer) -> None:
    missed = []
    for row in rows():
        found = [face.box for face in analyzer.analyze(CASES / row["file"])]
        for part in row["boxes"].split(";"):
            numbers = part.split()[:4]
            if "*" in part or "?" in part:
                continue
            wanted = tuple(float(number.rstrip("+-")) for number in numbers)
            if not any(overlap(wanted, box) > OVERLAP for box in found):
                missed.append((row["file"], wanted))
    assert missed == []
