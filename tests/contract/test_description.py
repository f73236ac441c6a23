"""Requests that the OpenAPI description allows, and some that it does not, made from it.

``FUZZ=50`` makes 50 times as many; see ``tests.unit.profile``.
"""

import pytest
import schemathesis
from flask import Flask
from hypothesis import given
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
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

Described = dict[str, APIOperation]

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
    ("GET /health", GenerationMode.POSITIVE, 20),
    ("GET /model", GenerationMode.POSITIVE, 20),
]
"""Operation, whether the requests are as described, and how many are made."""


@pytest.fixture
def described(app: Flask, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Described:
    monkeypatch.setattr(urls, "from_url", lambda *_: PICTURE)
    serve()
    served = schemathesis.openapi.from_wsgi("/openapi.json", app)
    return {operation.ok().label: operation.ok() for operation in served.get_all_operations()}


@pytest.mark.defends("fuzzing")
@pytest.mark.parametrize(("label", "mode", "count"), REQUESTS)
def test_answers_are_as_described(
    described: Described, label: str, mode: GenerationMode, count: int
) -> None:
    @examples(count)
    @given(described[label].as_strategy(generation_mode=mode))
    def answer(case: Case) -> None:
        response = case.call(headers={"Authorization": AUTHORIZATION})
        assert response.headers["x-request-id"]
        case.validate_response(response, checks=CHECKS)

    answer()


def test_all_operations_are_tried(described: Described) -> None:
    assert set(described) == {label for label, *_ in REQUESTS}
