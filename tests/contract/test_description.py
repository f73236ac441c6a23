"""Requests generated from the OpenAPI description: some that it allows, some that it does not.

``FUZZ=50`` generates 50 times the requests; see ``tests.unit.profile``.
"""

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import given
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from age_gender.fetch import urls
from tests.contract.conftest import AUTHORIZATION, Serve
from tests.contract.test_predict import PICTURE
from tests.unit.profile import examples

Operations = dict[str, APIOperation[Any, Any, Any, Any]]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


REQUESTS = [
    ("POST /predict", GenerationMode.POSITIVE, 500),
    ("POST /predict", GenerationMode.NEGATIVE, 500),
    ("GET /", GenerationMode.POSITIVE, 20),
    ("GET /health", GenerationMode.POSITIVE, 20),
    ("GET /healthz", GenerationMode.POSITIVE, 20),
    ("GET /model", GenerationMode.POSITIVE, 20),
]
"""Operation, whether the requests follow the description, and their number."""


@pytest.fixture
def described(app: Flask, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Operations:
    monkeypatch.setattr(urls, "from_url", lambda *_: PICTURE)
    serve()
    served = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = {}
    for result in served.get_all_operations():
        assert isinstance(result, Ok)
        operations[result.ok().label] = result.ok()
    return operations


@pytest.mark.defends("fuzzing")
@pytest.mark.parametrize(("label", "mode", "count"), REQUESTS)
def test_answers_are_as_described(
    described: Operations, label: str, mode: GenerationMode, count: int
) -> None:
    @examples(count)
    @given(described[label].as_strategy(generation_mode=mode))
    def answer(case: Case[Any]) -> None:
        # What calls the application here does not unpack answers.
        headers = {"Authorization": AUTHORIZATION, "Accept-Encoding": "identity"}
        response = case.call(headers=headers)
        assert response.headers["x-request-id"]
        case.validate_response(response, checks=CHECKS)

    answer()


def test_all_operations_are_tried(described: Operations) -> None:
    assert set(described) == {label for label, *_ in REQUESTS}
