"""Fake networks and detectors, whose results a test chooses."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from age_gender.networks.engine import Read, Taken, Write
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.detectors.base import Detections
from age_gender.vision.face import FaceAttributes
from age_gender.vision.model_spec import Ages, Calibration, Chip, ModelSpec, Reliability
from age_gender.vision.pipeline import ModelNames, Result
from age_gender.vision.quality import Quality
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.verification import Faces, FaceVerifier, estimated
from age_gender.vision.whole_image import whole_box

NAMES = ModelNames("fake", "fake 1", "litert")

Float = NDArray[np.float32]

YEARS = 101
"""Outputs of the age head: 0 to 100 years."""


def spec(
    calibration: Calibration | None = None, reliability: Reliability | None = None
) -> ModelSpec:
    return ModelSpec(
        name="fake",
        version="1",
        licence="Apache-2.0",
        data="none",
        chip=Chip(size=64, scale=1.25),
        ages=Ages(first=0, step=1),
        calibration=calibration or Calibration(),
        reliability=reliability or Reliability(),
    )


class FakeEngine:
    """Computes results with a function, and records the shapes of the batches."""

    def __init__(self, answer: Callable[[Float], Mapping[str, Float]], batch: int = 8):
        self._answer = answer
        self.batch = batch
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Mapping[str, Float]:
        self.shapes.append(batch.shape)
        return self._answer(batch.astype(np.float32))

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        batch = np.full(shape, np.nan, np.float32)
        write(batch)
        return read(self.run(batch))


def predicted_by_colour(batch: Float) -> Mapping[str, Float]:
    """Predict the mean red value, at most 100, as age, and mean green over 255 as male."""
    red, green = batch[..., 0].mean(axis=(1, 2)), batch[..., 1].mean(axis=(1, 2))
    distribution = np.zeros((len(batch), YEARS), np.float32)
    distribution[np.arange(len(batch)), np.minimum(red.round().astype(int), YEARS - 1)] = 1
    return {"age": distribution, "gender": (green / 255)[:, None].astype(np.float32)}


def estimator(model: ModelSpec | None = None) -> AttributeEstimator:
    return AttributeEstimator(FakeEngine(predicted_by_colour), model or spec())


class FakeDetector:
    """Returns given detections, and records the options."""

    name = "fake"
    min_detectable = 16.0
    candidate_score = 0.5
    turned_score = 0.1

    def __init__(self, detected: Detections):
        self._detected = detected
        self.asked: list[tuple[float, float, float | None]] = []

    def scale_for(self, _width: int, _height: int, _min_face: float | None) -> float:
        return 1.0

    def detect(
        self,
        image: NDArray[np.uint8],
        confidence: float,
        nms: float,
        min_face: float | None = None,
    ) -> Detections:
        self.asked.append((confidence, nms, min_face))
        return self._detected


class TrustingVerifier(FaceVerifier):
    """Takes all that detectors return as it is."""

    def __init__(self) -> None:
        pass

    def verify(
        self,
        image: NDArray[np.uint8],
        detected: Detections,
        detector: str,
        estimator: AttributeEstimator,
        watch: Stopwatch,
    ) -> Faces:
        return estimated(image, detected, estimator, watch)

    def whole_image(
        self, image: NDArray[np.uint8], estimator: AttributeEstimator, watch: Stopwatch
    ) -> Faces:
        return self.verify(image, whole_box(image), "", estimator, watch)


def detections(*boxes: tuple[float, ...], landmarks: bool = False) -> Detections:
    """Make boxes with scores falling from 0.9, and landmarks as in frontal faces."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.6, len(array)).astype(np.float32)
    points = None
    if landmarks:
        relative = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        corners, sides = array[:, None, :2], (array[:, 2:] - array[:, :2])[:, None]
        points = (corners + sides * relative).astype(np.float32)
    return Detections(array, scores, points)


def face_attributes(age: float = 30.0, *, reliable: bool = True) -> FaceAttributes:
    """Attributes of a man, with an interval of 10 years to either side."""
    return FaceAttributes(
        age,
        (age - 10, age + 10),
        "M",
        0.9,
        Quality(40.0, 0.4, None, None),
        () if reliable else ("small",),
    )


def empty_result(jpeg: bytes | None = None, stages: Mapping[str, float] | None = None) -> Result:
    """A result without faces."""
    return Result((4, 3), [], jpeg, stages or {}, 0.5, NAMES, 16)


FACE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
"""Landmarks of a frontal face, in sides of its box."""


def found(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] = ()) -> Detections:
    """Make detections with landmarks as in frontal faces, with ``scores``, or 0.9 each."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = array[:, None, :2] + (array[:, None, 2:] - array[:, None, :2]) * FACE
    given = np.array(scores or [0.9] * len(array), np.float32)
    return Detections(array, given, points.astype(np.float32))
