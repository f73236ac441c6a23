"""Names and JSON of the results for one image in a bucket or folder.

A result depends on neither time nor machine: the same image, models and options give the same bytes
(on processors that round alike), so two deliveries of an event cannot disagree. Timings go to the
log and to the result object's metadata.
"""

import json
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from age_gender.batch.storage import StorageUnavailable, StoredObject, shortened
from age_gender.errors import AgeGenderError
from age_gender.object_names import MAX_NAME_BYTES

MAX_PREFIX_BYTES = 512
"""Maximum length of the results' prefix; the rest of a name stays readable."""


@dataclass(frozen=True)
class ResultNames:
    """Names of the results for one version of an image.

    Attributes:
        body: the JSON with the response; written last, so it marks completion.
        jpeg: the drawn or blurred JPEG, if requested.
        error: the JSON with the reason why there is no response.
    """

    body: str
    jpeg: str
    error: str


def names_of(prefix: str, stored: StoredObject) -> ResultNames:
    """Name the results for an image.

    ``NAME.GENERATION.json``, ``NAME.GENERATION.annotated.jpg``, ``NAME.GENERATION.error.json``,
    after ``prefix``. With the generation each version has results of its own, however late or often
    its events arrive. A name that would be too long is cut and ends with a hash.
    """
    suffixes = [
        f".{stored.generation}{kind}" for kind in (".json", ".annotated.jpg", ".error.json")
    ]
    max_bytes = MAX_NAME_BYTES - len(prefix.encode()) - max(map(len, suffixes))
    stem = prefix + shortened(stored.name, max_bytes)
    return ResultNames(*(stem + suffix for suffix in suffixes))


def annotated(
    bucket: str, stored: StoredObject, response: dict[str, Any], jpeg: str | None
) -> dict[str, Any]:
    """Build the result for an image that the pipeline could process.

    Args:
        bucket: label of the image's store.
        stored: the image's object.
        response: body of the response to ``POST /predict``; ``inference_time``, which differs each
            time, is dropped.
        jpeg: name of the annotated JPEG, if any.
    """
    kept = {key: value for key, value in response.items() if key != "inference_time"}
    return {"source": source_of(bucket, stored), **kept, "annotated": jpeg}


def refused(bucket: str, stored: StoredObject, error: AgeGenderError) -> dict[str, Any]:
    """Build the result for an image that can never be processed."""
    return {
        "source": source_of(bucket, stored),
        "error": {"code": error.code, "message": error.message},
    }


def encoded(body: dict[str, Any]) -> bytes:
    """Serialise a result as it is stored."""
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def decoded(data: bytes) -> dict[str, Any]:
    """Parse what `encoded` wrote.

    Raises:
        StorageUnavailable: it is something else, which an operator may remove.
    """
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise not_a_result()
    return body


def not_a_result() -> StorageUnavailable:
    """Return the error for an object of a stranger in the place of a result."""
    return StorageUnavailable("the object under the result's name is not a result")


def source_of(bucket: str, stored: StoredObject) -> dict[str, Any]:
    """Identify the image and version that a result belongs to."""
    created = stored.created.astimezone(UTC)
    return {
        "bucket": bucket,
        "object": stored.name,
        "generation": stored.generation,
        "size": stored.size,
        # Of the upload, in whole seconds: stores differ in the fraction.
        "time": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
