"""One image to its results, with folders for stores and a stand-in for the pipeline."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from age_gender.batch import results
from age_gender.batch.annotate import Annotator, input_of, options_of, output_of
from age_gender.batch.folder_store import FolderStore
from age_gender.batch.location import Location
from age_gender.batch.storage import StorageUnavailable, StoredObject
from age_gender.errors import Busy, ImageError, SettingsError
from age_gender.settings import Settings
from age_gender.vision.pipeline import Options, Result
from tests.unit.fakes import empty_result

JPEG = b"\xff\xd8\xff rendered"
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


def stored(name: str = "a.jpg", generation: int = 17, size: int = 5) -> StoredObject:
    return StoredObject(name, generation, size, WHEN)


class Stage:
    """Two folders, and a predictor that counts its calls."""

    def __init__(self, folder: Path, **settings: Any):
        self.source = FolderStore(folder / "in")
        self.out = FolderStore(folder / "out")
        self.predictions = 0
        self.error: Exception | None = None
        self.jpeg: bytes | None = None
        changes = {"max_picture_bytes": 2000, **settings}
        self.annotator = Annotator(Location(self.out, "p/"), self._predict, Settings(**changes))

    def _predict(self, data: bytes, options: Options) -> tuple[Result, dict[str, Any]]:
        self.predictions += 1
        if self.error:
            raise self.error
        response = {"faces": [], "inference_time": 12.3, "input": data.decode()}
        return empty_result(self.jpeg, {"detect": 12.0}), response

    def upload(self, name: str = "a.jpg", data: bytes = b"bytes") -> StoredObject:
        self.source.create(name, data, "image/jpeg", {})
        return next(o for o in self.source.list("") if o.name == name)

    def files(self) -> dict[str, bytes]:
        root = self.out.root
        return {
            p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()
        }


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_result_holds_source_and_response(stage: Stage) -> None:
    stage.jpeg = JPEG
    upload = stage.upload()
    outcome = stage.annotator.annotate(stage.source, upload)
    stem = f"p/a.jpg.{upload.generation}"
    assert stage.files() == {
        f"{stem}.json": results.encoded(outcome.body),
        f"{stem}.annotated.jpg": JPEG,
    }
    assert outcome.status == "annotated"
    body = dict(outcome.body)
    assert body.pop("source") == {
        "bucket": "in",
        "object": "a.jpg",
        "generation": upload.generation,
        "size": 5,
        "time": upload.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    # Without anything that differs between runs.
    assert body == {"faces": [], "input": "bytes", "annotated": f"{stem}.annotated.jpg"}


def test_finished_images_are_neither_read_nor_processed_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = stage.upload()
    first = stage.annotator.annotate(stage.source, upload)
    monkeypatch.setattr(stage.source, "read", None)
    second = stage.annotator.annotate(stage.source, upload)
    assert (second.status, second.body, stage.predictions) == ("done-before", first.body, 1)


def test_the_loser_of_a_race_writes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = stage.upload()
    stage.annotator.annotate(stage.source, upload)
    before = stage.files()
    monkeypatch.setattr(stage.out, "find", lambda _: None)
    assert stage.annotator.annotate(stage.source, upload).status == "done-before"
    assert stage.files() == before


def test_the_json_is_written_last(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.jpeg = JPEG
    upload = stage.upload()
    real = stage.out.create

    def failing(name: str, data: bytes, kind: str, metadata: Mapping[str, str]) -> bool:
        if name.endswith(".json"):
            raise StorageUnavailable("down")
        return real(name, data, kind, metadata)

    monkeypatch.setattr(stage.out, "create", failing)
    with pytest.raises(StorageUnavailable):
        stage.annotator.annotate(stage.source, upload)
    assert list(stage.files()) == [f"p/a.jpg.{upload.generation}.annotated.jpg"]
    monkeypatch.setattr(stage.out, "create", real)
    assert stage.annotator.annotate(stage.source, upload).status == "annotated"
    assert len(stage.files()) == 2


def test_permanent_failures_leave_an_error(stage: Stage) -> None:
    stage.error = ImageError("this is not a picture")
    upload = stage.upload()
    for _ in range(2):
        outcome = stage.annotator.annotate(stage.source, upload)
        assert outcome.status == "refused"
    (name,) = stage.files()
    assert name == f"p/a.jpg.{upload.generation}.error.json" == outcome.names.error
    assert json.loads(stage.files()[name]) == {
        "source": outcome.body["source"],
        "error": {"code": "unsupported-picture", "message": "this is not a picture"},
    }


def test_files_over_the_limit_are_not_read(stage: Stage) -> None:
    outcome = stage.annotator.annotate(stage.source, stored("never-there.jpg", size=2001))
    assert outcome.body["error"]["code"] == "picture-too-large"
    assert "fetch" not in outcome.stages


def test_a_deleted_or_replaced_image_leaves_an_error(stage: Stage) -> None:
    upload = stage.upload()
    for gone in (stored("deleted.jpg"), stored(generation=upload.generation - 1)):
        outcome = stage.annotator.annotate(stage.source, gone)
        assert outcome.status == "refused"
        assert outcome.body["error"]["code"] == "object-gone"
    assert stage.predictions == 0


@pytest.mark.parametrize("error", [Busy("busy"), MemoryError()])
def test_temporary_failures_are_raised_and_leave_nothing(stage: Stage, error: Exception) -> None:
    stage.error = error
    with pytest.raises(type(error)):
        stage.annotator.annotate(stage.source, stage.upload())
    assert stage.files() == {}


def test_an_unrelated_object_under_the_result_s_name_is_not_a_result(stage: Stage) -> None:
    upload = stage.upload()
    stage.out.create(f"p/a.jpg.{upload.generation}.json", b"half a", "application/json", {})
    with pytest.raises(StorageUnavailable, match="is not a result"):
        stage.annotator.annotate(stage.source, upload)


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "a b/c#d?.jpg",
        "é" * 512,
        "x" * 1024,
        "长" * 341,
        "x" * 1000 + ".jpg",
        "/",
        "a/" * 512,
    ],
)
@pytest.mark.parametrize("prefix", ["", "out/", "p" * 512])
def test_names_of_results_fit_and_share_a_stem(name: str, prefix: str) -> None:
    version = stored(name, generation=1_795_570_195_247_824)
    names = results.names_of(prefix, version)
    assert names.body.startswith(prefix)
    stem = names.body.removesuffix(".json")
    assert stem.endswith(".1795570195247824")
    assert names.jpeg == f"{stem}.annotated.jpg"
    assert names.error == f"{stem}.error.json"
    for result in (names.body, names.jpeg, names.error):
        assert len(result.encode()) <= 1024
    if len(name.encode()) < 450:
        assert stem == f"{prefix}{name}.1795570195247824"


def test_long_names_and_generations_have_results_of_their_own() -> None:
    versions = [stored("x" * 1023 + end, generation) for end in "ab" for generation in (1, 2)]
    assert len({results.names_of("", version).body for version in versions}) == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"face_detector": "accurate", "return_image": False}),
        ({"annotate_image": "drawn"}, {"return_image": True, "draw": True, "blur": False}),
        ({"annotate_image": "blurred"}, {"return_image": True, "draw": False, "blur": True}),
        ({"annotate_confidence": "0.7", "annotate_nms": "0.3"}, {"confidence": 0.7, "nms": 0.3}),
        ({"annotate_min_face": "24", "annotate_max_faces": "3"}, {"min_face": 24, "max_faces": 3}),
        ({"annotate_attributes": "false"}, {"get_attributes": False}),
    ],
)
def test_options_follow_the_settings(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    options = options_of(Settings.model_validate(changes))
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "OUTPUT_BUCKET is not set"),
        ({"output_bucket": "out", "output_prefix": "é" * 300}, "OUTPUT_PREFIX has more than"),
        ({"output_bucket": "a", "input_bucket": "a"}, "would be taken for new pictures"),
        (
            {"output_bucket": "a", "input_bucket": "a", "output_prefix": "x/", "input_prefix": "x"},
            "would be taken for new pictures",
        ),
    ],
)
def test_invalid_settings_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        output_of(Settings.model_validate(changes))


def test_settings_name_the_places() -> None:
    settings = Settings(
        input_bucket="a", input_prefix="in/", output_bucket="a", output_prefix="out/x-"
    )
    assert str(input_of(settings)) == "gs://a/in/"
    assert str(output_of(settings)) == "gs://a/out/x-"
    with pytest.raises(SettingsError, match="INPUT_BUCKET is not set"):
        input_of(Settings())
