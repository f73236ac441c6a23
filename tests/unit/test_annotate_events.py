"""Parsing of events, and which of them are handled."""

import base64
import json
from typing import Any

import pytest
from cloudevents.http import CloudEvent
from werkzeug.datastructures import Headers
from werkzeug.exceptions import InternalServerError, ServiceUnavailable

from age_gender import logs
from age_gender.batch.events import FINALIZED, PUBLISHED, Handler, Ignored, read_event
from age_gender.batch.storage import MARK
from age_gender.errors import SettingsError
from age_gender.settings import Settings

OBJECT = {
    "kind": "storage#object",
    "bucket": "in",
    "name": "a b/é#.jpg",
    "generation": "1795570195247824",
    "size": "12345",
    "timeCreated": "2026-11-25T01:29:55.247Z",
}
ATTRIBUTES = {
    "eventType": "OBJECT_FINALIZE",
    "bucketId": "in",
    "objectId": "a b/é#.jpg",
    "objectGeneration": "1795570195247824",
}
NONSENSE: list[Any] = [{}, None, "text", b"bytes", [], {**OBJECT, "size": "many"}]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def event(data: Any, kind: str = FINALIZED) -> CloudEvent:
    return CloudEvent({"type": kind, "source": "//storage"}, data)


def published(**changes: Any) -> CloudEvent:
    return event({"message": {"attributes": ATTRIBUTES, "messageId": "1", **changes}}, PUBLISHED)


def encoded(described: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(described).encode()).decode()


@pytest.mark.parametrize(
    "uploaded",
    [event(OBJECT), published(data=encoded(OBJECT)), published(data=encoded(OBJECT)[:-4])],
)
def test_an_upload_in_any_form(uploaded: CloudEvent) -> None:
    upload = read_event(uploaded)
    assert (upload.bucket, upload.name) == ("in", "a b/é#.jpg")
    assert upload.generation == 1_795_570_195_247_824
    if upload.stored is not None:
        assert (upload.stored.name, upload.stored.generation) == (upload.name, upload.generation)
        assert upload.stored.size == 12_345
        assert upload.stored.created.isoformat() == "2026-11-25T01:29:55.247000+00:00"
        assert not upload.stored.ours


@pytest.mark.parametrize("data", [None, "", "!", encoded({}), encoded({"name": "x"})])
def test_a_message_without_a_description_still_names_the_object(data: str | None) -> None:
    message = published() if data is None else published(data=data)
    upload = read_event(message)
    assert (upload.bucket, upload.name, upload.stored) == ("in", "a b/é#.jpg", None)


def test_our_mark_is_read() -> None:
    stored = read_event(event({**OBJECT, "metadata": {MARK: "0.1.0"}})).stored
    assert stored is not None
    assert stored.ours


@pytest.mark.parametrize(
    "other",
    [
        event(OBJECT, "google.cloud.storage.object.v1.deleted"),
        event(OBJECT, "google.cloud.storage.object.v1.metadataUpdated"),
        *(event(data) for data in NONSENSE),
        *(event({k: v for k, v in OBJECT.items() if k != name}) for name in ("name", "generation")),
        event({**OBJECT, "name": ""}),
        event({}, PUBLISHED),
        event({"message": None}, PUBLISHED),
        published(attributes={}),
        published(attributes=None),
        published(attributes={**ATTRIBUTES, "eventType": "OBJECT_DELETE"}),
        published(attributes={**ATTRIBUTES, "objectGeneration": "x"}),
    ],
)
def test_other_events_are_ignored(other: CloudEvent) -> None:
    with pytest.raises(Ignored):
        read_event(other)


@pytest.mark.parametrize(
    ("headers", "project", "expected"),
    [
        ({}, "", (None, None)),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, "p", (f"projects/p/traces/{TRACE}", SPAN)),
        ({"Traceparent": f"00-{TRACE}-{SPAN}-00"}, "", (TRACE, SPAN)),
        ({"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"}, "p", (f"projects/p/traces/{TRACE}", None)),
        ({"x-cloud-trace-context": TRACE}, "", (TRACE, None)),
        ({"traceparent": f"00-{TRACE}-{SPAN}"}, "p", (None, None)),
        ({"X-Cloud-Trace-Context": "x" * 32}, "p", (None, None)),
        ({"X-Cloud-Trace-Context": f"{TRACE}x"}, "p", (None, None)),
    ],
)
def test_lines_carry_the_trace(
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    project: str,
    expected: tuple[str | None, str | None],
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    fields = logs.trace_fields(
        *(Headers(headers).get(name, "") for name in ("traceparent", "X-Cloud-Trace-Context"))
    )
    assert fields.get("logging.googleapis.com/trace") == expected[0]
    assert fields.get("logging.googleapis.com/spanId") == expected[1]


def test_a_handler_needs_an_output_bucket() -> None:
    with pytest.raises(SettingsError):
        Handler(Settings(input_bucket="in"))


@pytest.mark.defends("foreign-bucket")
def test_a_handler_needs_an_input_bucket() -> None:
    with pytest.raises(SettingsError, match="INPUT_BUCKET is not set"):
        Handler(Settings(output_bucket="out"))


@pytest.mark.defends("hopeless-event")
@pytest.mark.parametrize(
    "changes",
    [
        {"timeCreated": "0001-01-01T00:00:00+23:59"},
        {"timeCreated": "9999-12-31T23:59:59-23:59"},
        {"generation": 10**30},
        {"generation": "9" * 5000},
        {"generation": -1},
        {"generation": 0},
        {"generation": 2**63},
        {"size": -1},
        {"size": 2**63},
        *({"bucket": name} for name in ("..", ".", " ", "a\0b", "in/../other", "a..b", "")),
        *({"name": name} for name in ("..", ".", "a\0b", "a\nb", "", "é" * 513, "x" * 1025)),
        {"name": "\ud800"},
    ],
)
def test_what_can_never_be_read_is_acknowledged_unread(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(Settings(input_bucket="in", output_bucket="out"))
    handler._annotator = None  # type: ignore[assignment] # any use would fail
    attributes = {
        name: str(changes[key])
        for name, key in (
            ("bucketId", "bucket"),
            ("objectId", "name"),
            ("objectGeneration", "generation"),
        )
        if key in changes
    }
    handler(event({**OBJECT, **changes}), Headers())
    if attributes:
        handler(published(attributes={**ATTRIBUTES, **attributes}), Headers())
    counts = [record.fields["hopeless"] for record in caplog.records]  # type: ignore[attr-defined]
    assert len(counts) == (2 if attributes else 1)
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "another"},
        {"name": "other/a.jpg"},
        {"name": "in/folder/", "size": "0"},
        {"name": "in/a.jpg", "metadata": {MARK: "1"}},
    ],
)
def test_unrelated_objects_are_acknowledged_unread(changes: dict[str, Any]) -> None:
    settings = Settings(input_bucket="in", input_prefix="in/", output_bucket="out")
    handler = Handler(settings)
    handler._annotator = None  # type: ignore[assignment] # any use would fail
    handler(event({**OBJECT, "name": "in/a.jpg", **changes}), Headers())


def test_unexpected_failures_and_outages_are_answered_without_their_text() -> None:
    handler = Handler(Settings(input_bucket="in", output_bucket="out"))
    handler._annotator = None  # type: ignore[assignment]
    with pytest.raises(InternalServerError) as caught:
        handler(event(OBJECT), Headers())
    assert "NoneType" not in str(caught.value)
    assert caught.value.__cause__ is None
    handler = Handler(
        Settings(input_bucket="in", output_bucket="out", annotate_storage_timeout=0.1)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
        from age_gender.batch import bucket_store

        bucket_store._client.cache_clear()
        with pytest.raises(ServiceUnavailable) as again:
            handler(event(OBJECT), Headers())
        bucket_store._client.cache_clear()
    assert "127.0.0.1" not in str(again.value)
