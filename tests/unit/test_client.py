"""The HTTP client against a server that answers as the test says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from age_gender import client as module
from age_gender.client import (
    Client,
    ClientError,
    FetchFailed,
    InvalidRequest,
    PredictedFace,
    Prediction,
    PredictOptions,
    ServiceBusy,
    ServiceUnavailable,
    Unauthorized,
)
from age_gender.schema import PredictRequest, PredictResponse
from testing.service import AUTHORIZATION, CREDENTIALS, ROOT
from testing.web import Handler, serve
from tests.markdown import blocks, read

ANSWER = next(
    json.loads(block)
    for block in blocks(read(ROOT / "docs" / "api.md"), "json")
    if '"faces"' in block
)


@dataclass
class Stub:
    """Answers with what is in ``answers``, in turn, then with `ANSWER`; keeps the requests."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    address: str = ""

    def client(self, **options: Any) -> Client:
        return Client(self.address, sleep=self.pauses.append, **options)

    def problem(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = {
            "status": status,
            "code": code,
            "detail": f"about {code}",
            "request_id": "abc123",
            "errors": [{"field": "confidence", "message": "at most 1"}],
        }
        content = {"Content-Type": "application/problem+json", **(headers or {})}
        self.answers.append((status, content, json.dumps(body).encode()))


@pytest.fixture
def stub() -> Iterator[Stub]:
    state = Stub()

    class Answers(Handler):
        protocol_version = "HTTP/1.1"
        ok: ClassVar = (200, {"Content-Type": "application/json", "X-Request-Id": "r1"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append((self.command, self.path, dict(self.headers), body))
            default = (*self.ok, json.dumps(ANSWER).encode())
            status, headers, content = state.answers.pop(0) if state.answers else default
            self.answer(status, content, **headers)

        def do_GET(self) -> None:
            self.do_POST()

    with serve(Answers) as address:
        state.address = address
        yield state


def test_the_answer_is_typed(stub: Stub) -> None:
    prediction = stub.client().predict(b"x")
    (face,) = prediction.faces
    details = ANSWER["details"][0]
    assert (list(face.box), face.age, face.gender) == (details["box"], details["age"], "F")
    assert face.age_interval == tuple(details["age_interval"])
    assert face.landmarks is not None
    assert len(face.landmarks) == 5
    assert (face.reliable, face.reasons) == (True, ())
    assert prediction.size == tuple(ANSWER["image_size"])
    assert (prediction.request_id, prediction.image, prediction.source) == ("r1", None, "")
    (row,) = prediction.to_dicts()
    assert row["age_high"] == details["age_interval"][1]
    pytest.importorskip("pandas")
    assert prediction.to_dataframe()["gender"].tolist() == ["F"]


def test_the_client_knows_every_field() -> None:
    asked = set(PredictRequest.model_fields) - {"url", "b64"}
    assert asked <= set(PredictOptions.__annotations__), "add it to PredictOptions"
    faces = set(PredictedFace.__annotations__)
    known = {"quality"} | faces
    assert set(ANSWER["details"][0]) <= known
    used = {"image_size", "details", "image", "model", "warnings"}
    assert used <= set(PredictResponse.model_fields)
    old = {"image_size": [4, 3]}
    assert Prediction.of("", old, "").faces == ()
    bare = {"box": [1, 2, 3, 4], "confidence": 0.5, "landmarks": None, "newer": 1}
    face = PredictedFace.of(bare)
    assert (face.age, face.landmarks, face.details["newer"]) == (None, None, 1)


@pytest.mark.parametrize("given", [str, Path, bytes])
def test_the_body_is_the_picture(stub: Stub, given: Any, tmp_path: Path) -> None:
    file = tmp_path / "a b.jpg"
    file.write_bytes(b"\xff\xd8picture")
    image = file.read_bytes() if given is bytes else given(file)
    client = stub.client(username=CREDENTIALS[0], password=CREDENTIALS[1])
    prediction = client.predict(image, face_detector="fast", over_age=[18, 25], blur=True)
    ((method, path, headers, body),) = stub.requests
    assert (method, body) == ("POST", b"\xff\xd8picture")
    route, _, query = path.partition("?")
    assert route == "/predict"
    assert set(query.split("&")) == {
        *("face_detector=fast", "over_age=18%2C25", "blur=true", "return_image=false"),
    }
    assert headers["Authorization"] == AUTHORIZATION
    assert headers["Content-Type"] == "application/octet-stream"
    assert prediction.source == ("" if given is bytes else str(file))


def test_json_and_forms_and_addresses(stub: Stub) -> None:
    client = stub.client()
    client.predict(b"abc", send_as="json", over_age=[18])
    client.predict(b"abc", send_as="form", max_faces=2)
    assert client.predict(url="https://example.com/a.jpg").source == "https://example.com/a.jpg"
    in_json, form, address = (body for *_, body in stub.requests)
    assert json.loads(in_json) == {"return_image": False, "b64": "YWJj", "over_age": [18]}
    assert b'name="image"; filename=' in form
    assert b'name="max_faces"\r\n\r\n2' in form
    assert json.loads(address) == {"return_image": False, "url": "https://example.com/a.jpg"}
    wrong_ones: list[dict[str, Any]] = [
        {},
        {"image": b"x", "url": "https://example.com"},
        {"image": b"", "send_as": "x"},
    ]
    for wrong in wrong_ones:
        with pytest.raises(ValueError, match=r"exactly one|send_as"):
            client.predict(**wrong)


def test_a_busy_service_is_asked_again_when_it_says(stub: Stub) -> None:
    stub.problem(429, "busy", {"Retry-After": "3"})
    moment = datetime.now(UTC) + timedelta(seconds=20)
    stub.problem(503, "model-unavailable", {"Retry-After": format_datetime(moment, usegmt=True)})
    assert len(stub.client().predict(b"x").faces) == 1
    first, second = stub.pauses
    assert 3 <= first <= 3.5
    assert 18 <= second <= 21


def test_pauses_grow_where_it_does_not_say(stub: Stub) -> None:
    for _ in range(4):
        stub.problem(503, "model-unavailable")
    stub.client().predict(b"x")
    for pause, longest in zip(stub.pauses, (0.5, 1, 2, 4), strict=True):
        assert longest / 2 <= pause <= longest


def test_it_gives_up(stub: Stub) -> None:
    for _ in range(9):
        stub.problem(429, "busy", {"Retry-After": "1"})
    with pytest.raises(ServiceBusy, match="about busy") as raised:
        stub.client(attempts=3).predict(b"x")
    assert (raised.value.status, raised.value.code) == (429, "busy")
    assert len(stub.requests) == 3
    # A pause beyond the time that is left is not waited for.
    stub.answers = []
    stub.problem(429, "busy", {"Retry-After": "600"})
    stub.pauses.clear()
    with pytest.raises(ServiceBusy):
        stub.client(total_timeout=60).predict(b"x")
    assert stub.pauses == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "no-picture", InvalidRequest),
        (401, "unauthorized", Unauthorized),
        (413, "picture-too-large", InvalidRequest),
        (415, "unsupported-picture", InvalidRequest),
        (422, "invalid-field", InvalidRequest),
        (424, "fetch-failed", FetchFailed),
        (500, "internal", ServiceUnavailable),
        (504, "fetch-timeout", FetchFailed),
    ],
)
def test_what_no_repetition_mends_is_raised_at_once(
    stub: Stub, status: int, code: str, kind: type[ClientError]
) -> None:
    stub.problem(status, code)
    with pytest.raises(kind) as raised:
        stub.client().predict(b"x")
    error = raised.value
    assert (error.status, error.code, error.detail) == (status, code, f"about {code}")
    assert (error.request_id, error.fields) == ("abc123", {"confidence": "at most 1"})
    assert str(error) == f"{code} ({status}): about {code}"
    assert stub.pauses == []


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (404, {"Content-Type": "text/html"}, b"<html>", "text/html"),
        (200, {"Content-Type": "text/html"}, b"<html>", "text/html"),
        (200, {"Content-Type": "application/json"}, b"[]", "not with JSON"),
        (302, {"Location": "https://login.example.com/"}, b"", "redirects to https://login"),
        (500, {}, b"", "nothing"),
    ],
)
def test_other_programs_are_recognised(
    stub: Stub, status: int, headers: dict[str, str], body: bytes, words: str
) -> None:
    stub.answers.append((status, headers, body))
    with pytest.raises(ServiceUnavailable, match=words):
        stub.client().predict(b"x")


def test_a_service_that_is_not_there() -> None:
    pauses: list[float] = []
    client = Client("http://127.0.0.1:9", attempts=2, sleep=pauses.append)
    with pytest.raises(ServiceUnavailable, match="cannot be reached") as raised:
        client.predict(b"x")
    assert (raised.value.status, len(pauses)) == (0, 1)
    assert client.is_up() is False
    bad: list[dict[str, Any]] = [
        {"address": "localhost:8080"},
        {"address": "http://x", "attempts": 0},
    ]
    for arguments in bad:
        with pytest.raises(ValueError, match=r"http|attempts"):
            Client(**arguments)


def test_a_private_service(stub: Stub) -> None:
    tokens = iter(["one", "two", "three"])
    stub.problem(503, "model-unavailable")
    client = stub.client(username="sugar", password="kubes", token=lambda: next(tokens))
    client.predict(b"x")
    assert [r[2]["X-Serverless-Authorization"] for r in stub.requests] == [
        "Bearer one",
        "Bearer two",
    ]
    assert stub.requests[1][2]["Authorization"] == AUTHORIZATION
    assert client.is_up()


def test_no_password_comes_from_elsewhere(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    stub.client().predict(b"x")
    assert "Authorization" not in stub.requests[0][2]


def test_many(stub: Stub, tmp_path: Path) -> None:
    stub.problem(415, "unsupported-picture")
    outcomes = list(stub.client().predict_many([b"1", b"2", b"3"], parallel=1))
    assert isinstance(outcomes[0], InvalidRequest)
    assert [type(outcome) for outcome in outcomes[1:]] == [Prediction, Prediction]
    assert [body for *_, body in stub.requests] == [b"1", b"2", b"3"]
    stub.problem(401, "unauthorized")
    with pytest.raises(Unauthorized):
        list(stub.client().predict_many([b"1"], parallel=1))
    with pytest.raises(FileNotFoundError):
        list(stub.client().predict_many([tmp_path / "none.jpg"]))


def test_what_it_says_about_its_model(stub: Stub) -> None:
    with stub.client() as client:
        assert client.model() == ANSWER
    assert stub.requests[0][:2] == ("GET", "/model")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("soon", None), ("-1", None), ("7", 7.0), (" 0 ", 0.0)]
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert module.retry_after(text) == seconds


def test_a_date_in_the_past() -> None:
    assert module.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_it_imports_no_model_and_no_image_library() -> None:
    code = (
        "import sys, age_gender.client; "
        "print({'numpy', 'cv2', 'pydantic', 'flask', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "function",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "set()"
