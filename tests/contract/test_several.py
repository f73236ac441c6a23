"""Several pictures in one call."""

import base64
import io
import json
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from age_gender.edge import parallel
from age_gender.edge.several import MAX_IMAGES, Entry
from age_gender.limits.cpus import usable_cpus
from testing.web import Handler, serve
from tests.contract.conftest import Client, FakeRuntime, Serve, validate
from tests.contract.test_predict import B64
from tests.unit.pictures import encoded


def picture(width: int, height: int = 60, red: int = 40) -> str:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = red
    return base64.b64encode(encoded(pixels, "PNG")).decode()


def results(response: TestResponse) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    body = response.get_json()
    validate("PredictSeveralResponse", body)
    found: list[dict[str, Any]] = body["results"]
    return found


def codes(response: TestResponse) -> list[str | None]:
    return [found["error"]["code"] if "error" in found else None for found in results(response)]


class TestJson:
    def test_in_order_each_as_alone(self, client: Client) -> None:
        pictures = [picture(70 + n) for n in range(MAX_IMAGES)]
        entries = [{"b64": text} for text in pictures]
        found = results(client.post(json={"images": entries, "return_image": False}))
        assert [one["image_size"] for one in found] == [[70 + n, 60] for n in range(MAX_IMAGES)]
        alone = client.post(json={"b64": pictures[3], "return_image": False}).get_json()
        for one in (alone, found[3]):
            del one["inference_time"]
        assert found[3] == alone

    def test_a_single_entry_has_results_too(self, client: Client) -> None:
        (found,) = results(client.post(json={"images": [{"b64": B64}]}))
        assert found["image"]

    def test_entries_override_what_is_shared(self, client: Client) -> None:
        entries = [{"b64": B64}, {"b64": B64, "get_attributes": True, "return_image": True}]
        body = {"images": entries, "get_attributes": False, "return_image": False}
        first, second = results(client.post(json=body))
        assert len(first["faces"][0]) == 7
        assert "image" not in first
        assert len(second["faces"][0]) == 9
        assert second["image"]

    def test_one_failure_ends_nothing(self, client: Client) -> None:
        entries: list[Any] = [
            {"b64": B64},
            {"b64": "AAAA"},
            {"b64": "!"},
            {},
            {"url": "http://127.0.0.1/a.jpg"},
            {"url": "https://example.com/a.jpg", "b64": B64},
            {"b64": B64, "confidence": 2},
            "text",
            {"b64": B64},
        ]
        response = client.post(json={"images": entries}, headers={"X-Request-Id": "mine"})
        assert codes(response) == [
            None,
            "unsupported-picture",
            "bad-base64",
            "no-picture",
            "url-not-allowed",
            "two-pictures",
            "invalid-field",
            "invalid-field",
            None,
        ]
        assert response.headers["X-Request-Id"] == "mine"
        assert results(response)[1]["error"]["request_id"] == "mine"

    def test_an_unexpected_failure_ends_nothing(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runtime = FakeRuntime()
        run = runtime.pipeline.run

        def fail(source: Any, options: Any) -> Any:
            if source.size == (99, 60):
                raise RuntimeError("the reason")
            return run(source, options)

        monkeypatch.setattr(runtime.pipeline, "run", fail)
        response = serve(runtime).post(json={"images": [{"b64": picture(99)}, {"b64": B64}]})
        assert codes(response) == ["internal", None]
        assert "the reason" in caplog.text
        assert "the reason" not in response.text

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"images": []}, 422, "invalid-field"),
            ({"images": [{"b64": B64}] * (MAX_IMAGES + 1)}, 422, "invalid-field"),
            ({"images": {"b64": B64}}, 422, "invalid-field"),
            ({"images": [{"b64": B64}], "confidence": 2}, 422, "invalid-field"),
            ({"images": [{"b64": B64}], "strict": True, "detector": "fast"}, 422, "invalid-field"),
            ({"images": [{"b64": B64}], "b64": B64}, 400, "two-pictures"),
            ({"images": None}, 400, "no-picture"),
        ],
    )
    def test_what_is_wrong_for_all(
        self, client: Client, body: dict[str, Any], status: int, code: str
    ) -> None:
        response = client.post(json=body)
        assert (response.status_code, response.get_json()["code"]) == (status, code)

    def test_the_name_may_be_written_with_escapes(self, client: Client) -> None:
        body = json.dumps({"images": [{"b64": B64}]}).replace("images", "im\\u0061ges")
        assert len(results(client.post(data=body, content_type="application/json"))) == 1

    def test_null_images_count_as_not_given(self, client: Client) -> None:
        answer = client.post(json={"images": None, "b64": B64})
        assert answer.get_json()["faces"]

    def test_misspelt_fields_are_reported_for_each(self, client: Client) -> None:
        body = {"images": [{"b64": B64}, {"b64": B64, "dete": 1}], "detector": "fast"}
        first, second = results(client.post(json=body))
        assert len(first["warnings"]) == 1
        assert len(second["warnings"]) == 2


class TestForm:
    def test_repeated_files(self, client: Client) -> None:
        files = [(io.BytesIO(base64.b64decode(picture(70 + n))), f"{n}.png") for n in range(3)]
        data = {"image": files, "return_image": "false"}
        found = results(client.post(data=data, content_type="multipart/form-data"))
        assert [one["image_size"][0] for one in found] == [70, 71, 72]

    def test_too_many(self, client: Client) -> None:
        files = [(io.BytesIO(b"x"), "a.png") for _ in range(MAX_IMAGES + 1)]
        response = client.post(data={"image": files}, content_type="multipart/form-data")
        assert (response.status_code, response.get_json()["code"]) == (422, "invalid-field")

    def test_files_and_an_address(self, client: Client) -> None:
        files = [(io.BytesIO(b"x"), "a.png") for _ in range(2)]
        data = {"image": files, "url": "https://example.com/a.jpg"}
        response = client.post(data=data, content_type="multipart/form-data")
        assert (response.status_code, response.get_json()["code"]) == (400, "two-pictures")


class TestOverAll:
    """Limits, times and the line in the log are those of the request."""

    def test_pixels(self, serve: Serve) -> None:
        """The first few fit, in whatever order they come to their turn."""
        client = serve(max_pixels=20_000)
        response = client.post(json={"images": [{"b64": picture(100, 100)}] * 3})
        assert sorted(map(str, codes(response))) == ["None", "None", "picture-too-large"]

    def test_bytes_of_fetched_pictures(self, serve: Serve) -> None:
        body = base64.b64decode(picture(70)) + bytes(1000)
        with web(body) as address:
            client = serve(allow_private_urls=True, max_body_bytes=2 * len(body) + 10)
            response = client.post(json={"images": [{"url": address}] * 3})
        assert sorted(map(str, codes(response))) == ["None", "None", "picture-too-large"]

    def test_time(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "MAX_SECONDS", -1.0)
        response = client.post(json={"images": [{"b64": B64}, {"b64": B64}]})
        assert (response.status_code, response.get_json()["code"]) == (429, "busy")

    def test_bytes_are_released(self, serve: Serve) -> None:
        client = serve(max_held_bytes=100_000)
        entries = [{"b64": picture(300, 300)}] * 20
        for _ in range(3):
            response = client.post(json={"images": entries})
            assert codes(response) == [None] * 20
            response.close()

    def test_pictures_are_released_one_by_one(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each is held by no one after its turn, as the budget of bytes assumes."""
        runtime = FakeRuntime()
        predict, answer = runtime.pipeline.run, parallel.ParallelPredictions.run
        entries: list[weakref.ref[Entry]] = []
        alive: list[int] = []

        def run(it: parallel.ParallelPredictions, given: list[Entry], *more: Any) -> Any:
            entries.extend(map(weakref.ref, given))
            return answer(it, given, *more)

        def watch(source: Any, options: Any) -> Any:
            alive.append(sum(entry() is not None for entry in entries))
            return predict(source, options)

        monkeypatch.setattr(parallel.ParallelPredictions, "run", run)
        monkeypatch.setattr(runtime.pipeline, "run", watch)
        body = {"images": [{"b64": picture(70 + n)} for n in range(20)]}
        assert codes(serve(runtime).post(json=body)) == [None] * 20
        assert alive[-1] <= parallel.MAX_PARALLEL

    def test_server_timing_and_log(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "age_gender.edge.completion"):
            response = client.post(json={"images": [{"b64": B64}, {"b64": B64}, {"b64": "!"}]})
        timing = response.headers["Server-Timing"]
        assert [part.partition(";")[0] for part in timing.split(", ")][:2] == ["receive", "fetch"]
        assert "detect;dur=" in timing
        (record,) = (r for r in caplog.records if r.name == "age_gender.edge.completion")
        fields = record.fields  # type: ignore[attr-defined]
        assert (fields["images"], fields["faces"], fields["failed"]) == (3, 2, 1)

    @pytest.mark.defends("one-for-many")
    def test_one_request_takes_no_more_than_the_cpus(self, serve: Serve) -> None:
        """So a place in the queue is left for the others, whose pictures go in between."""
        runtime, running, counts = FakeRuntime(), [0], [0]
        run, lock = runtime.pipeline.run, threading.Lock()

        def slow(source: Any, options: Any) -> Any:
            with lock:
                running[0] += 1
                counts.append(running[0])
            time.sleep(0.02)
            with lock:
                running[0] -= 1
            return run(source, options)

        runtime.pipeline.run = slow  # type: ignore[method-assign]
        client = serve(runtime, max_queue=1)
        body = json.dumps({"images": [{"b64": B64}] * MAX_IMAGES, "return_image": False})
        answers: list[TestResponse] = []
        thread = threading.Thread(
            target=lambda: answers.append(client.post(data=body, content_type="application/json"))
        )
        thread.start()
        while not counts[-1]:
            time.sleep(0.001)
        others = [client.post(json={"b64": B64}).status_code for _ in range(5)]
        thread.join()
        assert others == [200] * 5
        assert codes(answers[0]) == [None] * MAX_IMAGES
        assert max(counts) <= usable_cpus() + 1


@contextmanager
def web(body: bytes) -> Iterator[str]:
    """A web server with one picture, on the loopback; yields its address."""

    class Picture(Handler):
        def do_GET(self) -> None:
            self.answer(200, body)

    with serve(Picture) as address:
        yield f"{address}/a.png"
