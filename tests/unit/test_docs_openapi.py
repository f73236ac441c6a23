"""Everything in the OpenAPI description has a description and an example."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from age_gender.edge.openapi import description
from age_gender.vision.formats.kinds import FORMATS

DOCUMENT = description()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def properties(schema: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property at any depth, with its path."""
    for key, value in schema.get("properties", {}).items():
        yield f"{name}.{key}", value
        yield from properties(value, f"{name}.{key}")
    if isinstance(schema.get("items"), dict):
        yield from properties(schema["items"], f"{name}[]")


FIELDS = dict(field for name, schema in SCHEMAS.items() for field in properties(schema, name))


def examples_of(schema: dict[str, Any]) -> list[Any]:
    """Return its examples, or those of the schema it refers to or lists."""
    if "$ref" in schema:
        target = SCHEMAS[schema["$ref"].rpartition("/")[2]]
        return [target] if target.get("properties") else examples_of(target)
    if schema.get("type") == "object" or "properties" in schema.get("items", {}):
        return [schema]  # its fields have examples
    if "items" in schema and "$ref" in schema["items"]:
        return examples_of(schema["items"])
    for part in schema.get("anyOf", []):
        if "$ref" in part:
            return examples_of(part)
    if "default" in schema and schema["default"] is not None:
        return [schema["default"]]
    return list(schema.get("examples", [])) + list(schema.get("enum", []))


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_described(field: str) -> None:
    schema = FIELDS[field]
    assert len(schema.get("description", "")) >= 10


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_has_an_example(field: str) -> None:
    assert examples_of(FIELDS[field])


@pytest.mark.parametrize("field", [name for name, schema in FIELDS.items() if "examples" in schema])
def test_examples_of_a_field_are_valid(field: str) -> None:
    for example in FIELDS[field]["examples"]:
        jsonschema.validate(example, {**DOCUMENT, **FIELDS[field]})


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_described(name: str) -> None:
    assert len(SCHEMAS[name].get("description", "")) >= 10


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert len(operation["summary"]) >= 10
    for response in operation["responses"].values():
        assert len(response["description"]) >= 10
        for content in response["content"].values():
            assert content["schema"]
            assert content["schema"] != {"type": "object"}, "says nothing"
    for parameter in operation.get("parameters", []):
        assert parameter["schema"]["description"]


def test_no_two_schemas_have_one_title() -> None:
    """Generators name classes after titles, and leave out what has none of its own."""
    titles = [schema.get("title", name) for name, schema in SCHEMAS.items()]
    assert len(set(titles)) == len(titles)


def test_every_operation_has_an_id_of_its_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names) == len(OPERATIONS)
    assert all(name.isidentifier() for name in names)


def test_pictures_as_bodies_are_described_by_their_types() -> None:
    content = OPERATIONS["post /predict"]["requestBody"]["content"]
    pictures = {kind for kind in content if kind.startswith("image/")}
    assert pictures == {f"image/{name.lower()}" for name in FORMATS}
    assert not [kind for kind in content if "*" in kind]
    for kind in (*pictures, "application/octet-stream"):
        assert content[kind]["schema"] == {"type": "string", "format": "binary"}


@pytest.mark.parametrize("part", ["title", "summary", "description", "version", "license"])
def test_the_service_is_described(part: str) -> None:
    assert DOCUMENT["info"][part]
