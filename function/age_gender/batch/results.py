"""What is written for a picture of a bucket or folder: the names and the JSON of its results.

Nothing in a result depends on the clock or on where it is made, so the same picture, models and
options give the same bytes (on processors whose arithmetic rounds alike). Two deliveries of one
event cannot disagree, and results can be compared. How long it took goes to the log and to the
result object's metadata.
"""

import json
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from age_gender.batch.storage import StorageUnavailable, StoredObject, shortened
from age_gender.errors import AgeGenderError

MAX_NAME_BYTES = 1024
"""Longest object name that Cloud Storage takes, in bytes of UTF-8."""

MAX_PREFIX_BYTES = 512
"""Longest prefix of results, which leaves room for names to stay readable."""


@dataclass(frozen=True)
class ResultNames:
    """Where the results of one version of a picture are.

    Attributes:
        body: the JSON with the answer; its presence means that all is done.
        picture: the drawn or blurred JPEG, if one was asked for.
        error: the JSON that says why there can be no answer.
    """

    body: str
    picture: str
    error: str


def names_of(prefix: str, picture: StoredObject) -> ResultNames:
    """Name a picture's results.

    ``NAME.GENERATION.json``, ``NAME.GENERATION.annotated.jpg``, ``NAME.GENERATION.error.json``,
    after ``prefix``. The generation makes a new version of a picture get results of its own,
    however late or often its events come. A name too long for that is cut and ends with a hash.
    """
    endings = [
        f".{picture.generation}{kind}" for kind in (".json", ".annotated.jpg", ".error.json")
    ]
    room = MAX_NAME_BYTES - len(prefix.encode()) - max(map(len, endings))
    stem = prefix + shortened(picture.name, room)
    return ResultNames(*(stem + ending for ending in endings))


def answered(
    bucket: str, picture: StoredObject, answer: dict[str, Any], annotated: str | None
) -> dict[str, Any]:
    """Build the result of a picture that could be judged.

    Args:
        bucket: label of the store that the picture is in.
        picture: the picture.
        answer: the body that ``POST /predict`` would answer. Its ``inference_time`` is left out:
            it says nothing of the picture and differs each time.
        annotated: name of the annotated JPEG, if there is one.
    """
    kept = {key: value for key, value in answer.items() if key != "inference_time"}
    return {"source": source_of(bucket, picture), **kept, "annotated": annotated}


def refused(bucket: str, picture: StoredObject, error: AgeGenderError) -> dict[str, Any]:
    """Build the result of a picture that can never be judged, with the reason."""
    return {
        "source": source_of(bucket, picture),
        "error": {"code": error.code, "message": error.message},
    }


def encoded(body: dict[str, Any]) -> bytes:
    """Give a result as the bytes that are stored."""
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def decoded(data: bytes) -> dict[str, Any]:
    """Read what `encoded` wrote.

    Raises:
        StorageUnavailable: something else is there; it may be put right.
    """
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise StorageUnavailable("there is an object under the result's name that is no result")
    return body


def source_of(bucket: str, picture: StoredObject) -> dict[str, Any]:
    """Say which version of which picture a result is of."""
    created = picture.created.astimezone(UTC)
    return {
        "bucket": bucket,
        "object": picture.name,
        "generation": picture.generation,
        "size": picture.size,
        # Of the upload, to the second: stores differ in what they say beyond.
        "time": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
