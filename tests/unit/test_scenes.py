"""The pictures of ``benchmarks.scenes``, and how answers to them are counted."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from age_gender.vision.geometry import Float, Image
from benchmarks.scenes import counting, known, material, report
from benchmarks.scenes.__main__ import merged
from benchmarks.scenes.cases import OUTSIDE, SIZES, TURNS, Case, Truth, of_faces
from benchmarks.scenes.pictures import (
    BORDERS,
    CHANGES,
    Picture,
    Scene,
    at_border,
    changed,
    close,
    cut,
    scene,
    several,
    turned,
)
from benchmarks.scenes.services import DETECTORS, Face, central
from testing import photos
from training.data import in_second_half, is_validation

RED, GREEN, BLUE = (220, 40, 40), (0, 220, 0), (0, 0, 220)


def drawing() -> Scene:
    """A grey square with a red face of 80x100 pixels, whose eyes are green and mouth is blue."""
    image = np.full((180, 180, 3), 90, np.uint8)
    image[40:140, 50:130] = RED
    landmarks = np.array([[70, 70], [110, 70], [90, 90], [75, 115], [105, 115]], np.float32)
    for x, y in landmarks[:2].astype(int):
        image[y - 5 : y + 5, x - 5 : x + 5] = GREEN
    image[110:120, 75:105] = BLUE
    return Scene(image, np.array([50, 40, 130, 140], np.float32), landmarks)


def extent(image: Image) -> Float:
    """The box around everything that is not grey."""
    ys, xs = np.nonzero(np.ptp(image.astype(int), axis=2) > 100)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def answered(box: tuple[int, int, int, int], **fields: Any) -> Face:
    face = Face(np.array(box, np.float32), None, 30.0, 10.0, "F", 0.9, reliable=True)
    return replace(face, **fields)


class TestPictures:
    @pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
    def test_a_face_has_its_share_of_the_height(self, share: float) -> None:
        made = close(drawing(), 400, share)
        assert made.image.shape == (400, 400, 3)
        assert made.height == pytest.approx(400 * share)
        np.testing.assert_allclose(extent(made.image), made.box, atol=1.5)
        np.testing.assert_allclose((made.box[:2] + made.box[2:]) / 2, 200, atol=0.01)

    def test_a_face_larger_than_the_picture(self) -> None:
        made = close(drawing(), 400, 1.5)
        np.testing.assert_allclose(made.box, [-40, -100, 440, 500], atol=0.01)
        assert (made.image[:, 0] != 90).any()

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270, 40])
    def test_landmarks_turn_with_the_face(self, degrees: int) -> None:
        made = turned(drawing(), degrees)
        assert made.landmarks is not None
        for x, y in made.landmarks[:2].round().astype(int):
            assert made.image[y, x].argmax() == 1
        eyes = made.landmarks[1] - made.landmarks[0]
        assert np.degrees(np.arctan2(eyes[1], eyes[0])) % 360 == pytest.approx(degrees, abs=0.1)

    def test_no_face_is_enlarged_but_for_a_close_up(self) -> None:
        assert turned(drawing(), 0).height == pytest.approx(100)
        large = drawing()
        large = Scene(large.image.repeat(3, 0).repeat(3, 1), large.box * 3)
        assert turned(large, 0).height == pytest.approx(192)

    @pytest.mark.parametrize("border", BORDERS)
    @pytest.mark.parametrize("outside", [-0.25, 0.0, 0.5])
    def test_the_distance_from_a_border(self, border: str, outside: float) -> None:
        made = at_border(drawing(), border, outside)
        axis = 0 if border in ("left", "right") else 1
        size = (640, 480)[axis]
        first, last = made.box[axis], made.box[axis + 2]
        beyond = -first if border in ("left", "top") else last - size
        assert beyond / (last - first) == pytest.approx(outside, abs=0.001)
        seen = extent(made.image)
        clipped = np.clip(made.box, 0, (640, 480, 640, 480))
        np.testing.assert_allclose(seen, clipped, atol=1.5)

    @pytest.mark.parametrize("name", [name for name in CHANGES if name != "unchanged"])
    def test_what_is_changed_is_the_face(self, name: str) -> None:
        before, after = (changed(drawing(), each, 3) for each in ("unchanged", name))
        np.testing.assert_array_equal(before.box, after.box)
        x1, y1, x2, y2 = before.box.astype(int)
        face = np.abs(before.image.astype(int) - after.image)[y1:y2, x1:x2]
        assert face.mean() > 5
        np.testing.assert_array_equal(after.image, changed(drawing(), name, 3).image)

    def test_blur_follows_the_size_of_the_face(self) -> None:
        image = np.zeros((400, 400, 3), np.uint8)
        image[:, 200] = 255
        for height in (50, 150):
            picture = Scene(image, np.array([0, 0, height, height], np.float32))
            rng = np.random.default_rng(2)
            angle = np.random.default_rng(2).uniform(0, np.pi)
            blurred = CHANGES["motion"](picture, rng)
            spread = int((blurred[200].max(axis=-1) > 0).sum())
            assert spread == pytest.approx(abs(np.cos(angle)) * 0.15 * height + 1, abs=3)

    def test_several_faces_in_one_picture(self) -> None:
        made = several([drawing()] * 7, (1400, 300), 50, 100)
        assert made.size == (1400, 300)
        image = photos.decoded(made.data)
        assert image.shape == (300, 1400, 3)
        assert len(made.boxes) == 7
        for x1, y1, x2, y2 in made.boxes.astype(int):
            assert y2 - y1 == pytest.approx(50, abs=1)
            assert image[y1 + 3 : y1 + 9, x1 + 3 : x2 - 3, 0].mean() > 180
        assert (np.diff(np.sort(made.boxes[:, 0])) > 100).all()

    def test_a_cut_repeats_the_edges(self) -> None:
        image = np.full((100, 100, 3), 90, np.uint8)
        image[:, 70:] = RED
        face = cut(image, np.array([70, 20, 100, 60], np.float32))
        x1, y1, x2, y2 = face.box.astype(int)
        assert (x2 - x1, y2 - y1) == (30, 40)
        assert (face.image[y1:y2, x1:] == RED).all()
        assert face.image.shape[0] == face.image.shape[1]


class TestCases:
    def test_every_part_and_no_more_than_asked_for(self) -> None:
        cases = list(of_faces([drawing()] * 5, 2))
        counts = {
            part: sum(case.part == part for case in cases)
            for part in dict.fromkeys(case.part for case in cases)
        }
        assert counts["size"] == 2 * len(SIZES)
        assert counts["turn"] == 4 * len(TURNS)
        assert {counts[border] for border in BORDERS} == {2 * len(OUTSIDE)}
        assert counts["portraits"] == 5
        assert sum(case.value == "mask" for case in cases) == 4
        assert sum(case.value == "hand" for case in cases) == 2

    def test_portraits_are_of_all_sizes(self) -> None:
        heights = [
            case.make().boxes[0]
            for case in of_faces([drawing()] * 3, 1)
            if case.part == "portraits"
        ]
        shares = [(box[3] - box[1]) / 1024 for box in heights]
        np.testing.assert_allclose(shares, [0.59, 0.645, 0.70], atol=0.001)


class TestMaterial:
    def test_labelled_pictures_are_those_that_nothing_was_fitted_on(self, tmp_path: Path) -> None:
        names = [f"aaf_train/{i}.webp" for i in range(600)]
        fresh = [n for n in names if is_validation([n])[0] and in_second_half([n])[0]]
        doubtful = fresh[0]
        with (tmp_path / "aaf_train.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "age", "gender"), *((n, 9, "M") for n in names)])
        with (tmp_path / "clean.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "reason"), (doubtful, "several faces")])
        chosen = material.labelled(tmp_path, "All-Age-Faces", 1000)
        assert set(chosen.name) == set(fresh) - {doubtful}
        assert len(material.labelled(tmp_path, "All-Age-Faces", 7)) == 7

    def test_pictures_without_people_say_what_was_fitted_on(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(photos.encoded(drawing().image, ".png"))
        rows = [
            ("file", "kind", "licence"),
            ("a.png", "cat", "BSD"),
            ("b.png", "dog", "ImageNet (research only)"),
        ]
        with (tmp_path / "animals.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        found = material.without_people(tmp_path, 10)
        assert [(each.kind, each.seen) for each in found[:2]] == [("cat", True), ("dog", False)]
        assert {each.kind for each in found[2:]} == {material.THINGS}


def compare(faces: list[Face], *boxes: tuple[int, int, int, int], **fields: Any) -> Any:
    labelled = np.array(boxes, np.float32).reshape(-1, 4)
    picture = Picture(b"", (100, 100), labelled)
    case = Case(
        fields.pop("part", "part"),
        fields.pop("value", "v"),
        fields.pop("number", 0),
        lambda: picture,
    )
    case = replace(case, **fields)
    return counting.compared(case, picture, faces, "now", "fast")


class TestCounting:
    def test_found_duplicate_and_elsewhere(self) -> None:
        faces = [
            answered((10, 10, 50, 50)),
            answered((11, 10, 50, 50)),
            answered((20, 20, 40, 40), reliable=False),
            answered((70, 70, 90, 90)),
        ]
        outcome = compare(faces, (10, 10, 50, 52))
        assert outcome.found == (faces[0],)
        assert (outcome.duplicates, outcome.elsewhere, outcome.reliable_elsewhere) == (2, 1, 2)

    def test_the_visible_part_of_a_face_counts(self) -> None:
        outcome = compare([answered((0, 10, 20, 50))], (-20, 10, 20, 50))
        assert len(outcome.found) == 1

    def test_counts(self) -> None:
        box = (10, 10, 50, 50)
        outcomes = [
            compare([answered(box, age=12.0)], box),
            compare([answered(box, reliable=False), answered(box)], box),
            compare([], box),
            compare([answered((60, 60, 90, 90))], box),
        ]
        (row,) = counting.counted(outcomes)
        assert row == {
            **{"part": "part", "value": "v", "service": "now", "detector": "fast"},
            **{"pictures": 4, "faces": 4, "found": 2, "right": 1, "several": 1, "any": 3},
            **{"duplicates": 1, "elsewhere": 1, "reliable": 1, "reliable_elsewhere": 2},
            "under_16": 1,
        }

    def test_pictures_without_people(self) -> None:
        outcomes = [compare([answered((0, 0, 9, 9))]), compare([])]
        (row,) = counting.counted(outcomes)
        assert (row["faces"], row["found"], row["any"], row["reliable_elsewhere"]) == (0, 0, 1, 1)
        assert row["right"] == 1

    def test_the_subject_of_a_cropped_picture(self) -> None:
        faces = [answered((0, 0, 40, 40)), answered((30, 30, 70, 70)), answered((48, 48, 52, 52))]
        assert central(faces, (100, 100)) is faces[1]
        assert central([], (100, 100)) is None
        outcome = compare(faces, truth=Truth(20, 29, "F"))
        assert outcome.found == (faces[1],)

    def test_turned_faces_are_compared_with_upright_ones(self) -> None:
        box = (10, 10, 50, 50)
        outcomes = [
            *(compare([answered(box)], box, value="0", number=n) for n in range(4)),
            compare([], box, value="0", number=4),
            compare([answered(box, age=38.0)], box, value="180", number=0),
            compare([answered(box, age=38.5)], box, value="180", number=1),
            compare([answered(box, gender="M", reliable=False)], box, value="180", number=2),
            compare([], box, value="180", number=3),
            compare([answered(box)], box, value="180", number=4),
        ]
        rows = {row["value"]: row for row in counting.turns(outcomes)}
        assert (rows["0"]["faces"], rows["0"]["same"], rows["0"]["wrong"]) == (4, 4, 0)
        assert (rows["180"]["faces"], rows["180"]["same"], rows["180"]["wrong"]) == (4, 1, 1)

    def test_errors_of_reliable_faces_and_of_others(self) -> None:
        box = (30, 30, 70, 70)
        outcomes = [
            compare([answered(box, age=25.0)], truth=Truth(20, 29, "F")),
            compare([answered(box, age=33.0)], truth=Truth(20, 29, "F")),
            compare([answered(box, age=14.0, reliable=False)], truth=Truth(20, 20, "M")),
            compare([], truth=Truth(20, 20, "M")),
        ]
        (row,) = counting.errors(outcomes)
        assert row["reliable"] == {"faces": 2, "years": 2.0, "genders": 0.0}
        assert row["left_out"] == {"faces": 1, "years": 6.0, "genders": 1.0}

    def test_the_curve_keeps_the_least_risk_first(self) -> None:
        points = counting.curve(np.array([9.0, 1.0, 2.0, 0.0]), np.array([4.0, 2.0, 3.0, 1.0]))
        assert points == [[0.25, 0.0], [0.5, 0.5], [0.75, 1.0], [1.0, 3.0]]
        assert counting.curve(np.empty(0), np.empty(0)) == []


class TestKnown:
    @pytest.fixture
    def group(self, tmp_path: Path) -> known.Known:
        """A clear face of a woman of 30, one that may be missing, and no others."""
        return self.one(tmp_path, "10 10 50 50+; 60 10 90 40?-")

    @staticmethod
    def one(folder: Path, boxes: str) -> known.Known:
        rows = [("file", "boxes", "age", "gender"), ("a.jpg", boxes, "30", "F")]
        with (folder / "cases.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        (case,) = known.read(folder)
        return case

    def test_the_table_is_read(self, group: known.Known, tmp_path: Path) -> None:
        assert group.path == tmp_path / "a.jpg"
        assert group.boxes.tolist() == [[10, 10, 50, 50], [60, 10, 90, 40]]
        assert (group.marks, group.others) == (("+", "?-"), "")
        others = self.one(tmp_path, "1 2 3 4; *-")
        assert (others.marks, others.others) == (("",), "*-")
        assert self.one(tmp_path, "").boxes.shape == (0, 4)

    @pytest.mark.parametrize(
        ("faces", "wrong"),
        [
            ([answered((10, 10, 50, 50))], ()),
            ([answered((10, 10, 50, 50)), answered((60, 10, 90, 40), reliable=False)], ()),
            ([answered((10, 10, 50, 50)), answered((60, 10, 90, 40))], ("reliable",)),
            ([answered((10, 10, 50, 50), reliable=False)], ("not reliable",)),
            ([], ("missed",)),
            ([answered((10, 10, 50, 50), age=46.0)], ("age",)),
            ([answered((10, 10, 50, 50), gender="M", gender_probability=0.95)], ("gender",)),
            ([answered((10, 10, 50, 50), gender="M", gender_probability=0.85)], ()),
        ],
    )
    def test_what_is_wrong(
        self, group: known.Known, faces: list[Face], wrong: tuple[str, ...]
    ) -> None:
        assert known.assessed(group, faces).wrong == wrong

    @pytest.mark.parametrize(
        ("others", "refused"), [("", 3), ("; *-", 2), ("; *", 0)], ids=["no", "unreliable", "any"]
    )
    def test_further_boxes(self, tmp_path: Path, others: str, refused: int) -> None:
        case = self.one(tmp_path, f"10 10 50 50{others}")
        faces = [
            answered((10, 10, 50, 50)),
            answered((12, 10, 50, 50)),
            answered((60, 60, 90, 90)),
            answered((60, 10, 90, 40), reliable=False),
        ]
        verdict = known.assessed(case, faces)
        assert verdict.wrong == ("no face",) * refused
        assert verdict.duplicates == min(refused, 1)
        assert verdict.phantoms == min(refused, 2)


def results() -> dict[str, Any]:
    """Counts of every part, made up: `now` finds all, `before` finds nothing."""
    box = (10, 10, 50, 50)
    cases = [
        replace(case, make=lambda: Picture(b"", (100, 100), np.array([box], np.float32)))
        for case in of_faces([drawing()], 1)
    ]
    outcomes = [
        counting.compared(
            case, case.make(), [answered(box)] if service == "now" else [], service, detector
        )
        for case in cases
        for service in ("before", "now")
        for detector in DETECTORS
    ]
    truth = Truth(20, 40, "F")
    labelled = [
        replace(compare([answered(box)], truth=truth, part="labelled", value=name), service=service)
        for name in material.SETS
        for service in ("before", "now")
    ]
    return {
        "services": {"before": {}, "now": {}},
        "rows": counting.counted(outcomes),
        "turns": counting.turns(o for o in outcomes if o.part == "turn"),
        "labelled": counting.errors(labelled),
        "cases": [],
    }


class TestReport:
    def test_the_parts_say_what_was_counted(self) -> None:
        rows = report.kinds(results()).splitlines()
        assert rows[0] == (
            "| what | `accurate`: before | `accurate`: now | `fast`: before | `fast`: now |"
        )
        (half,) = (row for row in rows if row.startswith("| half outside, left"))
        none, all_of_them = "0 / 0 / 0 / 0 %", "100 / 100 / 100 / 100 %"
        assert half.endswith(f"| {none} | {all_of_them} | {none} | {all_of_them} |")
        assert "| 50 % | 0% | 100% | 0% | 100% |" in report.close(results())
        assert "| 180° | 0%, -, - | 100%, 100%, 0% |" in report.turns(results())
        assert "| left | 25 % away | 0%, - | 100%, 100% |" in report.borders(results())

    @pytest.mark.parametrize(
        ("part", "whole", "written"),
        [(0, 0, "-"), (0, 9, "0%"), (1, 200, "0.5%"), (9, 10, "90%"), (1, 1, "100%")],
    )
    def test_percent(self, part: int, whole: int, written: str) -> None:
        assert report.percent(part, whole) == written

    def test_errors_in_ratio(self) -> None:
        row = {
            **{"part": "labelled", "value": "UTKFace", "service": "now", "detector": "accurate"},
            "reliable": {"faces": 95, "years": 4.0, "genders": 0.02},
            "left_out": {"faces": 5, "years": 6.0, "genders": 0.2},
        }
        other = row | {
            "value": "FairFace",
            "reliable": {"faces": 190, "years": 2.0, "genders": 0.04},
            "left_out": {"faces": 10, "years": 3.0, "genders": 0.2},
        }
        measured = {**results(), "labelled": [row, other]}
        written = report.labelled(measured)
        assert "| UTKFace | reliable | - | 95% of 100 | - | - |" in written
        assert "| - | 2.0% / 20.0% | - | - |" in written
        assert "| - | 4.0 / 6.0 | - | - |" in written
        short = report.kinds(measured)
        assert "wrong genders in those left out | - | 10.0 / 5.0; all 6.7 | - | - |" in short
        assert "years off in those left out | - | 1.5 / 1.5; all 1.5 | - | - |" in short

    def test_no_face_left_out(self) -> None:
        row = results()["labelled"][0]
        assert row["left_out"]["years"] is None
        assert " | 0.0% / - | " in report.labelled({**results(), "labelled": [row]})

    def test_a_part_measured_again_replaces_the_old_one(self) -> None:
        old = results()
        again = [row | {"found": 0} for row in old["rows"] if row["part"] == "size"]
        new = {**old, "rows": again, "turns": [], "labelled": []}
        together = merged(old, new)
        assert len(together["rows"]) == len(old["rows"])
        assert {r["found"] for r in together["rows"] if r["part"] == "size"} == {0}
        assert together["turns"] == old["turns"]
        other = {**new, "services": {"now": {}}}
        assert merged(old, other) == other

    def test_tables_and_plots_are_written(self, tmp_path: Path) -> None:
        sections = (f"<!-- measured: {name} -->\n<!-- end: {name} -->" for name in report.PARTS)
        (tmp_path / "tuning.md").write_text("\n".join(sections))
        report.write(json.loads(json.dumps(results())), tmp_path)
        assert report.close(results()) in (tmp_path / "tuning.md").read_text()
        assert len(list((tmp_path / "img" / "tuning").glob("scenes-*.png"))) == 4


def test_a_scene_at_a_place() -> None:
    made = scene(drawing(), (300, 200), 50, (80, 120))
    np.testing.assert_allclose(made.box, [60, 95, 100, 145])
