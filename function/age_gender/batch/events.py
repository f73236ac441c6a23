"""The edge of the bucket trigger: a CloudEvent in, results written, and an answer that steers.

An answer of 2xx ends an event, any other brings it again later. So what cannot work however often
it comes is logged and acknowledged, and what may work later is answered by 503.

Events come as Eventarc sends them (``google.cloud.storage.object.v1.finalized``), or within a
Pub/Sub message of a bucket's notification, with the object's description or without.
"""

import base64
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloudevents.http import CloudEvent
from pydantic import BaseModel, Field, ValidationError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import InternalServerError, ServiceUnavailable

from age_gender.batch.annotate import Annotator, Outcome, output_of, predict_with
from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.location import prefixes_overlap
from age_gender.batch.storage import MARK, ObjectGone, StoredObject
from age_gender.errors import AgeGenderError
from age_gender.limits.admission import Shutdown
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime, get_runtime
from age_gender.settings import Settings
from age_gender.vision.pipeline import Options, Result

log = logging.getLogger(__name__)

FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/|$)")


class Ignored(Exception):
    """The event is none that a result belongs to; the text says why."""


@dataclass(frozen=True)
class Upload:
    """What an event says was uploaded.

    Attributes:
        bucket: its name.
        name: the object's.
        generation: the object's.
        picture: the object's description, where the event brings it.
    """

    bucket: str
    name: str
    generation: int
    picture: StoredObject | None


class Handler:
    """Handles storage events with one set of settings."""

    def __init__(
        self,
        settings: Settings,
        runtime: Callable[[], Runtime] = get_runtime,
        shutdown: Shutdown | None = None,
    ):
        """Load no model and contact no bucket.

        Args:
            settings: the service's.
            runtime: returns the models of this process; called at the first picture.
            shutdown: when the process was asked to stop.

        Raises:
            SettingsError: there is nowhere to write to, or results would become new pictures.
        """
        self._settings = settings
        self._runtime = runtime
        self._out = output_of(settings)
        self._limiter = PredictionLimiter.from_settings(
            settings, intake=settings.annotate_in_flight, shutdown=shutdown
        )
        self._annotator = Annotator(self._out, self._judge, settings)

    def __call__(self, event: CloudEvent, headers: Headers) -> None:
        """Handle one event.

        Args:
            event: the event.
            headers: of the request that brought it, for the trace.

        Raises:
            ServiceUnavailable: it is to be delivered again.
            InternalServerError: the same, after a failure that nobody foresaw.
        """
        fields = {"event_id": str(event.get("id", "")), **trace_fields(headers)}
        try:
            self._handle(event, fields)
        except Ignored as reason:
            log.info("ignored: %s", reason, extra={"fields": fields})
        except AgeGenderError as error:
            fields |= {"code": error.code, "detail": error.message}
            log.warning("failed, to be delivered again", extra={"fields": fields})
            raise ServiceUnavailable("not possible now: deliver it again") from None
        except Exception:
            log.exception("unexpected failure", extra={"fields": fields})
            raise InternalServerError("something went wrong on our side") from None

    def _handle(self, event: CloudEvent, fields: dict[str, Any]) -> None:
        upload = read_event(event)
        fields |= {
            "bucket": upload.bucket,
            "object": upload.name,
            "generation": upload.generation,
        }
        self._check(upload)
        source = BucketStore(upload.bucket, self._settings.annotate_storage_timeout)
        try:
            picture = upload.picture or source.stat(upload.name, upload.generation)
        except ObjectGone:
            # Without its description there is nothing to put into a result.
            raise Ignored("it is gone, and the event does not describe it") from None
        if picture.ours:
            raise Ignored("it is a result")
        with self._limiter.intake(min(picture.size, self._settings.max_picture_bytes)):
            outcome = self._annotator.annotate(source, picture)
        fields |= _told(outcome)
        log.log(
            logging.WARNING if outcome.status == "refused" else logging.INFO,
            outcome.status,
            extra={"fields": fields},
        )

    def _check(self, upload: Upload) -> None:
        settings = self._settings
        if settings.input_bucket and upload.bucket != settings.input_bucket:
            raise Ignored("it is of another bucket than INPUT_BUCKET")
        if not upload.name.startswith(settings.input_prefix):
            raise Ignored("its name does not start with INPUT_PREFIX")
        if upload.bucket == settings.output_bucket and prefixes_overlap(
            settings.input_prefix, settings.output_prefix
        ):
            raise Ignored("results go to the same place: it may be one; set another OUTPUT_BUCKET")
        if upload.name.endswith("/") and (upload.picture is None or upload.picture.size == 0):
            raise Ignored("it stands for a folder")

    def _judge(self, data: bytes, options: Options) -> tuple[Result, dict[str, Any]]:
        return predict_with(self._runtime(), self._limiter, data, options)


class _Described(BaseModel):
    """What we use of an object resource of Cloud Storage's JSON API."""

    bucket: str = Field(min_length=1)
    name: str = Field(min_length=1)
    generation: int
    size: int
    timeCreated: datetime  # noqa: N815 - Google's name
    metadata: dict[str, str] | None = None

    def upload(self) -> Upload:
        picture = StoredObject(
            self.name,
            self.generation,
            self.size,
            self.timeCreated,
            ours=MARK in (self.metadata or {}),
        )
        return Upload(self.bucket, self.name, self.generation, picture)


class _Attributes(BaseModel):
    """Attributes of the message that a bucket's notification publishes."""

    eventType: str  # noqa: N815
    bucketId: str = Field(min_length=1)  # noqa: N815
    objectId: str = Field(min_length=1)  # noqa: N815
    objectGeneration: int  # noqa: N815


class _Message(BaseModel):
    attributes: _Attributes
    data: str = ""


class _Published(BaseModel):
    """What Pub/Sub sends."""

    message: _Message


def read_event(event: CloudEvent) -> Upload:
    """Tell what was uploaded.

    Raises:
        Ignored: nothing was, or the event cannot be understood.
    """
    kind, data = event.get("type"), event.get_data()
    try:
        if kind == FINALIZED:
            return _Described.model_validate(data).upload()
        if kind == PUBLISHED:
            return _read_message(_Published.model_validate(data).message)
    except ValidationError:
        raise Ignored("the event does not describe an object as Cloud Storage does") from None
    raise Ignored(f"events of type {kind} mean no new object")


def _read_message(message: _Message) -> Upload:
    told = message.attributes
    if told.eventType != "OBJECT_FINALIZE":
        raise Ignored(f"events of type {told.eventType} mean no new object")
    try:
        return _Described.model_validate_json(base64.b64decode(message.data)).upload()
    except ValueError:  # the notification was set up to bring no description
        return Upload(told.bucketId, told.objectId, told.objectGeneration, None)


def trace_fields(headers: Headers) -> dict[str, str]:
    """Give the fields by which Cloud Logging groups lines with their request, if it is traced."""
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    w3c = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    google = _CLOUD_TRACE.match(headers.get("X-Cloud-Trace-Context", ""))
    found = w3c or google
    if not found:
        return {}
    trace = found[1] if not project else f"projects/{project}/traces/{found[1]}"
    fields = {"logging.googleapis.com/trace": trace}
    return fields | ({"logging.googleapis.com/spanId": w3c[2]} if w3c else {})


def _told(outcome: Outcome) -> dict[str, Any]:
    error = outcome.body.get("error")
    return {
        "status": outcome.status,
        "result": outcome.names.body if error is None else outcome.names.error,
        **({"faces": len(outcome.body["faces"])} if error is None else error),
        "ms": {stage: round(ms, 1) for stage, ms in outcome.stages.items()},
    }
