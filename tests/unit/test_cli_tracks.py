"""Faces of a video's frames joined into people, who are counted once."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.cli.frames import Frame
from age_gender.cli.tiles import Sheet, histogram, tiles_of
from age_gender.cli.tracks import MAX_MISSES, Tracker
from age_gender.settings import Settings
from age_gender.vision.face import Face
from tests.unit.fakes import face_attributes
from tests.unit.models import model
from tests.unit.pictures import noise, portrait
from tests.unit.test_cli import rows, run
from tests.unit.test_cli_video import film


def face(x: int, age: float = 30.0, *, reliable: bool = True, male: float = 0.9) -> Face:
    """A face 40 pixels wide whose left side is at ``x``."""
    attributes = face_attributes(age, reliable=reliable)
    attributes = replace(
        attributes, gender="M" if male >= 0.5 else "F", gender_probability=max(male, 1 - male)
    )
    return Face((x, 10, x + 40, 60), 0.9, None, attributes)


def numbers(tracker: Tracker, *faces: Face) -> list[int]:
    return [track.number for track in tracker.add(faces)]


def test_a_face_that_moves_keeps_its_number() -> None:
    tracker = Tracker()
    assert [numbers(tracker, face(x)) for x in range(0, 100, 20)] == [[1]] * 5
    assert numbers(tracker, face(200)) == [2]


def test_neighbours_keep_theirs_in_any_order() -> None:
    tracker = Tracker()
    assert numbers(tracker, face(0), face(50), face(100)) == [1, 2, 3]
    assert numbers(tracker, face(110), face(8), face(60)) == [3, 1, 2]
    assert numbers(tracker, face(66), face(300)) == [2, 4]


def test_a_face_may_be_missed_for_a_while() -> None:
    tracker = Tracker()
    numbers(tracker, face(0))
    for _ in range(MAX_MISSES):
        assert numbers(tracker) == []
    assert numbers(tracker, face(5)) == [1]
    for _ in range(MAX_MISSES + 1):
        numbers(tracker)
    assert numbers(tracker, face(5)) == [2]


def test_median_age_and_summed_gender() -> None:
    tracker = Tracker()
    for age, male in ((30, 0.6), (70, 0.55), (32, 0.02), (34, 0.6)):
        (track,) = tracker.add([face(0, age, male=male)])
    assert track.age == 33
    assert track.gender == "F"
    assert 0.5 < track.gender_probability < 0.98


def test_reliable_frames_count_alone_where_there_are_any() -> None:
    tracker = Tracker()
    tracker.add([face(0, 80, reliable=False, male=0.1)])
    assert tracker.tracks[0].body == {
        "track": 1,
        "age": 80,
        "gender": "F",
        "gender_probability": 0.9,
        "reliable": False,
    }
    for age, reliable in ((40, True), (90, False), (44, True)):
        tracker.add([face(0, age, reliable=reliable)])
    (track,) = tracker.tracks
    assert (track.age, track.gender, track.reliable) == (42, "M", True)


def test_the_histogram_counts_people() -> None:
    tracker, tiles = Tracker(), []
    for age in (28, 31, 35):
        faces = [face(0, age), face(60, 71)]
        frame = Frame("v.mp4", Path("v"), noise(120, 80), 1.0)
        tiles += tiles_of(frame, faces, tracker.add(faces))
    tiles += tiles_of(Frame("a.jpg", Path("a"), noise(120, 80)), [face(0, 33)])
    assert {bar.label: bar.men for bar in histogram(tiles) if bar.men} == {"30-39": 2, "70-79": 1}
    assert Sheet(tiles, 4, 0).summary == "3 people: 7 faces in 4 pictures"


def moved(offset: int) -> NDArray[np.uint8]:
    """Two portraits that move in opposite directions."""
    canvas = np.full((300, 900, 3), 90, np.uint8)
    canvas[:, offset : offset + 300] = portrait()
    canvas[:, 600 - offset : 900 - offset] = portrait()[:, ::-1]
    return canvas


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    model("retinaface.tflite")
    model(f"{Settings().attribute_model}.tflite")
    return film(tmp_path / "clip.mp4", *((moved(offset), 0.5) for offset in range(0, 140, 30)))


def test_two_moving_portraits_are_two_people(clip: Path) -> None:
    result = run("predict", clip, "--json", "--every", "500ms")
    assert result.exit_code == 0, result.output
    results = rows(result)
    assert len(results) == 5
    left_to_right = [
        [d["track"] for d in sorted(row["details"], key=lambda d: d["box"])] for row in results
    ]
    assert left_to_right in ([[1, 2]] * 5, [[2, 1]] * 5)
    tracks = results[-1]["tracks"]
    assert [track["track"] for track in tracks] == [1, 2]
    for track in tracks:
        ages = [d["age"] for row in results for d in row["details"] if d["track"] == track["track"]]
        assert min(ages) <= track["age"] <= max(ages)
    assert "2 people: 10 faces in 5 pictures" in result.stderr


def test_the_column_of_tracks(clip: Path, tmp_path: Path) -> None:
    result = run("predict", clip, "--csv", "--every", "500ms")
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["track"] for row in table} == {"1", "2"}
    assert all(row["reasons"] == "" or row["reliable"] == "false" for row in table)
