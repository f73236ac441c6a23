"""The whole story of one picture: decode, detect, align, estimate, render."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.vision import decode as picture
from age_gender.vision import render
from age_gender.vision.attributes import AttributeEstimator, Attributes
from age_gender.vision.detectors import Detections, Detector
from age_gender.vision.geometry import Image, chip_transforms, clip_boxes, warp_chips
from age_gender.vision.quality import Quality, assess
from age_gender.vision.view import View, reduction_for_chips

MAX_FACES = 300
"""Faces judged in one picture, the most confident ones: whoever asks for overlapping boxes of no
confidence must not get minutes of our time."""
MAX_OVERLAP_HIDDEN = 0.5
"""IoU above which one of two faces is not blurred a second time: that of the default `nms`."""
MIN_REDUCED_PIXELS = 6_000_000
"""Of a picture that is first decoded at reduced size although chips are wanted."""

DetectorName = Literal["fast", "accurate"]


@dataclass(frozen=True)
class Options:
    """What the caller wants; see the request's schema for the meaning of each field."""

    confidence: float = 0.5
    nms: float = 0.5
    face_detector: DetectorName = "fast"
    min_face: int | None = None
    max_faces: int | None = None
    get_attributes: bool = True
    return_image: bool = True
    draw: bool = True
    blur: bool = False


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        box: ``x1, y1, x2, y2``, whole pixels of the upright picture, clipped to it.
        confidence: the detector's score, 0-1.
        landmarks: five ``(x, y)`` in pixels (order: see ``geometry``), if the detector gives any.
        age: years.
        age_interval: years; see `Attributes`.
        gender: ``"M"`` or ``"F"``, the likelier one.
        gender_probability: of that one, 0.5-1.
        quality: how good a look at the face the picture gives.
        reliable: whether age and gender can be relied on, by quality.

    The fields from ``age`` on are None when attributes were not asked for.
    """

    box: tuple[int, int, int, int]
    confidence: float
    landmarks: list[tuple[float, float]] | None
    age: float | None = None
    age_interval: tuple[float, float] | None = None
    gender: Literal["M", "F"] | None = None
    gender_probability: float | None = None
    quality: Quality | None = None
    reliable: bool | None = None


@dataclass
class Stopwatch:
    """Milliseconds spent in each stage, in order."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0) + (time.perf_counter() - start) * 1000


@dataclass(frozen=True)
class Result:
    """What the pipeline found.

    Attributes:
        size: width, height of the upright picture in pixels.
        faces: most confident first.
        jpeg: the picture as asked for (drawn, blurred or as it was), or None.
        stages: milliseconds by stage.
    """

    size: tuple[int, int]
    faces: list[Face]
    jpeg: bytes | None
    stages: Mapping[str, float]

    @property
    def inference_ms(self) -> float:
        """Time spent on finding and judging faces, without decoding and encoding the picture."""
        return sum(self.stages.get(s, 0) for s in ("detect", "align", "attributes"))


class Pipeline:
    """Everything constructed once, then pure functions over arrays. Safe to share by threads."""

    def __init__(
        self,
        detector: Callable[[DetectorName], Detector],
        estimator: Callable[[], AttributeEstimator],
        *,
        cpus: CpuShares,
        max_bytes: int,
        max_pixels: int,
    ):
        """Tie the parts together.

        Args:
            detector: gives a detector by name, loading it if need be.
            estimator: gives the estimator, loading it if need be.
            cpus: told of each picture that is worked on.
            max_bytes: most bytes of a picture's file.
            max_pixels: most pixels of a picture.
        """
        self._detector = detector
        self._estimator = estimator
        self._cpus = cpus
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    def run(self, data: bytes, options: Options) -> Result:
        """Find and judge the faces of one picture.

        Args:
            data: the picture's file.
            options: what is wanted.

        Raises:
            ImageError: not a picture that we read.
            ImageTooLarge: beyond the limits.
            ModelUnavailable: a model cannot be loaded.
        """
        watch = Stopwatch()
        with self._cpus.picture():
            with watch.stage("decode"):
                file = picture.EncodedImage(
                    data, max_bytes=self._max_bytes, max_pixels=self._max_pixels
                )
            detector, estimator = self._models(options, watch)

            def view(reduction: int) -> View:
                with watch.stage("decode"):
                    return View(file.decode(reduction), reduction)

            first = _reduction(file, detector, options)
            return _run(view(first), view, detector, estimator, options, watch)

    def run_decoded(self, image: Image, options: Options) -> Result:
        """Find and judge the faces of one picture that is decoded already, such as a video's frame.

        Args:
            image: uint8 ``[H, W, 3]``, RGB, upright.
            options: what is wanted.

        Raises:
            ModelUnavailable: a model cannot be loaded.
        """
        watch, view = Stopwatch(), View(image)
        with self._cpus.picture():
            detector, estimator = self._models(options, watch)
            return _run(view, lambda _: view, detector, estimator, options, watch)

    def _models(
        self, options: Options, watch: Stopwatch
    ) -> tuple[Detector, AttributeEstimator | None]:
        with watch.stage("load"):
            estimator = self._estimator() if options.get_attributes else None
            return self._detector(options.face_detector), estimator


def _reduction(file: picture.EncodedImage, detector: Detector, options: Options) -> int:
    """How far to reduce a picture while decoding it, since nobody will look at it more closely."""
    header = file.header
    if options.return_image:
        return 1
    # Where chips need more, it is decoded a second time: to cost less than is mostly saved.
    small = header.width * header.height < MIN_REDUCED_PIXELS
    if options.get_attributes and (small or file.is_progressive):
        return 1
    return file.reduction(detector.scale_for(header.width, header.height, options.min_face))


def _run(
    view: View,
    closer: Callable[[int], View],
    detector: Detector,
    estimator: AttributeEstimator | None,
    options: Options,
    watch: Stopwatch,
) -> Result:
    width, height = view.size
    min_face = None if options.min_face is None else options.min_face / view.reduction
    with watch.stage("detect"):
        detected = detector.detect(view.image, options.confidence, options.nms, min_face)
        everyone = view.placed(detected)
        found = _largest(everyone[np.arange(min(len(everyone), MAX_FACES))], options.max_faces)
    boxes = _whole_pixels(found, width, height)
    faces = _unjudged(found, boxes)
    if estimator is not None and faces:
        enough = reduction_for_chips(found.boxes, estimator.spec.chip)
        if enough < view.reduction:
            view = closer(enough)
        faces = _judged(view, found, faces, estimator, watch)
    jpeg = None
    if options.return_image:
        with watch.stage("render"):
            hidden = None
            if options.blur:
                # Who asks for few faces and for blurred ones wants nobody to be recognisable.
                # Near-duplicates, which a large `nms` lets through, would be blurred again.
                unlike = everyone.suppressed(min(options.nms, MAX_OVERLAP_HIDDEN))
                hidden = _whole_pixels(unlike, width, height)
            jpeg = rendered(view.image, faces, hidden, draw=options.draw)
    return Result((width, height), faces, jpeg, watch.stages)


def _largest(found: Detections, most: int | None) -> Detections:
    """Keep the ``most`` largest faces: those a picture is about; their order stays."""
    if most is None or len(found) <= most:
        return found
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return found[np.sort(np.argsort(-sides.prod(axis=1), kind="stable")[:most])]


def _whole_pixels(found: Detections, width: int, height: int) -> NDArray[np.int64]:
    """Round boxes and clip them to the picture, keeping each at least one pixel wide and high."""
    boxes = np.rint(clip_boxes(found.boxes, width, height)).astype(np.int64)
    boxes[:, :2] = np.minimum(boxes[:, :2], [width - 1, height - 1])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes


def _judged(
    view: View,
    found: Detections,
    faces: list[Face],
    estimator: AttributeEstimator,
    watch: Stopwatch,
) -> list[Face]:
    spec = estimator.spec
    with watch.stage("align"):
        seen = view.seen(found)
        transforms = chip_transforms(seen.boxes, seen.landmarks, spec.chip.scale, spec.chip.size)
        chips = warp_chips(view.image, transforms, spec.chip.size)
        qualities = assess(found.boxes, found.landmarks, chips)
    with watch.stage("attributes"):
        told = estimator.estimate(chips)
    return [
        _face(plain, told, i, q, reliable=spec.reliability.holds(q))
        for i, (plain, q) in enumerate(zip(faces, qualities, strict=True))
    ]


def _unjudged(found: Detections, boxes: NDArray[np.int64]) -> list[Face]:
    landmarks = [None] * len(found) if found.landmarks is None else found.landmarks.tolist()
    return [
        Face(
            box=(int(box[0]), int(box[1]), int(box[2]), int(box[3])),
            confidence=float(score),
            landmarks=None if points is None else [(float(x), float(y)) for x, y in points],
        )
        for box, score, points in zip(boxes, found.scores, landmarks, strict=True)
    ]


def _face(plain: Face, told: Attributes, i: int, q: Quality, *, reliable: bool) -> Face:
    male = float(told.male[i])
    low, high = told.intervals[i].tolist()
    return replace(
        plain,
        age=float(told.ages[i]),
        age_interval=(low, high),
        gender="M" if male >= 0.5 else "F",
        gender_probability=max(male, 1 - male),
        quality=q,
        reliable=reliable,
    )


def rendered(
    image: Image, faces: list[Face], hidden: NDArray[np.int64] | None, *, draw: bool
) -> bytes:
    """Encode a picture with its faces drawn, others hidden, or both.

    Args:
        image: uint8 ``[H, W, 3]``, RGB; not changed.
        faces: drawn with boxes and labels, if ``draw``.
        hidden: boxes ``[N, 4]`` in whole pixels that are blurred first, or None.
        draw: whether to draw.

    Returns:
        A JPEG file.
    """
    if hidden is not None:
        image = render.blur_faces(image, hidden.astype(np.float32))
    if draw:
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        labels = [_label(face) for face in faces]
        image = render.draw_faces(image, boxes, labels, [face.gender for face in faces])
    return render.encode_jpeg(image)


def _label(face: Face) -> str:
    if face.age is None:
        return f"{face.confidence:.0%}"
    return f"{face.age:.0f} {face.gender}"
