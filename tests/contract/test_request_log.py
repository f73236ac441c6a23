"""One line in the log for each request, with what is needed to find it again."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.conftest import Client, Serve
from tests.contract.test_predict import B64

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "age_gender.edge.completion"):
        yield caplog


def fields(log: pytest.LogCaptureFixture) -> dict[str, Any]:
    (record,) = (r for r in log.records if r.name == "age_gender.edge.completion")
    found: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    return {"level": record.levelname, **found}


def test_a_prediction(client: Client, log: pytest.LogCaptureFixture) -> None:
    headers = {"X-Request-Id": "find-me", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    response = client.post("/predict?secret=1", json={"b64": B64}, headers=headers)
    assert response.status_code == 200
    line = fields(log)
    expected = {
        "level": "INFO",
        "request_id": "find-me",
        "logging.googleapis.com/trace": TRACE,
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "faces": 1,
        "caller": "basic",
    }
    assert {name: line[name] for name in expected} == expected
    assert line["ms"] > 0
    assert line["stages"]["decode"] > 0
    assert "code" not in line


@pytest.mark.parametrize(
    ("arguments", "status", "code", "level"),
    [
        ({"json": {}}, 400, "no-picture", "INFO"),
        ({"json": {}, "headers": {"Authorization": None}}, 401, "unauthorized", "INFO"),
        ({"path": "/nowhere"}, 404, "not-found", "INFO"),
    ],
)
def test_a_refusal(
    client: Client,
    log: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    status: int,
    code: str,
    level: str,
) -> None:
    response = client.post(**arguments)
    line = fields(log)
    assert (line["status"], line["code"], line["level"]) == (status, code, level)
    assert line["request_id"] == response.get_json()["request_id"]
    assert line["detail"] == response.get_json()["detail"]


def test_a_failure_has_its_reason(serve: Serve, log: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:
        raise RuntimeError("the reason")

    response = serve(fail).post(json={"b64": B64})
    line = fields(log)
    assert (line["level"], line["code"]) == ("ERROR", "internal")
    assert line["request_id"] == response.get_json()["request_id"]
    (record,) = (r for r in log.records if r.levelno == logging.ERROR)
    assert "the reason" in str(record.exc_info)


@pytest.mark.parametrize("path", ["/", "/health", "/healthz"])
def test_health_is_for_debugging(client: Client, log: pytest.LogCaptureFixture, path: str) -> None:
    client.get(path)
    assert fields(log)["level"] == "DEBUG"
