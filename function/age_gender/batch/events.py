"""The bucket trigger: handles CloudEvents about uploads.

A 2xx response acknowledges an event; after any other it is delivered again. So what can never work
is logged, counted and acknowledged. What may work later is tried again here while Pub/Sub waits,
since each other response uses up one of the event's delivery attempts; then it is answered with
503.

Events are those of Eventarc (``google.cloud.storage.object.v1.finalized``), or Pub/Sub messages of
a bucket's notification, with or without the object's description.
"""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from cloudevents.http import CloudEvent
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import InternalServerError, ServiceUnavailable

from age_gender import logs
from age_gender.batch import hopeless
from age_gender.batch.annotate import Annotator, Outcome, input_of, output_of, predict_with
from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.location import prefixes_overlap
from age_gender.batch.retry import Retry
from age_gender.batch.storage import MARK, ObjectGone, ObjectTooLong, StoredObject
from age_gender.errors import AgeGenderError
from age_gender.limits import json_bounds
from age_gender.limits.admission import Shutdown
from age_gender.limits.limiter import PredictionLimiter
from age_gender.numbers import NO_BOOLEAN
from age_gender.object_names import is_bucket_name, is_object_name
from age_gender.runtime import Runtime, get_runtime
from age_gender.settings import Settings
from age_gender.vision.pipeline import Options, Result

log = logging.getLogger(__name__)

FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


class Ignored(Exception):
    """The event asks for no result; the text says why."""


class Hopeless(Ignored):
    """The event asks for what can never be; the text says why."""


@dataclass(frozen=True)
class Upload:
    """An upload, as an event describes it.

    Attributes:
        bucket: name of the bucket.
        name: of the object.
        generation: of the object.
        stored: description of the object, if the event includes it.
    """

    bucket: str
    name: str
    generation: int
    stored: StoredObject | None


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
            runtime: returns the models of this process; called at the first image.
            shutdown: when the process was asked to stop.

        Raises:
            SettingsError: INPUT_BUCKET or OUTPUT_BUCKET is not set, or results would become
                inputs.
        """
        self._settings = settings
        input_of(settings)  # without it, an event could name any bucket
        self._runtime = runtime
        self._shutdown = shutdown or Shutdown()
        self._out = output_of(settings)
        self._limiter = PredictionLimiter.from_settings(
            settings,
            intake=settings.annotate_in_flight,
            # An event that is tried again for so long may as well keep its place in the queue.
            timeout=max(settings.queue_timeout, settings.annotate_retry_seconds),
            shutdown=self._shutdown,
        )
        self._annotator = Annotator(self._out, self._predict, settings)

    def __call__(self, event: CloudEvent, headers: Headers) -> None:
        """Handle one event.

        Args:
            event: the event.
            headers: of its request, for the trace.

        Raises:
            ServiceUnavailable: it is to be delivered again.
            InternalServerError: likewise, after an unexpected failure.
        """
        fields = {"event_id": str(event.get("id", "")), **_trace(headers)}
        retry = Retry(self._settings.annotate_retry_seconds, self._shutdown)
        while not self._try(event, fields, retry):
            pass

    def _try(self, event: CloudEvent, fields: dict[str, Any], retry: Retry) -> bool:
        """Handle an event; return whether that settles it, or raise as `__call__` does."""
        try:
            self._handle(event, fields)
        except Hopeless as reason:
            hopeless.acknowledge(str(reason), fields)
        except ObjectTooLong as error:
            hopeless.acknowledge(error.message, fields)
        except Ignored as reason:
            log.info("ignored: %s", reason, extra={"fields": fields})
        except AgeGenderError as error:
            more = {**fields, "code": error.code, "detail": error.message}
            if retry.pause():
                log.info("failed, tried again", extra={"fields": more})
                return False
            log.warning("failed, to be delivered again", extra={"fields": more})
            raise ServiceUnavailable("not possible now: deliver the event again") from None
        except Exception:
            log.exception("unexpected failure", extra={"fields": fields})
            raise InternalServerError("an internal error occurred") from None
        return True

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
            stored = upload.stored or source.stat(upload.name, upload.generation)
        except ObjectGone:
            # A result needs its description.
            raise Ignored("it is gone, and the event does not describe it") from None
        if stored.ours:
            raise Ignored("it is a result")
        with self._limiter.intake(min(stored.size, self._settings.max_picture_bytes)):
            outcome = self._annotator.annotate(source, stored)
        fields |= _fields(outcome)
        log.log(
            logging.WARNING if outcome.status == "refused" else logging.INFO,
            outcome.status,
            extra={"fields": fields},
        )

    def _check(self, upload: Upload) -> None:
        settings = self._settings
        if upload.bucket != settings.input_bucket:
            raise Ignored("its bucket is not INPUT_BUCKET")
        if not upload.name.startswith(settings.input_prefix):
            raise Ignored("its name does not start with INPUT_PREFIX")
        if upload.bucket == settings.output_bucket and prefixes_overlap(
            settings.input_prefix, settings.output_prefix
        ):
            raise Ignored(
                "it may be a result, as they go to the same place: set another OUTPUT_BUCKET"
            )
        if upload.name.endswith("/") and (upload.stored is None or upload.stored.size == 0):
            raise Ignored("it stands for a folder")

    def _predict(self, data: bytes, options: Options) -> tuple[Result, dict[str, Any]]:
        return predict_with(self._runtime(), self._limiter, data, options)


MAX_INT64 = 2**63 - 1


def _checked(is_valid: Callable[[str], bool]) -> AfterValidator:
    def check(name: str) -> str:
        if not is_valid(name):
            raise ValueError("not a name in Cloud Storage")
        return name

    return AfterValidator(check)


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after 9999") from None


BucketName = Annotated[str, _checked(is_bucket_name)]
ObjectName = Annotated[str, _checked(is_object_name)]
Generation = Annotated[int, Field(ge=1, le=MAX_INT64), NO_BOOLEAN]


class _ObjectResource(BaseModel):
    """The fields that we use of an object resource in Cloud Storage's JSON API."""

    bucket: BucketName
    name: ObjectName
    generation: Generation
    size: Annotated[int, Field(ge=0, le=MAX_INT64), NO_BOOLEAN]
    timeCreated: Annotated[datetime, AfterValidator(_in_utc)]  # noqa: N815 - Google's name
    metadata: dict[str, str] | None = None

    def upload(self) -> Upload:
        stored = StoredObject(
            self.name,
            self.generation,
            self.size,
            self.timeCreated,
            ours=MARK in (self.metadata or {}),
        )
        return Upload(self.bucket, self.name, self.generation, stored)


class _Attributes(BaseModel):
    """Attributes of a message from a bucket's notification."""

    eventType: str  # noqa: N815
    bucketId: BucketName  # noqa: N815
    objectId: ObjectName  # noqa: N815
    objectGeneration: Generation  # noqa: N815


class _Message(BaseModel):
    attributes: _Attributes
    data: str = ""
    messageId: str = ""  # noqa: N815


class _Published(BaseModel):
    """A Pub/Sub push request."""

    message: _Message


def read_push(body: bytes) -> CloudEvent | None:
    """Read a Pub/Sub push about an object, as an event; None if it is none.

    The framework only reads pushes whose message has data, which those of a notification without
    descriptions do not have.
    """
    try:
        push = _Published.model_validate_json(body)
    except ValidationError:
        return None
    attributes = {"type": PUBLISHED, "source": "pubsub", "id": push.message.messageId}
    return CloudEvent(attributes, push.model_dump())


def read_event(event: CloudEvent) -> Upload:
    """Read which object was uploaded.

    Raises:
        Hopeless: the event is malformed, or names what cannot exist.
        Ignored: no object was uploaded.
    """
    kind, data = event.get("type"), event.get_data()
    try:
        if kind == FINALIZED:
            return _ObjectResource.model_validate(data).upload()
        if kind == PUBLISHED:
            return _read_message(_Published.model_validate(data).message)
    except ValidationError:
        raise Hopeless("the event does not describe an object as Cloud Storage does") from None
    raise Ignored(f"events of type {kind} are not uploads")


def _read_message(message: _Message) -> Upload:
    attributes = message.attributes
    if attributes.eventType != "OBJECT_FINALIZE":
        raise Ignored(f"events of type {attributes.eventType} are not uploads")
    try:
        description = base64.b64decode(message.data)
        if json_bounds.is_excessive(description):
            raise Hopeless("the object's description has too many values")
        return _ObjectResource.model_validate_json(description).upload()
    except ValueError:  # the notification is configured without descriptions
        return Upload(attributes.bucketId, attributes.objectId, attributes.objectGeneration, None)


def _trace(headers: Headers) -> dict[str, str]:
    return logs.trace_fields(
        headers.get("traceparent", ""), headers.get("X-Cloud-Trace-Context", "")
    )


def _fields(outcome: Outcome) -> dict[str, Any]:
    error = outcome.body.get("error")
    return {
        "status": outcome.status,
        "result": outcome.names.body if error is None else outcome.names.error,
        **({"faces": len(outcome.body["faces"])} if error is None else error),
        "ms": {stage: round(ms, 1) for stage, ms in outcome.stages.items()},
    }
