"""Figures in documents are those that were measured; and how they are measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from age_gender.vision.detectors.base import Detections
from benchmarks import figures, tuning, tuning_report
from benchmarks.marks import filled
from tests.markdown import ROOT
from tests.unit.fakes import FakeDetector

PARTS: list[tuple[Path, str, Callable[[dict[str, Any]], str], Path]] = [
    *((path, name, render, figures.RESULTS) for path, name, render in figures.PARTS),
    *(
        (ROOT / "docs" / "tuning.md", name, render, tuning.RESULTS)
        for name, render in tuning_report.PARTS.items()
    ),
]


@pytest.mark.parametrize(
    ("document", "name", "render", "results"), PARTS, ids=[name for _, name, *_ in PARTS]
)
def test_a_document_quotes_the_results(
    document: Path, name: str, render: Callable[[dict[str, Any]], str], results: Path
) -> None:
    text = document.read_text(encoding="utf-8")
    measured = render(json.loads(results.read_text(encoding="utf-8")))
    assert filled(text, name, measured) == text, (
        f"run `python -m benchmarks.figures` or `python -m benchmarks.tuning --report-only`: "
        f"{document.name} and {results.name} differ"
    )


class TestPeers:
    def test_those_that_could_be_measured_are_told(self) -> None:
        times = [{"people": p, "width": 640, "height": 480, "median": 10.4 * p} for p in (1, 10)]
        rows = [
            {"name": "ours, accurate", "pictures": times},
            {"name": "theirs", "pictures": times, "memory_mib": 812.3},
            {"name": "absent", "unavailable": "it needs a GPU"},
        ]
        memory = {"samples": [{"requests": 1000, "pss_mib": 99.6}]}
        _, _, *told = figures.peers({"peers": rows, "memory": memory}).splitlines()
        assert told == [
            "| ours, accurate | 10 ms | 104 ms | 100 MiB |",
            "| theirs | 10 ms | 104 ms | 812 MiB |",
        ]

    def test_before_any_was_measured(self) -> None:
        assert figures.peers({}) == "Beside other libraries: see [benchmarks](docs/benchmarks.md)."


class TestMarks:
    def test_what_is_between_them_is_replaced(self) -> None:
        text = "a <!-- measured: x -->\nold\n<!-- end: x --> b <!-- measured: y --><!-- end: y -->"
        after = "a <!-- measured: x -->\nnew\n<!-- end: x --> b <!-- measured: y --><!-- end: y -->"
        assert filled(text, "x", "new") == after

    @pytest.mark.parametrize("text", ["", "<!-- measured: x -->", "<!-- end: x -->"])
    def test_missing_marks_are_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match="measured: x"):
            filled(text, "x", "new")


class TestCounting:
    def test_a_face_is_found_once(self) -> None:
        truth = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
        found = np.array(
            [[1, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40], [55, 55, 65, 65]], np.float32
        )
        # The second is the first face told twice, the last overlaps the other face by a seventh.
        assert tuning.matched(found, truth).tolist() == [True, False, False, False]

    def test_nothing_is_right_where_nobody_is(self) -> None:
        found = np.array([[0, 0, 10, 10]], np.float32)
        assert tuning.matched(found, np.empty((0, 4), np.float32)).tolist() == [False]

    def test_nothing_found(self) -> None:
        truth = np.array([[0, 0, 10, 10]], np.float32)
        assert tuning.matched(np.empty((0, 4), np.float32), truth).tolist() == []

    def test_thresholds(self) -> None:
        told = tuning.Tally(
            hits=np.array([0.9, 0.6, 0.3], np.float32), false=np.array([0.4], np.float32), faces=4
        )
        assert told.at(0.5) == {"confidence": 0.5, "recall": 0.5, "precision": 1.0, "false": 0}
        assert told.at(0.3) == {"confidence": 0.3, "recall": 0.75, "precision": 0.75, "false": 1}
        assert told.at(0.95)["recall"] == 0

    def test_scores_are_sorted_into_hits_and_false_ones(self) -> None:
        boxes = np.array([[0, 0, 10, 10], [40, 40, 50, 50]], np.float32)
        detector = FakeDetector(Detections(boxes, np.array([0.9, 0.8], np.float32)))
        image = np.zeros((64, 64, 3), np.uint8)
        scenes = [tuning.Scene(image, boxes[:1]), tuning.Scene(image, boxes[1:])]
        told = tuning.tally(detector, scenes, None)
        np.testing.assert_allclose(told.hits, [0.9, 0.8])
        np.testing.assert_allclose(told.false, [0.8, 0.9])
        assert told.faces == 2


class TestPasting:
    @pytest.mark.parametrize("side", tuning.CROP_SIDES)
    def test_every_crop_is_where_it_is_said_to_be(self, side: int) -> None:
        crops = [np.full((32, 32, 3), 3 * i, np.uint8) for i in range(60)]
        scenes = list(tuning.pasted(crops, side))
        seen = [
            scene.image[int(y1) : int(y2), int(x1) : int(x2)]
            for scene in scenes
            for x1, y1, x2, y2 in scene.boxes
        ]
        assert len(seen) == len(crops)
        for crop, region in zip(crops, seen, strict=True):
            assert region.shape[:2] == (round(side / 0.8),) * 2
            assert (region == crop[0, 0]).all()

    def test_a_folder_with_too_few_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit, match="has 0 pictures, fewer than 5"):
            tuning.read_crops(tmp_path, 5)
