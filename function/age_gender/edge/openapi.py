"""The service's OpenAPI 3.1 description, generated from the pydantic models of its bodies."""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from age_gender import __version__
from age_gender.edge.answers import JPEG
from age_gender.edge.inputs import PICTURE_TYPE
from age_gender.edge.not_json import MIME_TYPES
from age_gender.edge.problems import STATUSES, ProblemBody
from age_gender.edge.responses import HealthBody, ModelSpecBody
from age_gender.schema import PredictRequest, PredictResponse

UP = "Whether the service is up; loads no model."

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REFERENCES = "#/components/schemas/{model}"
_BODIES: dict[str, type[BaseModel]] = {
    "Problem": ProblemBody,
    "Health": HealthBody,
    "Model": ModelSpecBody,
}


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """Build the document, once."""
    components = _components()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Age Gender Estimation",
            "version": __version__,
            "summary": "Finds the faces in a picture and estimates their age and gender.",
            "description": "Errors are `application/problem+json` with a stable `code`. Every "
            "answer has an `X-Request-Id`; successful predictions have a `Server-Timing`. An age "
            "is the one a face appears to have, with an interval; it proves nothing about anyone.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/predict": {"post": _predict(components["PredictRequest"]["properties"])},
            "/": {"get": _index()},
            "/health": {"get": _get("health", UP, "Health")},
            "/healthz": {"get": _get("healthz", f"{UP} Use `/health` on Cloud Run.", "Health")},
            "/model": {"get": _get("model", "The age and gender model and its limits.", "Model")},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _components() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(PredictRequest, "validation"), (PredictResponse, "serialization")],
        ref_template=_REFERENCES,
    )
    components: dict[str, Any] = schemas["$defs"]
    for name, model in _BODIES.items():
        schema = model.model_json_schema(mode="serialization", ref_template=_REFERENCES)
        components |= {**schema.pop("$defs", {}), name: schema}
    return components


def _predict(properties: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in properties.items() if name not in ("url", "b64")}
    file = {
        "type": "string",
        "format": "binary",
        "description": "The picture as a file, in place of `url` and `b64`.",
    }
    form = {"title": "PredictForm", "type": "object", "properties": {"image": file, **properties}}
    return {
        "summary": "Find the faces in a picture and estimate their age and gender.",
        "description": "Send the picture as `url` or `b64` in JSON, as `image` in a form, or as "
        "the body itself with the options in the query. `Accept: image/jpeg` asks for the drawn "
        "or blurred picture itself.",
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
                **dict.fromkeys((PICTURE_TYPE, *MIME_TYPES.values()), _BINARY),
            },
        },
        "responses": {
            "200": {
                "description": "The faces; an empty list when there are none.",
                "content": {
                    "application/json": {
                        "schema": {"$ref": _REFERENCES.format(model="PredictResponse")}
                    },
                    JPEG: _BINARY,
                },
            },
            **{str(status): _error(status) for status in sorted(_error_statuses())},
        },
    }


def _index() -> dict[str, Any]:
    operation = _get("index", f"{UP} A page for browsers.", "Health")
    operation["responses"]["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    return operation


def _get(operation_id: str, summary: str, model: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFERENCES.format(model=model)}}}
    responses = {"200": {"description": summary, "content": content}}
    return {"operationId": operation_id, "summary": summary, "responses": responses}


def _error_statuses() -> set[int]:
    # 404 and 405 belong to other paths and methods; a client that gets 499 is gone.
    return {status for status, _ in STATUSES.values()} - {404, 405, 499}


def _error(status: int) -> dict[str, Any]:
    codes = sorted(f"`{code}`" for code, (known, _) in STATUSES.items() if known == status)
    schema = {"$ref": _REFERENCES.format(model="Problem")}
    return {
        "description": f"A problem with code {' or '.join(codes)}.",
        "content": {"application/problem+json": {"schema": schema}},
    }
