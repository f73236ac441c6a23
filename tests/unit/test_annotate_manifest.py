"""The manifest's rows and names, and how the work is split into shards."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from age_gender.batch import manifest, results
from age_gender.batch.annotate import Outcome
from age_gender.batch.backfill import main
from age_gender.batch.results import ResultNames
from age_gender.batch.storage import StorageUnavailable, StoredObject
from age_gender.errors import ImageError
from age_gender.settings import get_settings
from testing.service import ROOT

TABLE = ROOT / "terraform" / "modules" / "bucket_trigger" / "manifest.schema.json"

STORED = StoredObject("a.jpg", 17, 5, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
NAMES = ResultNames("a.jpg.17.json", "a.jpg.17.annotated.jpg", "a.jpg.17.error.json")
FACE = {"box": [1, 2, 3, 4], "confidence": 0.9}
ATTRIBUTES = {
    "age": 30.5,
    "age_interval": [20.0, 40.0],
    "gender": "F",
    "gender_probability": 0.8,
    "reliable": False,
    "reasons": ["blurred", "gender-uncertain"],
    "quality": {"size": 50.0},
}
RESPONSE = {
    "confidence": 0.5,
    "faces": [],
    "image_size": [640, 480],
    "details": [FACE | ATTRIBUTES, FACE],
    "model": {"version": "1", "detector": "d", "attributes": None, "engine": "litert"},
}


def test_a_row_is_flat_but_for_the_faces() -> None:
    body = results.annotated("in", STORED, RESPONSE, NAMES.jpeg)
    row = manifest.row_of(Outcome("annotated", NAMES, body))
    assert json.loads(results.encoded(row)) == row
    faces = row.pop("faces")
    assert row == {
        "bucket": "in",
        "object": "a.jpg",
        "generation": 17,
        "size": 5,
        "time": "2026-01-02T03:04:05Z",
        "status": "annotated",
        "result": "a.jpg.17.json",
        "annotated": "a.jpg.17.annotated.jpg",
        "error_code": None,
        "error_message": None,
        "width": 640,
        "height": 480,
        "face_count": 2,
        "version": "1",
        "detector": "d",
        "attributes": None,
        "engine": "litert",
        "warnings": None,
    }
    box = {"x1": 1, "y1": 2, "x2": 3, "y2": 4, "confidence": 0.9}
    attributes = {"age": 30.5, "age_low": 20.0, "age_high": 40.0, "gender": "F"}
    reliability = {"reliable": False, "reasons": ["blurred", "gender-uncertain"]}
    assert faces[0] == box | attributes | {"gender_probability": 0.8} | reliability
    # BigQuery takes no null for a repeated field.
    assert faces[1] == box | dict.fromkeys(faces[0].keys() - box.keys()) | {"reasons": []}


def test_rows_fit_the_table_that_terraform_creates() -> None:
    fields = json.loads(TABLE.read_text(encoding="utf-8"))
    row = manifest.row_of(
        Outcome("annotated", NAMES, results.annotated("in", STORED, RESPONSE, NAMES.jpeg))
    )
    assert [field["name"] for field in fields] == list(row)
    (faces,) = [field for field in fields if field["mode"] == "REPEATED"]
    assert [field["name"] for field in faces["fields"]] == list(row["faces"][0])


def test_a_row_is_the_same_whichever_run_wrote_the_result() -> None:
    body = results.annotated("in", STORED, RESPONSE, None)
    stored = results.decoded(results.encoded(body))
    rows = [manifest.row_of(Outcome("annotated", NAMES, body))]
    rows.append(manifest.row_of(Outcome("done-before", NAMES, stored)))
    assert rows[0] == rows[1]


def test_refused_and_failed_images_have_the_same_columns() -> None:
    error = ImageError("not a picture")
    refused = manifest.row_of(Outcome("refused", NAMES, results.refused("in", STORED, error)))
    failed = manifest.failed_row("in", STORED, StorageUnavailable("down"))
    annotated = manifest.row_of(
        Outcome("annotated", NAMES, results.annotated("in", STORED, RESPONSE, ""))
    )
    assert list(refused) == list(failed) == list(annotated)
    assert (refused["status"], refused["result"]) == ("refused", "a.jpg.17.error.json")
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert (failed["error_code"], failed["faces"]) == ("storage-unavailable", [])


def test_the_shards_are_even_and_stay_the_same() -> None:
    names = [f"folder/{i}é.jpg" for i in range(4000)]
    sizes = Counter(manifest.shard_of(name, 4) for name in names)
    assert sorted(sizes) == [0, 1, 2, 3]
    assert min(sizes.values()) > 900
    # Fixed, so that no release splits a back-fill in progress differently.
    assert [manifest.shard_of(name, 1000) for name in ("a.jpg", "é/写真.png")] == [449, 657]
    assert {manifest.shard_of(name, 1) for name in names} == {0}


def test_names_sort_and_say_how_many_there_are() -> None:
    assert manifest.names_of("out/", 2, 16) == (
        "out/manifest-00002-of-00016.jsonl",
        "out/summary-00002-of-00016.json",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "gs://pictures/results"], "would be taken for new pictures"),
        (["--source", "folder", "--out", "folder/results"], "would be taken for new pictures"),
        (["--out", "gs://other", "--shard", "4", "--shards", "4"], "there is no shard 4 of 4"),
        (["--out", "gs://other", "--shards", "0"], "there is no shard 0 of 0"),
        (["--source", "gs://", "--out", "folder"], "names no bucket"),
        ([], "OUTPUT_BUCKET is not set"),
    ],
)
def test_the_job_refuses_invalid_arguments(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INPUT_BUCKET", "pictures")
    get_settings.cache_clear()
    try:
        assert main(arguments) == 2
    finally:
        get_settings.cache_clear()
    printed = capsys.readouterr().err
    assert printed.startswith("cannot start: ")
    assert message in printed
    assert printed.count("\n") == 1
