"""From an image to its faces: decode, detect, align, estimate attributes, verify, render."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.vision.attributes import AttributeEstimator, Attributes
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.face import Face, FaceAttributes, Reason
from age_gender.vision.geometry import clip_boxes
from age_gender.vision.model_spec import Reliability
from age_gender.vision.quality import Quality, assess
from age_gender.vision.reliability import assess_reliability
from age_gender.vision.returned import fitted_jpeg
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.turned import TURNED_CONFIDENCE, detect_turned
from age_gender.vision.verification import Faces, FaceVerifier
from age_gender.vision.view import ImageSource, View, reduction_for_chips

LIKELY_SCORE = 0.5
"""Detector's score from which a small box is worth decoding the image at a larger size."""
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
        return sum(self.stages.get(s, 0) for s in ("detect", "align", "attributes", "verify"))


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
                estimator = self._estimator()
                detector = self._detector(options.face_detector) if options.detect else None

            view_at = cache(source.view)  # a turned look may need the size of an earlier one
            with watch.stage("decode"):
                view = view_at(_first_reduction(source, detector, options))

            view, found = self._find_faces(view_at, view, detector, estimator, options, watch)
            faces: list[Face] = []
            if found is not None:
                faces = _faces(found, view, estimator.spec.reliability, options)

            jpeg: bytes | None = None
            remarks: tuple[str, ...] = ()
            if options.return_image:
                with watch.stage("render"):
                    blurred = None
                    if options.blur:
                        blurred = _blurred_boxes(found, view, options)
                    jpeg, remarks = fitted_jpeg(
                        *(view.image, faces, blurred),
                        draw=options.draw,
                        max_side=options.image_max_side,
                        max_bytes=options.image_max_bytes,
                    )

        spec = estimator.spec if options.get_attributes else None
        return Result(
            view.size,
            faces,
            jpeg,
            watch.stages,
            options.confidence,
            ModelNames(
                detector=DETECTORS[options.face_detector].label if options.detect else None,
                attributes=None if spec is None else spec.label,
                engine=self._engine,
                licence=None if spec is None else spec.licence,
            ),
            _smallest_face(detector, view.size, options.min_face),
            (*source.warnings, *remarks),
        )

    def _find_faces(
        self,
        view_at: Callable[[int], View],
        view: View,
        detector: Detector | None,
        estimator: AttributeEstimator,
        options: Options,
        watch: Stopwatch,
    ) -> tuple[View, Faces | None]:
        """Detect and verify; where an image shows no face as it is, also turned as a whole.

        Returns:
            The view that the faces were cut out of, and what was found in its pixels, if anything.
        """
        if detector is None:
            with watch.stage("load"):
                verifier = self._verifier()
            return view, verifier.whole_image(view.image, estimator, watch)
        candidate = min(options.confidence, detector.candidate_score)
        min_face = None if options.min_face is None else options.min_face / view.reduction
        with watch.stage("detect"):
            detected = detector.detect(view.image, candidate, options.nms, min_face)
        best_view, upright = self._verified(view_at, view, detected, estimator, options, watch)
        done = upright is not None and len(upright.confident(options.confidence))
        if done or detected.highest < detector.turned_score:
            return best_view, upright
        for turn in DETECTORS[options.face_detector].turns:
            with watch.stage("detect"):
                detected = detect_turned(
                    *(detector, options.face_detector, view.image, turn),
                    *(candidate, options.nms, min_face),
                )
            turned_view, turned = self._verified(view_at, view, detected, estimator, options, watch)
            least = max(options.confidence, TURNED_CONFIDENCE)
            if turned is not None and len(turned.confident(least)):
                return turned_view, turned
        return best_view, upright

    def _verified(
        self,
        view_at: Callable[[int], View],
        view: View,
        detected: Detections,
        estimator: AttributeEstimator,
        options: Options,
        watch: Stopwatch,
    ) -> tuple[View, Faces | None]:
        """Verify detections, in a larger view if small faces need it; None without any."""
        if not len(detected):
            return view, None
        in_image = view.to_image(detected)
        if options.get_attributes:
            least = min(LIKELY_SCORE, float(detected.scores.max()))
            likely = in_image[np.flatnonzero(in_image.scores >= least)]
            wanted = likely.boxes[_largest(likely, options.max_faces)]
            reduction = reduction_for_chips(wanted, estimator.spec.chip)
            if reduction < view.reduction:
                with watch.stage("decode"):
                    view = view_at(reduction)
        with watch.stage("load"):
            verifier = self._verifier()
        detected = view.to_view(in_image)
        return view, verifier.verify(view.image, detected, options.face_detector, estimator, watch)


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
    # Most faces of this size are found, though fewer than where there are pixels for `wanted_side`.
    smallest = round(detector.min_detectable / detector.scale_for(*size, min_face))
    return max(smallest, min_face or 0)


def _largest(detections: Detections, count: int | None) -> NDArray[np.intp]:
    """Indices of the ``count`` largest faces, in their order; None keeps all."""
    if count is None or len(detections) <= count:
        return np.arange(len(detections))
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    return np.sort(np.argsort(-sides.prod(axis=1), kind="stable")[:count])


def _whole_pixels(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.int64]:
    """Round boxes and clip them to the image; each stays at least one pixel wide and high."""
    width, height = size
    boxes = np.rint(clip_boxes(boxes, width, height))
    whole = boxes.astype(np.int64)
    whole[:, :2] = np.minimum(whole[:, :2], [width - 1, height - 1])
    whole[:, 2:] = np.maximum(whole[:, 2:], whole[:, :2] + 1)
    return whole


def _blurred_boxes(found: Faces | None, view: View, options: Options) -> NDArray[np.int64]:
    """Boxes to blur: all faces, even doubtful ones and those not wanted; it is for privacy."""
    if found is None:
        return np.zeros((0, 4), np.int64)
    # Near-duplicates, which a large `nms` keeps, would be blurred twice.
    distinct = found.possible(options.confidence).suppressed(min(options.nms, MAX_BLURRED_IOU))
    return _whole_pixels(view.to_image(distinct).boxes, view.size)


def _faces(found: Faces, view: View, limits: Reliability, options: Options) -> list[Face]:
    """Choose the faces that are wanted, and say how reliable their attributes are."""
    confident = found.confident(options.confidence if options.detect else 0.0)
    confident = found.distinct(confident, options.nms)
    wanted = confident[_largest(found.verified[confident], options.max_faces)]
    if not len(wanted):
        return []
    in_view = found.verified[wanted]
    in_image = view.to_image(in_view)
    # A picture that is a face is cut off at its borders on purpose.
    borders = view.size if options.detect else None
    attributes: Sequence[FaceAttributes | None] = [None] * len(wanted)
    if options.get_attributes:
        chips = [found.chips[i] for i in wanted]  # whole arrays would be copied
        qualities = assess(in_image.boxes, in_image.landmarks, chips, borders)
        estimates = found.attributes[wanted]
        against = assess_reliability(estimates, qualities, in_view.scores, limits)
        attributes = _with_over(_face_attributes(estimates, *against), estimates, options.over_age)
    shown = in_image if options.detect else view.to_image(found.detected)
    boxes = _whole_pixels(shown.boxes, view.size).tolist()
    landmarks: Sequence[list[list[float]] | None] = [None] * len(wanted)
    if in_image.landmarks is not None:
        landmarks = in_image.landmarks.tolist()
    rows = zip(boxes, in_image.scores.tolist(), landmarks, attributes, strict=True)
    return [
        Face(
            box=(x1, y1, x2, y2),
            confidence=score,
            landmarks=None if points is None else [(x, y) for x, y in points],
            attributes=face_attributes,
        )
        for (x1, y1, x2, y2), score, points, face_attributes in rows
    ]


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
) -> Sequence[FaceAttributes]:
    """Add the probabilities of being at least so many years old."""
    if not over_age:
        return attributes
    columns = estimates.older[:, list(over_age)].tolist()
    return [
        replace(face, over=dict(zip(over_age, row, strict=True)))
        for face, row in zip(attributes, columns, strict=True)
    ]
