"""Errors as answers."""

import ast
import re
from collections.abc import Iterator

import pytest

from age_gender import errors
from age_gender.edge.problems import STATUSES, FieldError, Problem
from age_gender.errors import AgeGenderError
from age_gender.fetch.checks import NOT_ALLOWED
from age_gender.settings import FUNCTION_DIR


def expected_errors() -> list[type[AgeGenderError]]:
    """All errors that can be raised while a request is answered."""
    raised = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AgeGenderError)
    ]
    return [k for k in raised if k not in (AgeGenderError, errors.SettingsError)]


@pytest.mark.parametrize("kind", expected_errors())
def test_every_error_has_a_status(kind: type[AgeGenderError]) -> None:
    problem = Problem.of(kind("what to change"))
    assert 400 <= problem.status < 600
    assert problem.detail == "what to change"


@pytest.mark.parametrize("code", ["bad-base64", NOT_ALLOWED])
def test_codes_of_sources_have_a_status(code: str) -> None:
    assert Problem.of(errors.SourceError("x", code=code)).status == 400


@pytest.mark.parametrize("code", STATUSES)
def test_fields_of_rfc_9457(code: str) -> None:
    status, title = STATUSES[code]
    response = Problem(code, "detail").response("abc")
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json() == {
        "type": f"urn:age-gender:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": "detail",
        "request_id": "abc",
    }


def test_errors_and_headers() -> None:
    error = FieldError(field="nms", message="too large")
    problem = Problem("invalid-field", "x", errors=[error], headers={"X-Why": "y"})
    response = problem.response("abc")
    assert response.get_json()["errors"] == [{"field": "nms", "message": "too large"}]
    assert response.headers["X-Why"] == "y"


def test_retry_after() -> None:
    response = Problem.of(errors.Busy("x", retry_after=7)).response("abc")
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "7"
    assert "Retry-After" not in Problem.of(errors.Busy("x")).response("abc").headers


def texts(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Start and end of each text that is given to an error."""
    for argument in call.args:
        parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
        ends = [p.value if isinstance(p, ast.Constant) else "x" for p in (parts[0], parts[-1])]
        if isinstance(argument, ast.JoinedStr | ast.Constant) and " " in ast.unparse(argument):
            yield str(ends[0]), str(ends[1])


def test_all_messages_are_written_alike() -> None:
    """Without a capital letter, except of names, and without a full stop."""
    wrong = []
    raised = {kind.__name__ for kind in descendants(AgeGenderError)} | {"Problem", "refuse"}
    count = 0
    for path in (FUNCTION_DIR / "age_gender").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in raised:
                continue
            for start, end in texts(node):
                count += 1
                if re.match("[A-Z][a-z]+ ", start.removeprefix("Cloud Storage")) or end[-1:] == ".":
                    wrong.append(f"{path.name}: {start} … {end}")
    assert count > 50
    assert wrong == []


def descendants(kind: type) -> set[type]:
    """A class and all classes derived from it."""
    return {kind}.union(*map(descendants, kind.__subclasses__()))
