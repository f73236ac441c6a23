"""The list of all images of a back-fill: one JSON object per line, ready for BigQuery.

Rows are sorted by image name and hold no timings, so the manifests of several shards add up to the
manifest of one.
"""

import hashlib
from typing import Any

from age_gender.batch.annotate import Outcome
from age_gender.batch.results import source_of
from age_gender.batch.storage import StoredObject
from age_gender.errors import AgeGenderError

CONTENT_TYPE = "application/x-ndjson"


def shard_of(name: str, shards: int) -> int:
    """Number of the shard, of ``shards``, that a name belongs to; the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % shards


def names_of(prefix: str, shard: int, shards: int) -> tuple[str, str]:
    """Names of a shard's manifest and summary."""
    part = f"{shard:05}-of-{shards:05}"
    return f"{prefix}manifest-{part}.jsonl", f"{prefix}summary-{part}.json"


def row_of(outcome: Outcome) -> dict[str, Any]:
    """Build the row of an image that has results."""
    error = outcome.body.get("error")
    if error is not None:
        return _row(outcome.body["source"], "refused", outcome.names.error, error)
    return _row(outcome.body["source"], "annotated", outcome.names.body, None, outcome.body)


def failed_row(bucket: str, stored: StoredObject, error: AgeGenderError) -> dict[str, Any]:
    """Build the row of an image that has no results yet."""
    fields = {"code": error.code, "message": error.message}
    return _row(source_of(bucket, stored), "failed", None, fields)


def _row(
    source: dict[str, Any],
    status: str,
    result: str | None,
    error: dict[str, str] | None,
    response: dict[str, Any] | None = None,
) -> dict[str, Any]:
    response = response or {}
    width, height = response.get("image_size", (None, None))
    model = response.get("model", {})
    details = response.get("details", [])
    return {
        **source,
        "status": status,
        "result": result,
        "annotated": response.get("annotated"),
        "error_code": error and error["code"],
        "error_message": error and error["message"],
        "width": width,
        "height": height,
        "face_count": len(details) if response else None,
        "faces": [_face(face) for face in details],
        "version": model.get("version"),
        "detector": model.get("detector"),
        "attributes": model.get("attributes"),
        "engine": model.get("engine"),
        "warnings": "; ".join(response.get("warnings", [])) or None,
    }


def _face(face: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = face["box"]
    low, high = face.get("age_interval") or (None, None)
    return {
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "confidence": face["confidence"],
        "age": face.get("age"),
        "age_low": low,
        "age_high": high,
        "gender": face.get("gender"),
        "gender_probability": face.get("gender_probability"),
        "reliable": face.get("reliable"),
        "reasons": face.get("reasons") or [],
    }
