"""From an image to its faces: decode, detect, verify, align, estimate attributes, render."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.vision.attributes import AttributeEstimator, Attributes
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.face import Face, FaceAttributes, Reason
from age_gender.vision.geometry import Image, chip_transforms, clip_boxes, warp_chips
from age_gender.vision.quality import Quality, assess
from age_gender.vision.reliability import assess_reliability
from age_gender.vision.returned import fitted_jpeg
from age_gender.vision.verification import (
    CANDIDATE_SCORE,
    TURNED_CONFIDENCE,
    Faces,
    FaceVerifier,
    detect_turned,
)
from age_gender.vision.view import ImageSource, View, reduction_for_chips

MAX_FACES = 300
"""Faces returned for one image, the most confident ones. It bounds the time of a request for
overlapping boxes of any confidence."""
MAX_BLURRED_IOU = 0.5
"""IoU above which one of two faces is not blurred a second time."""

WHOLE_SIDE = 512
"""Shorter side in pixels from which a picture that is a face has all that the networks use."""


@dataclass(frozen=True)
class Options:
    """What the caller wants; `schema.PredictRequest` explains each field."""

    confidence: float = 0.5
    nms: float = 0.5
    face_detector: DetectorName = "fast"
    min_face: int | None = None
    max_faces: int | None = None
    get_attributes: bool = True
    return_image: bool = True
    draw: bool = True
    blur: bool = False
    over_age: tuple[int, ...] = ()
    detect: bool = True
    image_max_side: int | None = None
    image_max_bytes: int | None = None
    """Of the returned image; it is made smaller to fit."""


@dataclass
class Stopwatch:
    """Milliseconds spent in each stage, in order."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body; the times of one stage add up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0) + (time.perf_counter() - start) * 1000


@dataclass(frozen=True)
class ModelNames:
    """The models behind a result.

    Attributes:
        detector: its label, see `DetectorInfo`; None if it was not used.
        attributes: name and version of the age and gender model, None if it was not used.
        engine: ``litert`` or ``tensorflow``.
        licence: of that model's weights, None if it was not used.
    """

    detector: str | None
    attributes: str | None
    engine: str
    licence: str | None = None


@dataclass(frozen=True)
class Result:
    """Everything that a response reports.

    Attributes:
        size: width and height of the upright image, pixels.
        faces: most confident first.
        jpeg: the image as asked for (drawn on, blurred or unchanged), or None.
        stages: milliseconds by stage.
        confidence: the threshold used.
        models: what made it.
        smallest_face: side of the smallest face that was looked for, pixels.
        warnings: what is not as it should be, in sentences for people.
    """

    size: tuple[int, int]
    faces: list[Face]
    jpeg: bytes | None
    stages: Mapping[str, float]
    confidence: float
    models: ModelNames
    smallest_face: int
    warnings: tuple[str, ...] = ()

    @property
    def inference_ms(self) -> float:
        """Time to detect the faces and estimate their attributes, without decoding or rendering."""
        return sum(self.stages.get(s, 0) for s in ("detect", "verify", "align", "attributes"))


class Pipeline:
    """Runs the stages over one image at a time. Safe to share between threads."""

    def __init__(
        self,
        detector: Callable[[DetectorName], Detector],
        estimator: Callable[[], AttributeEstimator],
        verifier: Callable[[], FaceVerifier],
        *,
        cpus: CpuShares,
        engine: str,
    ):
        """Load nothing yet.

        Args:
            detector: returns a detector by name, and loads it on first use.
            estimator: returns the estimator, and loads it on first use.
            verifier: returns the verifier, and loads it on first use.
            cpus: divides the CPUs between the images in progress.
            engine: name of what runs the networks, for `Result`.
        """
        self._detector = detector
        self._estimator = estimator
        self._verifier = verifier
        self._cpus = cpus
        self._engine = engine

    def run(self, source: ImageSource, options: Options) -> Result:
        """Detect the faces of one image and estimate their attributes.

        Raises:
            ImageError: the file is damaged.
            ImageTooLarge: decoding the file would take too long.
            ModelUnavailable: a model cannot be loaded.
        """
        watch = Stopwatch()
        with self._cpus.prediction():
            with watch.stage("load"):
                estimator = self._estimator() if options.get_attributes else None
                detector = self._detector(options.face_detector) if options.detect else None

            with watch.stage("decode"):
                view = source.view(_first_reduction(source, detector, options))

            found = self._find_faces(view, detector, options, watch)
            least = options.confidence if options.detect else 0.0
            detections = view.to_image(found.confident(least))
            wanted = _largest(_first(detections, MAX_FACES), options.max_faces)

            attributes: Sequence[FaceAttributes | None] = [None] * len(wanted)
            if estimator is not None and len(wanted):
                chip = estimator.spec.chip
                reduction = reduction_for_chips(wanted.boxes, chip)
                if reduction < view.reduction:
                    with watch.stage("decode"):
                        view = source.view(reduction)
                with watch.stage("align"):
                    in_view = view.to_view(wanted)
                    transforms = chip_transforms(
                        in_view.boxes, in_view.landmarks, chip.scale, chip.size
                    )
                    chips = warp_chips(view.image, transforms, chip.size)
                    # A picture that is a face is cut off at its borders on purpose.
                    borders = view.size if options.detect else None
                    qualities = assess(wanted.boxes, wanted.landmarks, chips, borders)
                with watch.stage("attributes"):
                    estimates = estimator.estimate(chips)
                    against = assess_reliability(
                        estimates, qualities, wanted.scores, estimator.spec.reliability
                    )
                attributes = _face_attributes(estimates, *against)
                attributes = _with_over(attributes, estimates, options.over_age)
            if not options.detect:
                wanted = replace(wanted, boxes=view.to_image(found.detected).boxes)
            faces = _faces(wanted, attributes, view.size)

            jpeg: bytes | None = None
            remarks: tuple[str, ...] = ()
            if options.return_image:
                with watch.stage("render"):
                    blurred = None
                    if options.blur:
                        # All faces, even doubtful ones and those not wanted: it is for privacy.
                        # Near-duplicates, which a large `nms` keeps, would be blurred twice.
                        possible = found.possible(options.confidence)
                        distinct = possible.suppressed(min(options.nms, MAX_BLURRED_IOU))
                        # A picture that is returned was decoded at full size.
                        blurred = _whole_pixels(distinct.boxes, view.size)
                    jpeg, remarks = fitted_jpeg(
                        *(view.image, faces, blurred),
                        draw=options.draw,
                        max_side=options.image_max_side,
                        max_bytes=options.image_max_bytes,
                    )

        return Result(
            view.size,
            faces,
            jpeg,
            watch.stages,
            options.confidence,
            ModelNames(
                detector=DETECTORS[options.face_detector].label if options.detect else None,
                attributes=None if estimator is None else estimator.spec.label,
                engine=self._engine,
                licence=None if estimator is None else estimator.spec.licence,
            ),
            _smallest_face(detector, view.size, options.min_face),
            (*source.warnings, *remarks),
        )

    def _find_faces(
        self, view: View, detector: Detector | None, options: Options, watch: Stopwatch
    ) -> Faces:
        """Detect and verify; where an image shows no face as it is, also turned as a whole."""
        if detector is None:
            with watch.stage("load"):
                verifier = self._verifier()
            with watch.stage("verify"):
                return verifier.whole_picture(view.image)
        candidate = min(options.confidence, CANDIDATE_SCORE)
        min_face = None if options.min_face is None else options.min_face / view.reduction
        with watch.stage("detect"):
            detected = detector.detect(view.image, candidate, options.nms, min_face)
        upright = self._verified(view.image, detected, options, watch)
        if len(upright.confident(options.confidence)):
            return upright
        for turn in DETECTORS[options.face_detector].turns:
            with watch.stage("detect"):
                detected = detect_turned(
                    *(detector, options.face_detector, view.image, turn),
                    *(candidate, options.nms, min_face),
                )
            turned = self._verified(view.image, detected, options, watch)
            if len(turned.confident(max(options.confidence, TURNED_CONFIDENCE))):
                return turned
        return upright

    def _verified(
        self, image: Image, detected: Detections, options: Options, watch: Stopwatch
    ) -> Faces:
        """Verify detections; without any, the networks for that are not loaded."""
        if not len(detected):
            return Faces(detected, detected, detected.scores)
        with watch.stage("load"):
            verifier = self._verifier()
        with watch.stage("verify"):
            return verifier.verify(image, detected, options.face_detector)


def _first_reduction(source: ImageSource, detector: Detector | None, options: Options) -> int:
    """Choose how much smaller than full size the image may be decoded to find its faces."""
    if options.return_image:
        return 1
    if detector is None:
        return source.max_reduction(WHOLE_SIDE / min(source.size), may_redecode=False)
    scale = detector.scale_for(*source.size, options.min_face)
    return source.max_reduction(scale, may_redecode=options.get_attributes)


def _smallest_face(detector: Detector | None, size: tuple[int, int], min_face: int | None) -> int:
    if detector is None:
        return min(size)
    return round(detector.min_detectable / detector.scale_for(*size, min_face))


def _first(detections: Detections, count: int) -> Detections:
    return detections[np.arange(min(len(detections), count))]


def _largest(detections: Detections, count: int | None) -> Detections:
    """Keep the ``count`` largest faces, in their order; None keeps all."""
    if count is None or len(detections) <= count:
        return detections
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    return detections[np.sort(np.argsort(-sides.prod(axis=1), kind="stable")[:count])]


def _whole_pixels(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.int64]:
    """Round boxes and clip them to the image; each stays at least one pixel wide and high."""
    width, height = size
    boxes = np.rint(clip_boxes(boxes, width, height))
    whole = boxes.astype(np.int64)
    whole[:, :2] = np.minimum(whole[:, :2], [width - 1, height - 1])
    whole[:, 2:] = np.maximum(whole[:, 2:], whole[:, :2] + 1)
    return whole


def _face_attributes(
    estimates: Attributes,
    qualities: Sequence[Quality],
    reasons: Sequence[tuple[Reason, ...]],
) -> list[FaceAttributes]:
    rows = zip(
        estimates.ages.tolist(),
        estimates.intervals.tolist(),
        estimates.male.tolist(),
        qualities,
        reasons,
        strict=True,
    )
    return [
        FaceAttributes(
            age=age,
            age_interval=(low, high),
            gender="M" if male >= 0.5 else "F",
            gender_probability=max(male, 1 - male),
            quality=quality,
            reasons=against,
        )
        for age, (low, high), male, quality, against in rows
    ]


def _with_over(
    attributes: Sequence[FaceAttributes], estimates: Attributes, over_age: Sequence[int]
) -> list[FaceAttributes]:
    """Add the probabilities of being at least so many years old."""
    columns = estimates.older[:, list(over_age)].tolist()
    return [
        replace(face, over=dict(zip(over_age, row, strict=True)))
        for face, row in zip(attributes, columns, strict=True)
    ]


def _faces(
    detections: Detections, attributes: Sequence[FaceAttributes | None], size: tuple[int, int]
) -> list[Face]:
    boxes = _whole_pixels(detections.boxes, size).tolist()
    landmarks: Sequence[list[list[float]] | None] = [None] * len(detections)
    if detections.landmarks is not None:
        landmarks = detections.landmarks.tolist()
    rows = zip(boxes, detections.scores.tolist(), landmarks, attributes, strict=True)
    return [
        Face(
            box=(x1, y1, x2, y2),
            confidence=score,
            landmarks=None if points is None else [(x, y) for x, y in points],
            attributes=face_attributes,
        )
        for (x1, y1, x2, y2), score, points, face_attributes in rows
    ]
