"""One picture of a bucket or folder to its results: once and only once in effect.

Events come twice, late and out of order, and processes die in the middle. So results carry the
generation of their picture, are written only where there is none, and the JSON last: it means
that the rest is there. What can never work is answered by an ``.error.json``; what may work later
raises, and whoever brought the picture brings it again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from age_gender import __version__
from age_gender.batch import results
from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.location import Location, refuse_loop
from age_gender.batch.storage import MARK, ObjectGone, Store, StoredObject
from age_gender.errors import ImageError, ImageTooLarge, SettingsError
from age_gender.limits.capacity import prediction_pixels
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.schema import response_body
from age_gender.settings import Settings
from age_gender.vision.decode import EncodedImage
from age_gender.vision.pipeline import Options, Result, Stopwatch

Predictor = Callable[[bytes, Options], tuple[Result, dict[str, Any]]]
"""Runs the pipeline on a picture's bytes; gives its result, and the body `/predict` would answer.

Raises what `Pipeline.run` raises, and whatever else keeps it from running now.
"""

Status = Literal["annotated", "done-before", "refused"]


@dataclass(frozen=True)
class Outcome:
    """What became of a picture.

    Attributes:
        status: ``annotated`` (its results were written by this call), ``done-before`` (they were
            there) or ``refused`` (they are an ``.error.json``).
        names: of its results.
        body: the JSON, as written or as found.
        stages: milliseconds by stage.
    """

    status: Status
    names: results.ResultNames
    body: dict[str, Any]
    stages: dict[str, float] = field(default_factory=dict)


class Annotator:
    """Brings pictures from one store through the pipeline to their results in another."""

    def __init__(self, out: Location, judge: Predictor, settings: Settings):
        """Touch nothing yet.

        Args:
            out: where results go.
            judge: runs the pipeline.
            settings: for the ``annotate_…`` options, limits, and names of models.
        """
        self._out = out
        self._judge = judge
        self._settings = settings
        self._options = options_of(settings)

    def annotate(self, source: Store, picture: StoredObject) -> Outcome:
        """Make a picture's results, unless they are there.

        Raises:
            StorageUnavailable: one of the stores failed.
            AgeGenderError: the pipeline cannot run now.
        """
        watch = Stopwatch()
        names = results.names_of(self._out.prefix, picture)
        with watch.stage("check"):
            found = self._out.store.find(names.body)
        if found is not None:
            return Outcome("done-before", names, results.decoded(found), watch.stages)
        try:
            result, body = self._answer(source, picture, names, watch)
        except (ImageError, ImageTooLarge, ObjectGone) as error:
            refusal = results.refused(source.label, picture, error)
            with watch.stage("store"):
                self._create(names.error, results.encoded(refusal), "application/json")
            return Outcome("refused", names, refusal, watch.stages)
        with watch.stage("store"):
            if result.jpeg is not None:
                self._create(names.picture, result.jpeg, "image/jpeg")
            ms = {"inference-ms": f"{result.inference_ms:.1f}"}
            new = self._create(names.body, results.encoded(body), "application/json", ms)
        return Outcome("annotated" if new else "done-before", names, body, watch.stages)

    def _answer(
        self, source: Store, picture: StoredObject, names: results.ResultNames, watch: Stopwatch
    ) -> tuple[Result, dict[str, Any]]:
        most = self._settings.max_picture_bytes
        if picture.size > most:
            raise ImageTooLarge.of_bytes(picture.size, most)
        with watch.stage("fetch"):
            data = source.read(picture.name, picture.generation)
        with watch.stage("wait"):
            result, answer = self._judge(data, self._options)
        # What was waiting is what the pipeline did not account for.
        watch.stages["wait"] -= sum(result.stages.values())
        watch.stages.update(result.stages)
        annotated = None if result.jpeg is None else names.picture
        return result, results.answered(source.label, picture, answer, annotated)

    def _create(
        self, name: str, data: bytes, content_type: str, more: dict[str, str] | None = None
    ) -> bool:
        metadata = {MARK: __version__, **(more or {})}
        return self._out.store.create(name, data, content_type, metadata)


def predict_with(
    runtime: Runtime, limiter: PredictionLimiter, data: bytes, options: Options
) -> tuple[Result, dict[str, Any]]:
    """Do what `Predictor` says with the models of ``runtime``, within the bounds of ``limiter``."""
    limit = runtime.settings.max_picture_bytes
    image = EncodedImage(data, max_bytes=limit, max_pixels=limiter.max_pixels)
    with limiter.predict(prediction_pixels(image.header.pixels, options.min_face)):
        result = runtime.pipeline.run(image, options)
        return result, response_body(result)


def options_of(settings: Settings) -> Options:
    """Give the pipeline's options that the ``annotate_…`` settings mean."""
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
    """Give the place for results that the settings name.

    Raises:
        SettingsError: they name none, or one that would feed the input.
    """
    if not settings.output_bucket:
        raise SettingsError("OUTPUT_BUCKET is not set: name the bucket that results go to")
    if len(settings.output_prefix.encode()) > results.MAX_PREFIX_BYTES:
        raise SettingsError(f"OUTPUT_PREFIX has more than {results.MAX_PREFIX_BYTES} bytes")
    out = _bucket(settings, settings.output_bucket, settings.output_prefix)
    if settings.input_bucket:
        refuse_loop(input_of(settings), out)
    return out


def input_of(settings: Settings) -> Location:
    """Give the place of pictures that the settings name.

    Raises:
        SettingsError: they name none.
    """
    if not settings.input_bucket:
        raise SettingsError("INPUT_BUCKET is not set: name the bucket that the pictures are in")
    return _bucket(settings, settings.input_bucket, settings.input_prefix)


def _bucket(settings: Settings, name: str, prefix: str) -> Location:
    return Location(BucketStore(name, settings.annotate_storage_timeout), prefix)
