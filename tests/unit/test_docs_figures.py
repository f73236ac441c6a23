"""Figures in documents match the results; and how they are measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from age_gender.vision.detectors.base import Detections
from benchmarks import attacks, bounds, containers, figures, tuning, tuning_report
from benchmarks.markers import replace_section
from benchmarks.peers import accuracy, accuracy_table
from benchmarks.scale.__main__ import DOCUMENT as SCALE
from benchmarks.scale.__main__ import RESULTS as SIMULATED
from benchmarks.scale.report import PARTS as SCALE_PARTS
from benchmarks.scenes import report as scenes_report
from tests.markdown import ROOT
from tests.unit.fakes import FakeDetector

PARTS: list[tuple[Path, str, Callable[[dict[str, Any]], str], Path]] = [
    *((path, name, render, figures.RESULTS) for path, name, render in figures.PARTS),
    *(
        (ROOT / "docs" / "tuning.md", name, render, tuning.RESULTS)
        for name, render in tuning_report.PARTS.items()
    ),
    *((SCALE, name, render, SIMULATED) for name, render in SCALE_PARTS.items()),
    *(
        (ROOT / "docs" / "security.md", name, module.section, module.RESULTS)
        for name, module in (("attacks", attacks), ("bounds", bounds), ("containers", containers))
    ),
    (accuracy.PAGE, "peers", accuracy_table.comparison, accuracy.RESULTS),
    *(
        (ROOT / "docs" / "tuning.md", name, render, scenes_report.RESULTS)
        for name, render in scenes_report.PARTS.items()
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
    assert replace_section(text, name, measured) == text, (
        "run `python -m benchmarks.figures`, or `benchmarks.tuning`, `benchmarks.scenes` or "
        f"`benchmarks.scale` with `--report-only`: {document.name} and {results.name} differ"
    )


class TestPeers:
    def test_measured_peers_are_listed(self) -> None:
        times = [{"people": p, "width": 640, "height": 480, "median": 10.4 * p} for p in (1, 10)]
        rows = [
            {"name": "ours, accurate", "images": times},
            {"name": "theirs", "images": times, "memory_mib": 812.3},
            {"name": "absent", "unavailable": "it needs a GPU"},
        ]
        memory = {"samples": [{"requests": 1000, "pss_mib": 99.6}]}
        _, _, *rows_written = figures.peers({"peers": rows, "memory": memory}).splitlines()
        assert rows_written == [
            "| ours, accurate | 10 ms | 104 ms | 100 MiB |",
            "| theirs | 10 ms | 104 ms | 812 MiB |",
        ]

    def test_before_any_was_measured(self) -> None:
        assert (
            figures.peers({})
            == "Compared with other libraries: see [benchmarks](docs/benchmarks.md)."
        )


class TestMarkers:
    def test_a_section_is_replaced(self) -> None:
        text = "a <!-- measured: x -->\nold\n<!-- end: x --> b <!-- measured: y --><!-- end: y -->"
        after = "a <!-- measured: x -->\nnew\n<!-- end: x --> b <!-- measured: y --><!-- end: y -->"
        assert replace_section(text, "x", "new") == after

    @pytest.mark.parametrize("text", ["", "<!-- measured: x -->", "<!-- end: x -->"])
    def test_missing_markers_are_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match="measured: x"):
            replace_section(text, "x", "new")


class TestMatching:
    def test_a_face_is_matched_once(self) -> None:
        labelled = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
        detected = np.array(
            [[1, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40], [55, 55, 65, 65]], np.float32
        )
        # The second is a duplicate; the last has an IoU of a seventh with the other face.
        assert tuning.match(detected, labelled).tolist() == [True, False, False, False]

    def test_without_faces_every_detection_is_a_false_positive(self) -> None:
        detected = np.array([[0, 0, 10, 10]], np.float32)
        assert tuning.match(detected, np.empty((0, 4), np.float32)).tolist() == [False]

    def test_no_detections(self) -> None:
        labelled = np.array([[0, 0, 10, 10]], np.float32)
        assert tuning.match(np.empty((0, 4), np.float32), labelled).tolist() == []

    def test_thresholds(self) -> None:
        scores = tuning.Scores(
            hits=np.array([0.9, 0.6, 0.3], np.float32),
            false_positives=np.array([0.4], np.float32),
            faces=4,
        )
        assert scores.at(0.5) == {
            "confidence": 0.5,
            "recall": 0.5,
            "precision": 1.0,
            "false_positives": 0,
        }
        assert scores.at(0.3) == {
            "confidence": 0.3,
            "recall": 0.75,
            "precision": 0.75,
            "false_positives": 1,
        }
        assert scores.at(0.95)["recall"] == 0

    def test_scores_are_split_into_hits_and_false_positives(self) -> None:
        boxes = np.array([[0, 0, 10, 10], [40, 40, 50, 50]], np.float32)
        detector = FakeDetector(Detections(boxes, np.array([0.9, 0.8], np.float32)))
        image = np.zeros((64, 64, 3), np.uint8)
        scenes = [tuning.Scene(image, boxes[:1]), tuning.Scene(image, boxes[1:])]
        scores = tuning.score(detector, scenes, None)
        np.testing.assert_allclose(scores.hits, [0.9, 0.8])
        np.testing.assert_allclose(scores.false_positives, [0.8, 0.9])
        assert scores.faces == 2


class TestPasting:
    @pytest.mark.parametrize("side", tuning.CROP_SIDES)
    def test_every_crop_is_at_its_box(self, side: int) -> None:
        crops = [np.full((32, 32, 3), 3 * i, np.uint8) for i in range(60)]
        scenes = list(tuning.pasted(crops, side))
        regions = [
            scene.image[int(y1) : int(y2), int(x1) : int(x2)]
            for scene in scenes
            for x1, y1, x2, y2 in scene.boxes
        ]
        assert len(regions) == len(crops)
        for crop, region in zip(crops, regions, strict=True):
            assert region.shape[:2] == (round(side / 0.8),) * 2
            assert (region == crop[0, 0]).all()

    def test_a_folder_with_too_few_images(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit, match="has 0 images, fewer than 5"):
            tuning.read_crops(tmp_path, 5)
