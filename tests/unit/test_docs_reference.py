"""The reference pages match the code."""

import json
import re
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from age_gender.edge.app import ROUTES
from age_gender.edge.openapi import description
from age_gender.edge.problems import STATUSES
from age_gender.schema import (
    FaceDetails,
    ModelBody,
    PredictRequest,
    PredictResponse,
    QualityBody,
)
from age_gender.settings import Settings
from tests.markdown import ROOT, bare, blocks, code, read, table, tables

API = read(ROOT / "docs" / "api.md")
SETTINGS = read(ROOT / "docs" / "settings.md")
TROUBLESHOOTING = read(ROOT / "docs" / "troubleshooting.md")

FIELDS = {bare(row[0]): row for row in table(API, "field", "type", "default")}
PROPERTIES = PredictRequest.model_json_schema()["properties"]


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]


class TestRequest:
    def test_exactly_the_fields_are_described(self) -> None:
        assert set(FIELDS) == set(PredictRequest.model_fields)

    @pytest.mark.parametrize("name", PredictRequest.model_fields)
    def test_type_and_default(self, name: str) -> None:
        (schema,) = alternatives(PROPERTIES[name])
        _, kind, default, *_ = map(bare, FIELDS[name])
        assert kind == schema["type"]
        expected = PredictRequest.model_fields[name].default
        assert default == ("" if expected is None else json.dumps(expected))

    @pytest.mark.parametrize("name", PredictRequest.model_fields)
    def test_allowed_values(self, name: str) -> None:
        (schema,) = alternatives(PROPERTIES[name])
        allowed = bare(FIELDS[name][3])
        if "enum" in schema:
            assert allowed == ", ".join(map(json.dumps, schema["enum"]))
        elif "minimum" in schema:
            assert allowed == f"{schema['minimum']:g} to {schema['maximum']:.0f}"
        elif "maxLength" in schema:
            assert allowed == f"up to {schema['maxLength']} characters"
        elif "maxItems" in schema:
            least, most = (f"{schema['items'][f'{end}imum']}" for end in ("min", "max"))
            fewest = f"{schema['minItems']} to" if "minItems" in schema else "up to"
            count = f"{fewest} {schema['maxItems']}"
            assert allowed == f"{count} of {least} to {most}"
        else:
            assert allowed == ""


class TestResponse:
    @pytest.mark.parametrize(
        ("model", "head"),
        [
            (PredictResponse, "confidence"),
            (FaceDetails, "box"),
            (QualityBody, "size"),
            (ModelBody, "version"),
        ],
    )
    def test_exactly_the_fields_are_described(self, model: type[BaseModel], head: str) -> None:
        (rows,) = [
            rows
            for names, rows in tables(API)
            if names[1:] == ["type", "meaning"] and bare(rows[0][0]) == head
        ]
        assert [bare(row[0]) for row in rows] == list(model.model_fields)

    def test_the_example_is_a_response(self) -> None:
        (response,) = [json.loads(b) for b in blocks(API, "json") if '"faces"' in b]
        schema = {**description(), "$ref": "#/components/schemas/PredictResponse"}
        jsonschema.validate(response, schema)
        assert set(response) == set(PredictResponse.model_fields) - {"image"}
        for face in response["details"]:
            assert set(face) == set(FaceDetails.model_fields) - {"over"}  # not asked for


class TestErrors:
    def test_every_code_has_its_status(self) -> None:
        rows = table(API, "status", "code")
        assert {bare(code): int(status) for status, code, _ in rows} == {
            code: status for code, (status, _) in STATUSES.items()
        }

    def test_the_example_is_a_problem(self) -> None:
        (problem,) = [json.loads(b) for b in blocks(API, "json") if '"urn:' in b]
        schema = {**description(), "$ref": "#/components/schemas/Problem"}
        jsonschema.validate(problem, schema)
        status, title = STATUSES[problem["code"]]
        assert (problem["status"], problem["title"]) == (status, title)
        assert problem["type"].endswith(problem["code"])

    def test_every_code_is_in_troubleshooting(self) -> None:
        codes = [bare(row[0]) for row in table(TROUBLESHOOTING, "code")]
        assert sorted(codes) == sorted(STATUSES)


def test_every_route_is_described() -> None:
    described = [bare(row[0]) for row in table(API, "route")]
    routes = {f"{method} {path}" for path, methods in ROUTES.items() for method in methods}
    assert sorted(described) == sorted(routes)


def test_how_it_works_names_every_package_and_module() -> None:
    package = ROOT / "function" / "age_gender"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    spans = code(read(ROOT / "docs" / "how-it-works.md"))
    named = set(re.findall(r"\b[a-z_]+\b", spans))
    assert modules - {"__init__"} - named == set()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting(name: str) -> None:
    rows = [row for head, body in tables(SETTINGS) if head[0] == "variable" for row in body]
    (default,) = [bare(row[1]) for row in rows if bare(row[0]) == name.upper()]
    expected = Settings.model_fields[name].default
    if name == "models_dir":
        assert re.search(r"\bmodels\b", default)
    elif isinstance(expected, bool):
        assert default == str(expected).lower()
    elif expected in (None, "", ()):
        assert default == ""
    else:
        assert default == str(expected)


def test_every_documented_setting_exists() -> None:
    named = {
        bare(row[0]) for head, body in tables(SETTINGS) if head[0] == "variable" for row in body
    }
    assert named == {name.upper() for name in Settings.model_fields}
