"""The ``accurate`` detector: RetinaFace with a MobileNetV2 backbone, run by an `Engine`.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020.
For each anchor, the network outputs a score and the offsets of the box and of five landmarks.
Decoding only the few anchors above the threshold here is far cheaper than decoding all of them in
the graph.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from age_gender.limits.capacity import NETWORK_PIXELS
from age_gender.networks.engine import Engine
from age_gender.vision.detectors.base import Detections, InputScale, top_k
from age_gender.vision.detectors.registry import DETECTORS
from age_gender.vision.geometry import Float, Image, resize_quickly

STRIDES = (8, 16, 32)
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))
"""Sides of the two square anchors in every cell of each stride, pixels of the input."""
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
"""Scaling of the offsets in training (as in SSD, Liu et al. 2016)."""


def _multiple_of_32(side: float) -> int:
    return math.ceil(side / 32) * 32


LONG_SIDES = (320, 512, 640, 896)
ASPECTS = ((16, 9), (4, 3), (1, 1), (3, 4), (9, 16))
SHAPES = tuple(
    (
        _multiple_of_32(side * height / max(width, height)),
        _multiple_of_32(side * width / max(width, height)),
    )
    for side in LONG_SIDES
    for width, height in ASPECTS
)
"""Input shapes (height, width): a few sizes in the common aspect ratios, so that most images meet a
shape for which an interpreter is prepared already."""

INPUT_SCALE = InputScale(
    default_min_face=DETECTORS["accurate"].default_min_face,
    min_detectable=16.0,  # all clear faces from 16 pixels on, 97 % of 14-16, 84 % of 12-14
    default_long_side=LONG_SIDES[-1],
    max_long_side=1536,
)


def create(load_engine: Callable[[str], Engine], threads: int) -> "RetinaFaceDetector":  # noqa: ARG001
    """Load the detector; see ``registry``."""
    (network,) = DETECTORS["accurate"].networks
    return RetinaFaceDetector(load_engine(network))


class RetinaFaceDetector:
    """See the module's docstring; implements `Detector`."""

    name = "accurate"

    def __init__(self, engine: Engine):
        """Wrap a loaded network.

        Args:
            engine: input ``[1, H, W, 3]`` with sides that are multiples of 32; outputs
                ``boxes`` ``[1, A, 4]``, ``landmarks`` ``[1, A, 10]``, ``scores`` ``[1, A, 2]``.
        """
        self._engine = engine

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        max_scale = math.sqrt(NETWORK_PIXELS / (width * height))
        return min(INPUT_SCALE.scale_for(width, height, min_face), max_scale)

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        """See `Detector.detect`."""
        height, width = image.shape[:2]
        letterbox = _Letterbox(width, height, self.scale_for(width, height, min_face))
        outputs = self._engine.run_on(
            (1, *letterbox.shape, 3), lambda batch: letterbox.fill(batch, image)
        )
        scores = outputs["scores"][0, :, 1]
        chosen = np.flatnonzero(scores >= confidence)
        chosen = chosen[top_k(scores[chosen])]
        anchors = _anchors(*letterbox.shape)[chosen]
        zoom = np.array([width / letterbox.width, height / letterbox.height] * 2, np.float32)
        boxes = _decode_boxes(outputs["boxes"][0, chosen], anchors) * zoom
        landmarks = _decode_landmarks(outputs["landmarks"][0, chosen], anchors) * zoom[:2]
        detections = Detections(boxes, scores[chosen], landmarks)
        return detections.suppressed(nms).inside(width, height)


class _Letterbox:
    """An image resized, and padded at the right and bottom to the smallest shape that holds it.

    Attributes:
        width: of the resized image, pixels.
        height: of the resized image, pixels.
        shape: height and width of the network's input.
    """

    def __init__(self, width: int, height: int, scale: float):
        self.width, self.height = max(1, round(width * scale)), max(1, round(height * scale))
        self.shape = _shape_for(self.height, self.width)

    def fill(self, batch: Float, image: Image) -> None:
        """Write an image into a batch ``[1, H, W, 3]``."""
        batch[0, : self.height, : self.width] = resize_quickly(image, self.width, self.height)
        batch[0, self.height :] = 0
        batch[0, : self.height, self.width :] = 0


def _shape_for(height: int, width: int) -> tuple[int, int]:
    fitting = [s for s in SHAPES if s[0] >= height and s[1] >= width]
    if fitting:
        return min(fitting, key=lambda s: s[0] * s[1])
    return _multiple_of_32(height), _multiple_of_32(width)


@lru_cache(maxsize=16)
def _anchors(height: int, width: int) -> Float:
    """Return the anchors of an input, float32 ``[A, 3]``: centre x, centre y, side."""
    levels = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, k = np.meshgrid(np.arange(rows), np.arange(columns), (0, 1), indexing="ij")
        side = np.asarray(sides, np.float32)[k]
        levels.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], -1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float32)


def _decode_boxes(offsets: Float, anchors: Float) -> Float:
    centres = anchors[:, :2] + offsets[:, :2] * CENTRE_VARIANCE * anchors[:, 2:]
    sides = anchors[:, 2:] * np.exp(offsets[:, 2:] * SIZE_VARIANCE)
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1, dtype=np.float32)


def _decode_landmarks(offsets: Float, anchors: Float) -> Float:
    points = offsets.reshape(-1, 5, 2)
    landmarks = anchors[:, None, :2] + points * CENTRE_VARIANCE * anchors[:, None, 2:]
    return np.asarray(landmarks, np.float32)
