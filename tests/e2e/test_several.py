"""Several pictures in one call to the real service, with real models."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from testing import photos
from testing.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("several") / "log") as running:
        yield running


PICTURES = [
    photos.resized("astronaut", 256, 256),
    b"%PDF-1.7 no picture",
    photos.collage(5, 640, 480),
    photos.resized("grace_hopper", 256, 300),
]
ACCURATE = {"face_detector": "accurate", "return_image": False}


def counts(answer: dict[str, Any]) -> list[int | str]:
    return [
        one["error"]["code"] if "error" in one else len(one["faces"]) for one in answer["results"]
    ]


def test_json_and_forms_get_what_single_calls_get(service: Service) -> None:
    entries = [{"b64": base64.b64encode(data).decode()} for data in PICTURES]
    by_json = service.post(json={"images": entries, **ACCURATE})
    form = {name: json.dumps(value).strip('"') for name, value in ACCURATE.items()}
    files = [("image", (f"{number}.jpg", data)) for number, data in enumerate(PICTURES)]
    by_form = service.post(files=files, data=form)
    assert (by_json.status_code, by_form.status_code) == (200, 200)
    assert counts(by_json.json()) == counts(by_form.json()) == [1, "unsupported-picture", 5, 1]
    alone = service.predict(PICTURES[2], **ACCURATE)
    for answer in (by_json, by_form):
        assert answer.json()["results"][2]["details"] == alone["details"]
        assert "attributes;dur=" in answer.headers["Server-Timing"]
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line[0] == "{"]
    (line,) = (x for x in lines if x.get("request_id") == by_json.headers["X-Request-Id"])
    assert (line["images"], line["faces"], line["failed"]) == (4, 7, 1)
