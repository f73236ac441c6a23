"""The service's OpenAPI 3.1 description, from the pydantic models that read the requests."""

from functools import lru_cache
from typing import Any

from pydantic.json_schema import models_json_schema

from age_gender import __version__
from age_gender.edge.problems import STATUSES
from age_gender.schema import PredictRequest, PredictResponse
from age_gender.vision.model_spec import ModelSpec

_REFERENCES = "#/components/schemas/{model}"


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """Build the document, once."""
    _, schemas = models_json_schema(
        [(PredictRequest, "validation"), (PredictResponse, "serialization")],
        ref_template=_REFERENCES,
    )
    components = schemas["$defs"]
    components |= {"Problem": _problem(), "Health": _health(), "Model": _model()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Age Gender Estimation",
            "version": __version__,
            "summary": "Finds the faces in a picture and tells each one's age and gender.",
            "description": "Failures are `application/problem+json` with a stable `code`. Every "
            "answer has an `X-Request-Id`, predictions a `Server-Timing`. Ages are those that "
            "faces look like, with an interval; they prove nothing about anyone.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/predict": {"post": _predict(components["PredictRequest"]["properties"])},
            "/health": {"get": _get("Whether the service is up; loads no model.", "Health")},
            "/model": {
                "get": _get("The age and gender model: origin, licence, calibration.", "Model")
            },
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


def _get(summary: str, model: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFERENCES.format(model=model)}}}
    responses = {"200": {"description": summary, "content": content}}
    return {"summary": summary, "responses": responses}


def _failing_statuses() -> set[int]:
    # The first two belong to other paths and methods, and nobody is left to read the last.
    return {status for status, _ in STATUSES.values()} - {404, 405, 499}


def _failure(status: int) -> dict[str, Any]:
    codes = sorted(f"`{code}`" for code, (known, _) in STATUSES.items() if known == status)
    schema = {"$ref": _REFERENCES.format(model="Problem")}
    return {
        "description": f"A problem with code {' or '.join(codes)}.",
        "content": {"application/problem+json": {"schema": schema}},
    }


def _object(description: str, required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
    }


def _field(kind: str, description: str, example: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, "examples": [example]}


def _problem() -> dict[str, Any]:
    return _object(
        "RFC 9457; `code` is stable, `detail` says what to change.",
        ["type", "title", "status", "code", "detail"],
        type=_field("string", "The code as a URN.", "urn:age-gender:problem:invalid-field"),
        title=_field("string", "The code in words.", "Invalid field"),
        status=_field("integer", "The HTTP status.", 422),
        code={"enum": sorted(STATUSES), "description": "Stable, for programs."},
        detail=_field(
            "string",
            "For people: what is wrong and what to change.",
            "confidence: Input should be less than or equal to 1",
        ),
        request_id=_field("string", "As in `X-Request-Id`; the log has it.", "8cda24c48c03c957"),
        errors={
            "type": "array",
            "description": "With `invalid-field`: each field that is wrong.",
            "items": _object(
                "A field that is wrong.",
                ["field", "message"],
                field=_field("string", "Name of the field.", "confidence"),
                message=_field(
                    "string", "What it may be.", "Input should be less than or equal to 1"
                ),
            ),
        },
    )


def _health() -> dict[str, Any]:
    return _object(
        "That the service is up.",
        ["status", "version"],
        status=_field("string", "Always `ok`.", "ok"),
        version=_field("string", "The service's version.", __version__),
    )


def _model() -> dict[str, Any]:
    return _object(
        "The specification of the age and gender model.",
        list(ModelSpec.model_fields),
        name=_field("string", "As `ATTRIBUTE_MODEL` picks it.", "agn-v1"),
        version=_field("string", "Of the weights and their calibration.", "1.1.0"),
        licence=_field("string", "Terms of the weights.", "Apache-2.0"),
        data=_field("string", "What it was trained on.", "FairFace (CC BY 4.0)"),
        chip=_field("object", "How a face is cut out.", {"size": 224, "scale": 1.25}),
        ages=_field("object", "The years that its outputs mean.", {"first": 0.0, "step": 1.0}),
        calibration=_field(
            "object", "Temperatures and margins of the interval.", {"coverage": 0.8}
        ),
        reliability=_field(
            "object", "Limits of `reliable`.", {"min_size": 18.1, "min_sharpness": 0.048}
        ),
    )
