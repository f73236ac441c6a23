"""Annotates one image in a bucket or folder: exactly once in effect.

Events arrive twice, late and out of order, and processes die halfway. So results carry the
generation of their image, never replace others, and the JSON comes last, to mark completion. What
can never work gets an ``.error.json``; what may work later raises, and the caller retries.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from age_gender import __version__
from age_gender.batch import results
from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.location import Location, refuse_loop
from age_gender.batch.storage import MARK, ObjectGone, ObjectTooLong, Store, StoredObject
from age_gender.errors import ImageError, ImageTooLarge, NotAnImage, SettingsError
from age_gender.limits.capacity import prediction_pixels
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.schema import response_body
from age_gender.settings import Settings
from age_gender.vision.decode import EncodedImage
from age_gender.vision.formats.kinds import claims_image
from age_gender.vision.pipeline import Options, Result
from age_gender.vision.stopwatch import Stopwatch

Predictor = Callable[[bytes, Options], tuple[Result, dict[str, Any]]]
"""Runs the pipeline on an encoded image; returns the result and the body of the response.

Raises what `Pipeline.run` raises, and others where it cannot run now.
"""

Status = Literal["annotated", "done-before", "refused"]


@dataclass(frozen=True)
class Outcome:
    """The outcome for one image.

    Attributes:
        status: ``annotated`` (this call wrote the results), ``done-before`` (they existed) or
            ``refused`` (there is an ``.error.json``).
        names: of the results.
        body: the JSON, as written or read.
        stages: milliseconds by stage.
        is_image: false if it was refused because it is something else, such as a text, and its
            name does not claim otherwise.
    """

    status: Status
    names: results.ResultNames
    body: dict[str, Any]
    stages: dict[str, float] = field(default_factory=dict)
    is_image: bool = True


class Annotator:
    """Reads images from one store, runs the pipeline, and writes results to another."""

    def __init__(self, out: Location, predict: Predictor, settings: Settings):
        """Store the arguments; nothing is read or written yet.

        Args:
            out: where results go.
            predict: runs the pipeline.
            settings: for the ``annotate_…`` options and the limits.
        """
        self._out = out
        self._predict = predict
        self._settings = settings
        self._options = options_of(settings)

    def annotate(self, source: Store, stored: StoredObject) -> Outcome:
        """Write the results for an image, unless they exist.

        Raises:
            StorageUnavailable: one of the stores failed.
            ObjectTooLong: ``stored`` does not describe the image.
            AgeGenderError: the pipeline cannot run now.
        """
        watch = Stopwatch()
        names = results.names_of(self._out.prefix, stored)
        with watch.stage("check"):
            existing = self._existing(names.body)
        if existing is not None:
            return Outcome("done-before", names, results.decoded(existing), watch.stages)
        try:
            result, body = self._process(source, stored, names, watch)
        except (ImageError, ImageTooLarge, ObjectGone) as error:
            refusal = results.refused(source.label, stored, error)
            with watch.stage("store"):
                self._create(names.error, results.encoded(refusal), "application/json")
            is_image = not isinstance(error, NotAnImage) or claims_image(stored.name)
            return Outcome("refused", names, refusal, watch.stages, is_image)
        with watch.stage("store"):
            if result.jpeg is not None:
                self._create(names.jpeg, result.jpeg, "image/jpeg")
            ms = {"inference-ms": f"{result.inference_ms:.1f}"}
            new = self._create(names.body, results.encoded(body), "application/json", ms)
        return Outcome("annotated" if new else "done-before", names, body, watch.stages)

    def _existing(self, name: str) -> bytes | None:
        try:
            return self._out.store.find(name)
        except ObjectTooLong:
            raise results.not_a_result() from None

    def _process(
        self, source: Store, stored: StoredObject, names: results.ResultNames, watch: Stopwatch
    ) -> tuple[Result, dict[str, Any]]:
        max_bytes = self._settings.max_picture_bytes
        if stored.size > max_bytes:
            raise ImageTooLarge.of_bytes(stored.size, max_bytes)
        with watch.stage("fetch"):
            data = source.read(stored)
        with watch.stage("wait"):
            result, response = self._predict(data, self._options)
        # Waiting is what the pipeline does not account for.
        watch.stages["wait"] -= sum(result.stages.values())
        watch.stages.update(result.stages)
        jpeg = None if result.jpeg is None else names.jpeg
        return result, results.annotated(source.label, stored, response, jpeg)

    def _create(
        self, name: str, data: bytes, content_type: str, more: dict[str, str] | None = None
    ) -> bool:
        metadata = {MARK: __version__, **(more or {})}
        return self._out.store.create(name, data, content_type, metadata)


def predict_with(
    runtime: Runtime, limiter: PredictionLimiter, data: bytes, options: Options
) -> tuple[Result, dict[str, Any]]:
    """Predict with the models of ``runtime``, within the bounds of ``limiter``; a `Predictor`."""
    limit = runtime.settings.max_picture_bytes
    image = EncodedImage(data, max_bytes=limit, max_pixels=limiter.max_pixels)
    with limiter.predict(prediction_pixels(image.header.memory_pixels, options.min_face)):
        result = runtime.pipeline.run(image, options)
        return result, response_body(result)


def options_of(settings: Settings) -> Options:
    """Convert the ``annotate_…`` settings to pipeline options."""
    return Options(
        confidence=settings.annotate_confidence,
        nms=settings.annotate_nms,
        face_detector=settings.annotate_face_detector,
        min_face=settings.annotate_min_face,
        max_faces=settings.annotate_max_faces,
        get_attributes=settings.annotate_attributes,
        return_image=settings.annotate_image != "none",
        draw=settings.annotate_image == "drawn",
        blur=settings.annotate_image == "blurred",
    )


def output_of(settings: Settings) -> Location:
    """Return the place for results that the settings name.

    Raises:
        SettingsError: OUTPUT_BUCKET is not set, or results would become inputs.
    """
    if not settings.output_bucket:
        raise SettingsError("OUTPUT_BUCKET is not set: name the bucket for the results")
    if len(settings.output_prefix.encode()) > results.MAX_PREFIX_BYTES:
        raise SettingsError(f"OUTPUT_PREFIX has more than {results.MAX_PREFIX_BYTES} bytes")
    out = _bucket(settings, settings.output_bucket, settings.output_prefix)
    if settings.input_bucket:
        refuse_loop(input_of(settings), out)
    return out


def input_of(settings: Settings) -> Location:
    """Return the place of the images that the settings name.

    Raises:
        SettingsError: INPUT_BUCKET is not set.
    """
    if not settings.input_bucket:
        raise SettingsError("INPUT_BUCKET is not set: name the bucket with the pictures")
    return _bucket(settings, settings.input_bucket, settings.input_prefix)


def _bucket(settings: Settings, name: str, prefix: str) -> Location:
    return Location(BucketStore(name, settings.annotate_storage_timeout), prefix)
