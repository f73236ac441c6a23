"""The trigger with a real storage server, client and functions-framework process."""

import base64
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from testing.buckets import OUT, SOURCE, BucketServer, Courier, Proxy, event_headers
from testing.photos import encoded, resized
from testing.service import ROOT, Service, free_port

CHAIN = ROOT.parent / "shared" / "cloud" / "events" / "serve.py"

AWKWARD_NAMES = [
    "with spaces  and more.jpg",
    "deep/er/and deeper/x.jpg",
    "/leading//double/./slash.jpg",
    "../up.jpg",
    "Grüße, 写真 😀.jpg",
    "a#fragment?query=1&b=2+c.jpg",
    "100%.jpg",
    "100%25.jpg",
    "no ending",
    'it\'s "quoted" \\ {braces}.jpg',
    "é" * 512,
    "x" * 1024,
    "folder/" + "長" * 339,
]


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with BucketServer() as running:
        yield running


@pytest.fixture
def proxy(server: BucketServer) -> Iterator[Proxy]:
    with Proxy(server) as running:
        yield running


@dataclass(frozen=True)
class Trigger:
    """A trigger with nearly default settings, shared by tests that use names of their own."""

    server: BucketServer
    proxy: Proxy
    url: str
    log: Path

    def results(self, start: str) -> list[str]:
        """Names of results with this prefix."""
        return [name for name in self.server.names() if name.startswith(start)]

    def lines(self, start: str) -> list[dict[str, Any]]:
        """Lines of the log about objects with this prefix."""
        return [line for line in lines_of(self.log) if line.get("object", "").startswith(start)]


@pytest.fixture(scope="module")
def trigger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trigger]:
    log = tmp_path_factory.mktemp("trigger") / "log"
    settings = {"MAX_PICTURE_BYTES": "1000000", "GOOGLE_CLOUD_PROJECT": "project"}
    with (
        BucketServer() as server,
        Proxy(server) as proxy,
        annotator(log, proxy.url, **settings) as service,
    ):
        yield Trigger(server, proxy, service.url, log)


def annotator(log: Path, storage: str, **changes: str) -> Service:
    settings = {
        "STORAGE_EMULATOR_HOST": storage,
        "INPUT_BUCKET": SOURCE,
        "OUTPUT_BUCKET": OUT,
        "ANNOTATE_STORAGE_TIMEOUT": "5",
        "ANNOTATE_RETRY_SECONDS": "0",
        **changes,
    }
    return Service(log, "annotate", **settings)


def small(side: int = 128) -> bytes:
    return resized("astronaut", side, side)


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The log's JSON lines; gunicorn's and LiteRT's are plain text."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def result_of(server: BucketServer, described: dict[str, Any], kind: str = "json") -> Any:
    name = f"{described['name']}.{described['generation']}.{kind}"
    return json.loads(server.contents()[name])


def kill(service: Service) -> None:
    """SIGKILL for the server and its workers."""
    master = psutil.Process(service.process.pid)
    for process in [master, *master.children(recursive=True)]:
        process.kill()
    service.process.wait()


def test_each_of_200_uploads_gets_one_result_though_each_event_comes_twice(
    trigger: Trigger,
) -> None:
    images = [small(96), small(128), resized("grace_hopper", 128, 152)]
    names = AWKWARD_NAMES + [f"plain-{i}.jpg" for i in range(200 - len(AWKWARD_NAMES))]
    server, before = trigger.server, len(trigger.proxy.exchanges)
    uploads = [server.put(name, images[i % 3]) for i, name in enumerate(names)]
    courier = Courier(trigger.url, copies=2)
    courier.deliver(uploads)
    assert courier.statuses == [200] * 400
    assert [e.status for e in trigger.proxy.exchanges[before:] if e.kind == "upload"].count(
        200
    ) == 200
    results = [json.loads(data) for data in server.contents().values()]
    results = [result for result in results if result["source"]["object"] in names]
    assert sorted((r["source"]["object"], r["source"]["generation"]) for r in results) == sorted(
        (u["name"], int(u["generation"])) for u in uploads
    )
    assert sum(len(r["faces"]) for r in results) >= 190
    assert max(len(name.encode()) for name in server.names()) <= 1024
    annotated = Counter(
        line["object"] for line in trigger.lines("") if line.get("status") == "annotated"
    )
    assert set(annotated) >= set(names)
    assert {annotated[name] for name in names} == {1}


def test_the_result_is_the_response_of_predict_with_its_source(
    trigger: Trigger, service: Service
) -> None:
    data = resized("astronaut", 256, 256)
    upload = trigger.server.put("same/a.jpg", data)
    Courier(trigger.url).deliver([upload])
    response = service.predict(data, face_detector="accurate", return_image=False)
    result = result_of(trigger.server, upload)
    assert result.pop("source") == {
        "bucket": SOURCE,
        "object": "same/a.jpg",
        "generation": int(upload["generation"]),
        "size": len(data),
        "time": upload["timeCreated"][:19] + "Z",
    }
    assert result.pop("annotated") is None
    response.pop("inference_time")
    assert result == response


def test_permanent_failures_are_acknowledged_with_a_reason(trigger: Trigger) -> None:
    huge = encoded(np.zeros((10_000, 10_000, 3), np.uint8), ".png")
    cases = [
        ("text.jpg", b"not an image", "unsupported-picture"),
        ("empty.jpg", b"", "unsupported-picture"),
        ("cut.jpg", small()[:99], "unsupported-picture"),
        ("hundred-megapixels.png", huge, "picture-too-large"),
        ("many-bytes.jpg", bytes(2_000_000), "picture-too-large"),
    ]
    courier = Courier(trigger.url, copies=2)
    for name, data, code in cases:
        upload = trigger.server.put(f"broken/{name}", data)
        courier.deliver([upload])
        error = result_of(trigger.server, upload, "error.json")
        assert error["error"]["code"] == code
        assert error["error"]["message"]
        assert error["source"]["object"] == f"broken/{name}"
    assert courier.statuses == [200] * 10
    assert len(trigger.results("broken/")) == 5
    paths = [e.path for e in trigger.proxy.exchanges if e.kind == "download"]
    assert any("hundred-megapixels" in path for path in paths)
    assert not any("many-bytes" in path for path in paths)
    lines = trigger.lines("broken/")
    assert len(lines) == 10
    assert {(line["severity"], line["status"]) for line in lines} == {("WARNING", "refused")}


def test_only_the_generation_of_the_event_is_read(trigger: Trigger) -> None:
    server = trigger.server
    deleted = server.put("versions/deleted.jpg", small())
    server.client.bucket(SOURCE).delete_blob("versions/deleted.jpg")
    old = server.put("versions/replaced.jpg", encoded(np.zeros((64, 64, 3), np.uint8)))
    new = server.put("versions/replaced.jpg", small())
    courier = Courier(trigger.url, at_once=1)
    for upload in (new, deleted, old):
        courier.deliver([upload])
    assert courier.statuses == [200] * 3
    assert len(result_of(server, new)["faces"]) == 1
    for gone in (deleted, old):
        assert result_of(server, gone, "error.json")["error"]["code"] == "object-gone"


def test_events_come_in_pubsub_messages_too(trigger: Trigger) -> None:
    names = ("full", "bare", "raw", "deleted")
    uploads = {name: trigger.server.put(f"pubsub/{name}.jpg", small()) for name in names}
    messages = {name: _message(upload) for name, upload in uploads.items()}
    del messages["bare"]["message"]["data"]
    messages["deleted"]["message"]["attributes"]["eventType"] = "OBJECT_DELETE"
    missing = _message({**uploads["bare"], "name": "pubsub/missing.jpg"})
    del missing["message"]["data"]
    headers = event_headers(uploads["full"])
    headers["ce-type"] = "google.cloud.pubsub.topic.v1.messagePublished"
    courier = Courier(trigger.url)
    for message in (messages["full"], messages["bare"], messages["deleted"], missing):
        assert courier.send(headers, json.dumps(message)).status_code == 200
    assert courier.send({}, json.dumps(messages["raw"])).status_code == 200
    assert trigger.results("pubsub/") == [
        f"pubsub/{name}.jpg.{uploads[name]['generation']}.json" for name in ("bare", "full", "raw")
    ]


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_a_push_is_json_whatever_its_type_says(trigger: Trigger, kind: str | None) -> None:
    start = f"type-{(kind or str(kind)).replace('/', '-')}/"
    upload = trigger.server.put(f"{start}a.jpg", small())
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "bucketId": upload["bucket"],
        "objectId": upload["name"],
        "objectGeneration": upload["generation"],
    }
    push = {"message": {"attributes": attributes, "messageId": "5"}, "subscription": "projects/p"}
    headers: dict[str, Any] = {"Content-Type": kind}  # None: not sent
    answer = Courier(trigger.url).send(headers, json.dumps(push))
    assert (answer.status_code, answer.text) == (200, "OK")
    assert trigger.results(start) == [f"{start}a.jpg.{upload['generation']}.json"]
    for body in ("hello", "", "[1]", "3", '"x"'):
        nothing = Courier(trigger.url).send(headers, body)
        assert nothing.status_code == 200
        assert nothing.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 405), ("PUT", "/a", 405), ("GET", "/static/a", 404)]
)
def test_what_is_no_delivery_is_refused_in_json(
    trigger: Trigger, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, trigger.url + path, timeout=10)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert answer.headers.get("Allow") == ("POST" if status == 405 else None)


def test_nonsense_is_answered_without_repeating_it(trigger: Trigger) -> None:
    upload = trigger.server.put("nonsense/a.jpg", small())
    courier = Courier(trigger.url, headers={"Authorization": "Bearer hush"})
    no_event = courier.send({}, '{"hush": 1}')
    assert (no_event.status_code, no_event.text) == (200, "this is not an event of Cloud Storage")
    for body in ("{}", "{", "", "null", '{"name": "nonsense/a.jpg"}'):
        response = courier.send(event_headers(upload), body)
        assert response.status_code == 200
    assert courier.send(event_headers(upload) | {"ce-type": "x.y"}, "[1]").status_code == 200
    assert requests.get(trigger.url, timeout=10).status_code == 405
    assert "hush" not in trigger.log.read_text()
    assert trigger.results("nonsense/") == []


def test_log_lines_are_grouped_by_trace_and_hold_no_secret(trigger: Trigger) -> None:
    upload = trigger.server.put("log/a.jpg", small())
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "Authorization": "Bearer hush"}
    courier = Courier(trigger.url, headers=headers)
    courier.deliver([upload])
    courier.deliver([upload])
    done, before = trigger.lines("log/")
    assert done["severity"] == "INFO"
    assert done["status"] == "annotated"
    assert done["event_id"] == f"event-{upload['generation']}"
    assert (done["bucket"], done["generation"]) == (SOURCE, int(upload["generation"]))
    assert done["logging.googleapis.com/trace"] == f"projects/project/traces/{trace}"
    assert done["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert {"check", "fetch", "decode", "detect", "attributes", "store"} <= set(done["ms"])
    assert before["status"] == "done-before"
    assert set(before["ms"]) == {"check"}  # neither fetched nor processed again
    assert "hush" not in trigger.log.read_text()


def test_a_storage_that_fails_for_a_while_only_delays(
    server: BucketServer, proxy: Proxy, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    settings = {"ANNOTATE_STORAGE_TIMEOUT": "0.5", "ANNOTATE_IMAGE": "blurred"}
    with annotator(log, proxy.url, **settings) as service:
        for kind in ("download", "upload", "other"):
            before = server.names()
            uploads = [server.put(f"{kind}-{i}.jpg", small()) for i in range(3)]
            courier = Courier(service.url)
            proxy.failing[kind] = 503
            response = courier.once(uploads[0])
            assert response.status_code == 503
            assert "127.0.0.1" not in response.text
            delivery = threading.Thread(target=courier.deliver, args=(uploads,))
            delivery.start()
            _wait_for(lambda c=courier: 503 in c.statuses)
            assert server.names() == before
            proxy.failing.clear()
            delivery.join()
            assert len(server.names()) == len(before) + 6
    assert "Traceback" not in log.read_text()
    assert any(line.get("code") == "storage-unavailable" for line in lines_of(log))
    written = {blob.name: blob.time_created for blob in server.client.list_blobs(OUT)}
    bodies = [name for name in written if name.endswith(".json")]
    assert len(bodies) == 9
    for name in bodies:  # the JSON last: it marks completion
        assert written[name] > written[name.replace(".json", ".annotated.jpg")]


@pytest.mark.defends("used-attempts")
def test_a_short_outage_uses_up_no_delivery_attempt(
    server: BucketServer, proxy: Proxy, tmp_path: Path
) -> None:
    settings = {"ANNOTATE_STORAGE_TIMEOUT": "0.3", "ANNOTATE_RETRY_SECONDS": "20"}
    with annotator(tmp_path / "log", proxy.url, **settings) as service:
        courier = Courier(service.url)
        uploads = [server.put(f"outage-{number}.jpg", small()) for number in range(3)]
        proxy.failing["download"] = 503
        delivery = threading.Thread(target=courier.deliver, args=(uploads,))
        delivery.start()
        tried = "failed, tried again"
        _wait_for(lambda: any(line["message"] == tried for line in lines_of(tmp_path / "log")))
        proxy.failing.clear()
        delivery.join()
        assert courier.statuses == [200] * 3
        assert len(server.names()) == 3
        # One that is stopped meanwhile gives its event back at once.
        proxy.failing["download"] = 503
        upload = server.put("stopped.jpg", small())
        stopped: list[int] = []
        waiting = threading.Thread(target=lambda: stopped.append(courier.once(upload).status_code))
        waiting.start()
        time.sleep(1)
        service.process.terminate()
        waiting.join(timeout=15)
        assert stopped == [503]


@pytest.mark.defends("trigger-loop")
@pytest.mark.parametrize(
    "changes",
    [
        {"OUTPUT_BUCKET": SOURCE},
        {"OUTPUT_BUCKET": SOURCE, "INPUT_PREFIX": "in/", "OUTPUT_PREFIX": "in/out/"},
    ],
)
def test_it_refuses_to_start_when_results_could_become_inputs(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    service = annotator(tmp_path / "log", "http://127.0.0.1:9", **changes)
    with pytest.raises(RuntimeError, match="exited at once"), service:
        pass
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("cannot start: results in gs://pictures/")
    assert "would be taken for new pictures" in line


def test_redelivery_completes_what_a_killed_function_left(
    server: BucketServer, tmp_path: Path
) -> None:
    uploads = [server.put(f"{i}.jpg", small()) for i in range(40)]
    settings = {"ANNOTATE_IMAGE": "drawn"}
    with annotator(tmp_path / "first", server.url, **settings) as service:
        courier = Courier(service.url, copies=2)
        delivery = threading.Thread(target=courier.deliver, args=(uploads,))
        delivery.start()
        while len(server.names()) < 20:
            time.sleep(0.02)
        kill(service)
    left = server.names()
    assert len(left) < 80
    again = annotator(tmp_path / "second", server.url, **settings)
    again.port, again.url = service.port, service.url
    with again:
        delivery.join()
    assert 0 in courier.statuses
    contents = server.contents()
    for upload in uploads:
        stem = f"{upload['name']}.{upload['generation']}"
        assert json.loads(contents.pop(f"{stem}.json"))["annotated"] == f"{stem}.annotated.jpg"
        assert contents.pop(f"{stem}.annotated.jpg").startswith(b"\xff\xd8\xff")
    assert contents == {}


@pytest.mark.defends("trigger-loop")
def test_results_in_the_same_bucket_are_not_processed(server: BucketServer, tmp_path: Path) -> None:
    places = {"OUTPUT_BUCKET": SOURCE, "INPUT_PREFIX": "in/", "OUTPUT_PREFIX": "out/"}
    uploads = [server.put("in/a.jpg", small()), server.put("other/a.jpg", small())]
    with annotator(tmp_path / "log", server.url, ANNOTATE_IMAGE="drawn", **places) as service:
        courier = Courier(service.url)
        for _ in range(3):
            courier.deliver(uploads)
            uploads = _described(server, SOURCE)
    assert len(server.names(SOURCE)) == 4


def test_results_of_another_annotator_and_folders_are_ignored(
    server: BucketServer, tmp_path: Path
) -> None:
    there = annotator(tmp_path / "there", server.url, ANNOTATE_IMAGE="drawn")
    back = annotator(tmp_path / "back", server.url, INPUT_BUCKET=OUT, OUTPUT_BUCKET=SOURCE)
    uploads = [server.put("a.jpg", small()), server.put("folder/", b"")]
    with there, back:
        Courier(there.url).deliver(uploads)
        Courier(back.url).deliver(_described(server, OUT))
        Courier(back.url).deliver(uploads)  # of another bucket
    assert len(server.names(OUT)) == 2
    assert sorted(server.names(SOURCE)) == ["a.jpg", "folder/"]


@pytest.mark.defends("foreign-bucket")
def test_it_refuses_to_start_without_an_input_bucket(tmp_path: Path) -> None:
    service = annotator(tmp_path / "log", "http://127.0.0.1:9", INPUT_BUCKET="")
    with pytest.raises(RuntimeError, match="exited at once"), service:
        pass
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("cannot start: INPUT_BUCKET is not set")


@pytest.mark.defends("hopeless-event")
def test_events_that_the_framework_cannot_parse_are_acknowledged(trigger: Trigger) -> None:
    upload = trigger.server.put("hopeless/a.jpg", small())
    courier, headers = Courier(trigger.url), event_headers(upload)
    structured = {"Content-Type": "application/cloudevents+json"}
    deep = "[" * 100_000
    bodies = [
        deep,
        '{"a":' * 100_000,
        deep + "]" * 100_000,
        "[" * 90_000 + "]" * 90_000,
        "[" + "[]," * 300_000 + "[]]",
        '{"generation": ' + "9" * 10_000 + "}",
        "x" * 2_000_000,
        "\x00\xff",
        '{"specversion": "1.0", "type": 7}',
    ]
    before = _hopeless(trigger.log)
    for body in bodies:
        for kind in (headers, structured, {}):
            assert courier.send(kind, body).status_code == 200
    assert _hopeless(trigger.log) >= before + 2 * len(bodies)
    courier.deliver([upload])
    assert len(trigger.results("hopeless/")) == 1


@pytest.mark.defends("forged-size")
def test_an_object_longer_than_its_event_says_is_not_read(trigger: Trigger) -> None:
    upload = trigger.server.put("forged/a.jpg", small())
    courier, before = Courier(trigger.url), _hopeless(trigger.log)
    assert courier.once({**upload, "size": "10"}).status_code == 200
    assert trigger.results("forged/") == []
    assert _hopeless(trigger.log) == before + 1
    (line,) = trigger.lines("forged/")
    assert line["severity"] == "WARNING"


@pytest.mark.skipif(not CHAIN.is_file(), reason=f"{CHAIN} is not there: the chain is not tested")
def test_the_chain_from_upload_to_result(tmp_path: Path) -> None:
    port = free_port()
    storage = f"http://127.0.0.1:{port}"
    with annotator(tmp_path / "log", storage, INPUT_BUCKET="in", OUTPUT_BUCKET="out") as service:
        environment = {"PORT": str(port), "COPIES": "2", "SHUFFLE": "1", "PATH": "/usr/bin:/bin"}
        with (tmp_path / "chain").open("wb") as log:
            chain = subprocess.Popen(
                [sys.executable, str(CHAIN), service.url, "in", "out"], env=environment, stdout=log
            )
        try:
            _wait_for(lambda: "export" in (tmp_path / "chain").read_text())
            names = ["a.jpg", "b b.jpg", "c/d.jpg", "é#.jpg", "e" * 200]
            for name in names:
                _upload(storage, "in", name, small())
            _wait_for(lambda: (tmp_path / "chain").read_text().count('"status": 200') >= 10)
            listed = requests.get(f"{storage}/storage/v1/b/out/o", timeout=10).json()["items"]
        finally:
            chain.terminate()
            chain.wait(timeout=15)
    assert sorted(item["name"].rsplit(".", 2)[0] for item in listed) == sorted(names)


def _described(server: BucketServer, bucket: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{server.url}/storage/v1/b/{bucket}/o", timeout=10).json()
    return list(answer.get("items", []))


def _message(upload: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "bucketId": upload["bucket"],
        "objectId": upload["name"],
        "objectGeneration": upload["generation"],
        "payloadFormat": "JSON_API_V1",
    }
    data = base64.b64encode(json.dumps(upload).encode()).decode()
    message = {"attributes": attributes, "data": data, "messageId": "17"}
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


def _hopeless(log: Path) -> int:
    """Number of events so far that could never be handled."""
    return max((line["hopeless"] for line in lines_of(log) if "hopeless" in line), default=0)


def _upload(storage: str, bucket: str, name: str, data: bytes) -> None:
    requests.post(
        f"{storage}/upload/storage/v1/b/{bucket}/o",
        params={"uploadType": "media", "name": name},
        data=data,
        timeout=10,
    ).raise_for_status()


def _wait_for(condition: Any, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
