"""The service's OpenAPI 3.1 description, generated from the pydantic models of its bodies."""

import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from age_gender import __version__
from age_gender.edge.inputs import RAW_TYPE
from age_gender.edge.not_json import MIME_TYPES
from age_gender.edge.problems import STATUSES, ProblemBody
from age_gender.edge.responses import HealthBody, ModelSpecBody
from age_gender.edge.several import MAX_IMAGES, PredictSeveralResponse
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
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "With AUTH=keys."},
            },
        },
    }


def _components() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [
            (PredictRequest, "validation"),
            (PredictResponse, "serialization"),
            (PredictSeveralResponse, "serialization"),
        ],
        ref_template=_REFERENCES,
    )
    components: dict[str, Any] = schemas["$defs"]
    for name, model in _BODIES.items():
        schema = model.model_json_schema(mode="serialization", ref_template=_REFERENCES)
        components |= {**schema.pop("$defs", {}), name: schema}
    components["PredictSeveralRequest"] = _several(components["PredictRequest"]["properties"])
    # Inside of other bodies pydantic calls it by its class; generators make one class of each name.
    del components[ProblemBody.__name__]
    named, meant = (_REFERENCES.format(model=m) for m in (ProblemBody.__name__, "Problem"))
    renamed: dict[str, Any] = json.loads(json.dumps(components).replace(f'"{named}"', f'"{meant}"'))
    return renamed


def _several(properties: dict[str, Any]) -> dict[str, Any]:
    images = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_IMAGES,
        "items": {"$ref": _REFERENCES.format(model="PredictRequest")},
        "description": "The pictures, each with `url` or `b64`; its other fields override those "
        "beside `images`.",
    }
    options = {name: value for name, value in properties.items() if name not in ("url", "b64")}
    return {
        "title": "PredictSeveralRequest",
        "description": "Body of `POST /predict` for several pictures.",
        "type": "object",
        "required": ["images"],
        "properties": {"images": images, **options},
        "examples": [
            {
                "images": [
                    {"url": "https://example.com/people.jpg"},
                    {"url": "https://example.com/more.jpg", "confidence": 0.7},
                ],
                "face_detector": "accurate",
                "return_image": False,
            }
        ],
    }


def _either(*models: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": _REFERENCES.format(model=model)} for model in models]}


def _predict(properties: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in properties.items() if name not in ("url", "b64")}
    file = {
        "type": "string",
        "format": "binary",
        "description": "The picture as a file, in place of `url` and `b64`. Repeated, up to "
        f"{MAX_IMAGES} times, it asks for several pictures in one call.",
    }
    form = {"title": "PredictForm", "type": "object", "properties": {"image": file, **properties}}
    return {
        "summary": "Find the faces in a picture and estimate their age and gender.",
        "description": "Send the picture as `url` or `b64` in JSON, as `image` in a form, or as "
        "the body itself with the options in the query; or up to "
        f"{MAX_IMAGES} pictures as `images` in JSON, or as repeated `image`. With `Accept: "
        "image/jpeg` the answer is the drawn or blurred picture itself, which is not described "
        "below: clients that are generated would have to tell it from JSON.",
        "operationId": "predict",
        "security": [{"basic": []}, {"bearer": []}],
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in options.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _either("PredictRequest", "PredictSeveralRequest")},
                "multipart/form-data": {"schema": form},
                **dict.fromkeys((RAW_TYPE, *MIME_TYPES.values()), _BINARY),
            },
        },
        "responses": {
            "200": {
                "description": "The faces; an empty list when there are none.",
                "content": {
                    "application/json": {
                        "schema": _either("PredictResponse", "PredictSeveralResponse")
                    }
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
