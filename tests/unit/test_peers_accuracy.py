"""How the accuracy of other packages is compared with ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.peers import accuracy
from benchmarks.peers.accuracy_table import MIN_COMMON, Estimates, comparison, metrics, summary
from benchmarks.peers.answers import Answers
from benchmarks.peers.peer import ESTIMATORS, Kind, Unavailable
from benchmarks.peers.pictures import Pictures, choose
from training.data import Labels, is_validation


def labels_of(
    names: list[str], low: list[int], high: list[int] | None = None, male: bool = True
) -> Labels:
    count = len(names)
    return Labels(
        np.array(names),
        np.array(low),
        np.array(low if high is None else high),
        np.full(count, male),
        np.full(count, ""),
    )


NAMES = [
    f"{folder}/{i}.webp"
    for folder in ("utk_train", "fairface_train", "fairface_more")
    for i in range(400)
]


class TestChoice:
    def choice(self, names: list[str], per_set: int) -> Pictures:
        return choose(Path(), labels_of(names, [30] * len(names)), per_set)

    def test_only_the_validation_part_and_the_same_number_of_each_set(self) -> None:
        chosen = self.choice(NAMES, 20)
        assert is_validation(chosen.labels.name.tolist()).all()
        sets, counts = np.unique(chosen.sets, return_counts=True)
        assert dict(zip(sets.tolist(), counts.tolist(), strict=True)) == {
            "UTKFace": 20,
            "FairFace": 20,
        }

    def test_the_same_whatever_the_order_and_part_of_a_larger_choice(self) -> None:
        few = set(self.choice(NAMES, 10).labels.name.tolist())
        assert set(self.choice(NAMES[::-1], 10).labels.name.tolist()) == few
        assert few < set(self.choice(NAMES, 20).labels.name.tolist())

    def test_no_pictures(self) -> None:
        assert len(self.choice([], 5).labels) == 0


class TestEstimate:
    @pytest.fixture
    def pictures(self, tmp_path: Path) -> Pictures:
        names = ["a/0.png", "a/1.png"]
        (tmp_path / "a").mkdir()
        for i, name in enumerate(names):
            cv2.imwrite(str(tmp_path / name), np.full((100, 100, 3), i, np.uint8))
        return Pictures(tmp_path, labels_of(names, [30, 30]), np.array(["a", "a"]))

    def test_the_face_in_the_middle_counts(self, pictures: Pictures, tmp_path: Path) -> None:
        @contextmanager
        def program() -> Iterator[accuracy.Runner]:
            def run(image: Any) -> list[accuracy.Face]:
                assert image.shape == (160, 160, 3)
                if image[0, 0, 0] == 0:
                    return []
                return [[70, "male", 0, 0, 60, 60], [31.5, "female", 50, 50, 110, 110]]

            yield run

        found = accuracy.estimate(program, pictures, Answers(tmp_path / "answers"))
        assert found.found.tolist() == [False, True]
        assert (found.ages[1], found.genders[1]) == (31.5, "F")

    def test_an_interrupted_run_goes_on(self, pictures: Pictures, tmp_path: Path) -> None:
        asked: list[int] = []

        @contextmanager
        def program() -> Iterator[accuracy.Runner]:
            def run(image: Any) -> list[accuracy.Face]:
                asked.append(int(image[0, 0, 0]))
                return [[20 + len(asked), "M", 50, 50, 110, 110]]

            yield run

        kept = tmp_path / "answers"
        kept.write_text('["a/0.png", 44.0, "F"]\n["a/1.png", 7')
        for _ in range(2):
            found = accuracy.estimate(program, pictures, Answers(kept))
            assert found.ages.tolist() == [44.0, 21.0]
            assert found.genders.tolist() == ["F", "M"]
        assert asked == [1]

    def test_what_cannot_be_installed_is_reported(
        self, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def ours(model: str) -> Iterator[accuracy.Runner]:
            yield lambda image: [[30 + len(model), "M", 40, 40, 120, 120]]

        @contextmanager
        def absent(kind: Kind) -> Iterator[accuracy.Runner]:
            raise Unavailable("node is not installed")
            yield

        monkeypatch.setattr(accuracy, "ours", ours)
        monkeypatch.setattr(accuracy, "theirs", absent)
        results = accuracy.measure(pictures, tmp_path, jobs=2)
        first, second, *others = results["programs"]
        assert first["sets"]["a"]["found"]["mae"][0] == len("agn-v2")
        assert second["sets"]["a"]["found"]["mae"][0] == len("agn-v2-research")
        assert "UTKFace" in second["data"]
        assert "UTKFace" not in first["data"]
        assert [row["unavailable"] for row in others] == ["node is not installed"] * len(ESTIMATORS)


class TestMetrics:
    def test_exact_ages(self) -> None:
        answer = Estimates(np.array([30.0, 44.0, np.nan]), np.array(["M", "F", ""]))
        truth = labels_of(["a", "b", "c"], [32, 40, 5])
        measured = metrics(answer, truth, answer.found)
        assert measured["mae"][0] == 3.0
        assert measured["gender"][0] == 0.5

    def test_ranges_of_ages(self) -> None:
        answer = Estimates(np.array([19.9, 20.0, 71.0]), np.array(["F", "F", "U"]))
        truth = labels_of(["a", "b", "c"], [20, 20, 70], [29, 29, 120], male=False)
        measured = metrics(answer, truth, answer.found)
        assert measured["bucket"][0] == pytest.approx(2 / 3, abs=1e-4)
        assert measured["gender"][0] == pytest.approx(2 / 3, abs=1e-4)  # "U" is none

    def test_nothing_found(self) -> None:
        answer = Estimates(np.array([np.nan]), np.array([""]))
        assert metrics(answer, labels_of(["a"], [20]), answer.found) == {}


class TestSummary:
    @pytest.fixture
    def results(self) -> dict[str, Any]:
        """Of two programs, one misses the first of all pictures; a third is not installed."""
        count = MIN_COMMON + 1
        one = Estimates(np.full(count, 31.0), np.full(count, "M"))
        two = Estimates(np.full(count, 33.0), np.full(count, "F"))
        two.ages[0] = np.nan
        one.ages[0] = 61.0
        programs = [
            {"name": "one", "ours": True, "data": ["a"]},
            {"name": "two", "ours": False, "data": None},
            {"name": "three", "ours": False, "data": ["b"]},
        ]
        labels = labels_of([f"a/{i}" for i in range(count)], [30] * count)
        return summary(programs, [one, two, "no pip"], labels, np.full(count, "a"))

    def test_faces_that_all_find(self, results: dict[str, Any]) -> None:
        assert results["sets"] == {"a": {"pictures": MIN_COMMON + 1, "common": MIN_COMMON}}
        one, two, three = results["programs"]
        assert one["sets"]["a"]["found"]["mae"][0] == pytest.approx(1 + 30 / 31, abs=1e-4)
        assert one["sets"]["a"]["common"]["mae"] == [1.0, 1.0, 1.0]
        assert two["sets"]["a"]["missed"][0] == pytest.approx(1 / 31, abs=1e-4)
        assert three["unavailable"] == "no pip"

    def test_table(self, results: dict[str, Any]) -> None:
        lines = comparison(results).splitlines()
        rows = [line for line in lines if line.startswith("| a |")]
        assert [row.split(" | ")[1:3] for row in rows] == [
            ["one", "yes, not these pictures"],
            ["two", "not published"],
        ]
        assert "a 31 (30)" in lines[0]
        assert lines[-1] == "three: not measured, no pip"
