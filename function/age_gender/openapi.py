"""The service's OpenAPI 3.1 description, from the pydantic models that read the requests."""

from functools import lru_cache
from typing import Any

from pydantic.json_schema import models_json_schema

from age_gender import __version__
from age_gender.problems import STATUSES
from age_gender.schema import PredictRequest, PredictResponse

_REFERENCES = "#/components/schemas/{model}"


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """Build the document, once."""
    _, schemas = models_json_schema(
        [(PredictRequest, "validation"), (PredictResponse, "serialization")],
        ref_template=_REFERENCES,
    )
    components = schemas["$defs"]
    components["Problem"] = _problem()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Age Gender Estimation",
            "version": __version__,
            "summary": "Finds the faces in a picture and tells each one's age and gender.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/predict": {"post": _predict(components["PredictRequest"]["properties"])},
            "/health": {"get": _get("Whether the service is up; loads no model.")},
            "/model": {"get": _get("The attribute model: origin, licence, calibration.")},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _predict(properties: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in properties.items() if name not in ("url", "b64")}
    form = {
        "type": "object",
        "properties": {"image": {"type": "string", "format": "binary"}, **properties},
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "summary": "Find the faces of one picture and tell each one's age and gender.",
        "description": "The picture comes as `url` or `b64` in JSON, as `image` in a form, or as "
        "the body itself with the options in the query.",
        "operationId": "predict",
        "security": [{"basic": []}],
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in options.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": _REFERENCES.format(model="PredictRequest")}
                },
                "multipart/form-data": {"schema": form},
                "image/*": binary,
            },
        },
        "responses": {
            "200": {
                "description": "The faces; an empty list when there are none.",
                "content": {
                    "application/json": {
                        "schema": {"$ref": _REFERENCES.format(model="PredictResponse")}
                    }
                },
            },
            **{str(status): _failure(status) for status in sorted(_failing_statuses())},
        },
    }


def _get(summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": content}}}


def _failing_statuses() -> set[int]:
    return {status for status, _ in STATUSES.values()} - {404, 405}


def _failure(status: int) -> dict[str, Any]:
    codes = sorted(f"`{code}`" for code, (known, _) in STATUSES.items() if known == status)
    schema = {"$ref": _REFERENCES.format(model="Problem")}
    return {
        "description": f"A problem with code {' or '.join(codes)}.",
        "content": {"application/problem+json": {"schema": schema}},
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457; `code` is stable, `detail` says what to change.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"enum": sorted(STATUSES)},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    }
