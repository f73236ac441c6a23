"""The service in this process, as functions-framework serves it, with real or fake models."""

import base64
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import functions_framework
import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from age_gender.edge.app import Edge
from age_gender.edge.front.loop import Loop
from age_gender.edge.openapi import description
from age_gender.limits.cpus import CpuShares
from age_gender.runtime import Runtime
from age_gender.settings import FUNCTION_DIR, Settings
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.pipeline import Pipeline
from tests.unit import profile  # noqa: F401 - loads it
from tests.unit.fakes import FakeDetector, TrustingVerifier, detections, estimator

MAIN = FUNCTION_DIR / "main.py"
AUTHORIZATION = "Basic " + base64.b64encode(b"sugar:kubes").decode()


class Client:
    """Sends requests with the default credentials, and checks every answer against the contract."""

    def __init__(self, client: FlaskClient):
        self._client = client

    def post(self, path: str = "/predict", **arguments: Any) -> TestResponse:
        return self.open(path, method="POST", **arguments)

    def get(self, path: str, **arguments: Any) -> TestResponse:
        return self.open(path, method="GET", **arguments)

    def open(self, path: str, **arguments: Any) -> TestResponse:
        headers = {"Authorization": AUTHORIZATION, **arguments.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        response = self._client.open(path, headers=headers, **arguments)
        check_contract(response)
        return response


def check_contract(response: TestResponse) -> None:
    """Check what every answer has, success or error."""
    assert response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if response.status_code < 400:
        return
    assert response.mimetype == "application/problem+json"
    if response.request.method == "HEAD":
        return
    problem = response.get_json()
    validate("Problem", problem)
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:age-gender:problem:{problem['code']}"
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert problem["detail"]
    for leak in ("Traceback", 'File \\"', str(FUNCTION_DIR), "kubes", "object at 0x"):
        assert leak not in response.text


def validate(schema: str, value: object) -> None:
    """Check a value against a schema of the OpenAPI description."""
    document = description()
    jsonschema.validate(value, {**document, "$ref": f"#/components/schemas/{schema}"})


@dataclass
class FakeRuntime:
    """Detects one face of 40 pixels in every picture, male, whose age is the mean red value."""

    engine: str = "litert"
    detector: FakeDetector = field(
        default_factory=lambda: FakeDetector(detections((10, 10, 50, 50), landmarks=True))
    )

    def __post_init__(self) -> None:
        self.attributes = estimator()
        self.pipeline = Pipeline(
            lambda _: self.detector,
            lambda: self.attributes,
            TrustingVerifier,
            cpus=CpuShares(1),
            engine=self.engine,
        )

    def estimator(self) -> AttributeEstimator:
        return self.attributes


@pytest.fixture(scope="session")
def app() -> Flask:
    create = functions_framework.create_app
    made: Flask = create("predict", str(MAIN))  # type: ignore[no-untyped-call]
    return made


Serve = Callable[..., Client]


@pytest.fixture
def serve(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Build a client of the service with given settings and models; fake models by default."""

    def with_(
        runtime: FakeRuntime | Runtime | Callable[[], Any] | None = None, **settings: Any
    ) -> Client:
        models = runtime or FakeRuntime()
        give = models if callable(models) else lambda: models
        edge = Edge(Settings(**settings), give)  # type: ignore[arg-type]
        monkeypatch.setattr(sys.modules["main"], "_edge", edge)
        return Client(app.test_client())

    return with_


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve()


Listen = Callable[..., Any]


@pytest.fixture
def listen(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Serve over real HTTP, through our loop, with given settings and fake models: yields a URL."""

    @contextmanager
    def with_(**settings: Any) -> Iterator[str]:
        edge = Edge(Settings(**settings), FakeRuntime)  # type: ignore[arg-type]
        monkeypatch.setattr(sys.modules["main"], "_edge", edge)
        stopped = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            loop = Loop(app, edge.policy, [listener], threads=4, alive=lambda: not stopped.is_set())
            thread = threading.Thread(target=loop.run, args=(5.0,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                stopped.set()
                loop.wake()
                thread.join(30)

    return with_
