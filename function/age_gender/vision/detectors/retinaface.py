"""The ``accurate`` detector: RetinaFace with a MobileNetV2 backbone, run by an `Engine`.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020.
For each anchor, the network outputs a score and the offsets of the box and of five landmarks.
Decoding only the few anchors above the threshold here is far cheaper than decoding all of them in
the graph.

One run sees an image at one scale. What it sees badly, others see: ``looks`` joins them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.capacity import NETWORK_PIXELS, SEARCH_PIXELS, WANTED_FACE
from age_gender.networks.engine import Arrays, Engine
from age_gender.vision.detectors.base import Detections, InputScale, joined, top_k
from age_gender.vision.detectors.looks import SAME_FACE, SURE, tiles, with_large_faces
from age_gender.vision.detectors.registry import DETECTORS
from age_gender.vision.geometry import Float, Image, resize_quickly
from age_gender.vision.suppression import distinct_faces

STRIDES = (8, 16, 32)
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))
"""Sides of the two square anchors in every cell of each stride, pixels of the input."""
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
"""Scaling of the offsets in training (as in SSD, Liu et al. 2016)."""


def _multiple_of_32(side: float) -> int:
    return math.ceil(side / 32) * 32


MARGIN = 12
"""Padding at the left, pixels of the input, and at the top where there is room. Without it, a face
that is cut off there is missed."""
ROOM = 8
"""Padding at the right and the bottom at least, pixels of the input, for the same reason: of faces
whose lower half is outside, 80 % had a score of 0.5 without it, and 98 % with it, in the network
before this one. At the bottom only where a face may be cut off, see `CUT_OFF_SHARE`."""
EDGE_TRACE, EDGE_SURE = 0.05, 0.97
CUT_OFF_SHARE = 0.02
"""An image that is not scaled is first looked at without room at the top and the bottom, if that
saves 32 rows: at 640x480, a sixteenth of the time. It is looked at again where there is a box with
a score of `EDGE_TRACE` that ends within `CUT_OFF_SHARE` of its side of these borders, as of nearly
every face that is cut off, or that ends within `ROOM` and has less than `EDGE_SURE`. So of 150
faces of which half is outside there, 141 are found, with room at once 143; of 150 of which 60 % are
outside, only 66 instead of 82. Of 75 portraits none is looked at again, of 300 pictures of animals
23."""

LONG_SIDES = (320, 512, 640, 896)
ASPECTS = ((16, 9), (4, 3), (1, 1), (3, 4), (9, 16))
SHAPES = tuple(
    (
        _multiple_of_32(side * height / max(width, height)),
        _multiple_of_32(side * width / max(width, height) + MARGIN),
    )
    for side in LONG_SIDES
    for width, height in ASPECTS
)
"""Input shapes (height, width): a few sizes in the common aspect ratios, so that most images meet a
shape for which an interpreter is prepared already."""

INPUT_SCALE = InputScale(
    default_min_face=DETECTORS["accurate"].default_min_face,
    min_detectable=16,  # 23 of 27 clear faces in photos, and all of them from 18 on
    wanted_side=WANTED_FACE,
    default_pixels=1024 * 1024,
    max_pixels=SEARCH_PIXELS,
)

COARSE_SIDE = 320 - MARGIN
"""Longer side of the coarse look, pixels of the input."""
TOO_LARGE = 250
"""Side of a box, pixels of the input, from which it may be a part of a face that is too large for
the anchors (512 pixels)."""
LARGE_SHARE = 0.35
"""Of the longer side of the image: a face from this size on is seen best by the coarse look."""
WORTH_WHILE = 0.9
"""A coarse look at more than this times the scale of the first one would not see anything else."""

TURNED_SCORE = 0.005
"""Of 210 faces that are found in turned photos, none has less in the photo as it is; of 259
pictures without people, 36 % have nowhere more."""

TILE_SIDE, TILE_OVERLAP = 1024 - MARGIN, 128
"""Pixels of the input; faces that are larger than the overlap are seen by the look at the whole."""


def create(load_engine: Callable[[str], Engine], threads: int) -> "RetinaFaceDetector":  # noqa: ARG001
    """Load the detector; see ``registry``."""
    (network,) = DETECTORS["accurate"].networks
    return RetinaFaceDetector(load_engine(network))


class RetinaFaceDetector:
    """See the module's docstring; implements `Detector`."""

    name = "accurate"
    min_detectable = INPUT_SCALE.min_detectable
    candidate_score = 0.15
    turned_score = TURNED_SCORE

    def __init__(self, engine: Engine):
        """Wrap a loaded network.

        Args:
            engine: input ``[1, H, W, 3]`` with sides that are multiples of 32; outputs
                ``boxes`` ``[1, A, 4]``, ``landmarks`` ``[1, A, 10]``, ``scores`` ``[1, A, 1]``.
        """
        self._engine = engine

    def scale_for(self, width: int, height: int, min_face: float | None) -> float:
        """See `Detector.scale_for`."""
        scale = INPUT_SCALE.scale_for(width, height, min_face)
        return _scale_of_one_run(width, height, scale) if min_face is None else scale

    def detect(
        self, image: Image, confidence: float, nms: float, min_face: float | None = None
    ) -> Detections:
        """See `Detector.detect`."""
        height, width = image.shape[:2]
        scale = self.scale_for(width, height, min_face)
        least = min(confidence, self.candidate_score)
        in_parts = _scale_of_one_run(width, height, scale) < scale
        whole = self.scale_for(width, height, None) if in_parts else scale
        found = self._look_at_whole(image, whole, least)
        if in_parts:
            small = joined(*self._look_at_tiles(image, scale, least))
            found = with_large_faces(small, found, TILE_OVERLAP / scale)
        found = found[np.flatnonzero(found.scores >= confidence)]
        return found[top_k(found.scores)].suppressed(nms)

    def _look_at_whole(self, image: Image, scale: float, least: float) -> Detections:
        """Look once, and again where faces may be too large for that, or cut off."""
        height, width = image.shape[:2]
        found = self._look_first(image, scale, least)
        coarse_scale = min(scale, COARSE_SIDE / max(width, height))
        may_be_parts = bool((found.sides * scale > TOO_LARGE).any())
        asked = may_be_parts or not _any_face(found) or _doubtful_at_border(found, width, height)
        if asked and coarse_scale < WORTH_WHILE * scale:
            coarse = self._look(image, coarse_scale, least).suppressed(SAME_FACE)
            found = with_large_faces(found, coarse, LARGE_SHARE * max(width, height))
        return found

    def _look_first(self, image: Image, scale: float, least: float) -> Detections:
        """Look without room at top and bottom if that saves rows, and with it where it matters."""
        height, width = image.shape[:2]
        narrow, roomy = (_fitted(width, height, scale, room=room) for room in (False, True))
        if narrow == roomy:
            return self._look(image, scale, least)
        found = self._look(image, scale, min(least, EDGE_TRACE), room=False)
        to_border = np.minimum(found.boxes[:, 1], height - found.boxes[:, 3])
        cut_off = to_border < CUT_OFF_SHARE * found.sides
        doubtful = (to_border < ROOM) & (found.scores < EDGE_SURE)
        # Boxes that only a low confidence asks for have no say: it must not change the others.
        if _any_distinct(found, (cut_off | doubtful) & (found.scores >= EDGE_TRACE)):
            again = self._look(image, scale, least)
            return replace(again, highest=max(again.highest, found.highest))
        return found[np.flatnonzero(found.scores >= least)]

    def _look_at_tiles(self, image: Image, scale: float, least: float) -> Iterator[Detections]:
        height, width = image.shape[:2]
        side, overlap = math.floor(TILE_SIDE / scale), math.ceil(TILE_OVERLAP / scale)
        for tile in tiles(width, height, side, overlap):
            part = image[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            found = self._look(part, scale, least).suppressed(SAME_FACE)
            yield tile.own(found.moved(tile.x, tile.y))

    def _look(self, image: Image, scale: float, least: float, *, room: bool = True) -> Detections:
        """Run the network once.

        Args:
            image: as for `detect`.
            scale: of the input, relative to the image.
            least: minimum score.
            room: see `_fitted`.
        """
        height, width = image.shape[:2]
        letterbox = _Letterbox(width, height, scale, room=room)
        found = self._engine.run_on(
            (1, *letterbox.shape, 3),
            lambda batch: letterbox.fill(batch, image),
            lambda outputs: _decoded(outputs, _anchors(*letterbox.shape), least),
        )
        return (
            found.moved(-letterbox.left, -letterbox.top)
            .scaled(width / letterbox.width, height / letterbox.height)
            .inside(width, height)
        )


def _doubtful_at_border(found: Detections, width: int, height: int) -> bool:
    """Whether a face may be cut off: those are seen better at a smaller scale."""
    beyond = (found.boxes < 0) | (found.boxes > np.array([width, height, width, height]))
    return _any_distinct(found, beyond.any(axis=1) & (found.scores < SURE))


def _any_distinct(found: Detections, rows: NDArray[np.bool_]) -> bool:
    """Whether any of these boxes, ``[N]``, is not a second one of a better one."""
    if not rows.any():
        return False
    distinct = distinct_faces(found.boxes, found.scores, found.landmarks, SAME_FACE)
    return bool(rows[distinct].any())


def _any_face(found: Detections) -> bool:
    return bool((found.scores >= SURE).any())


class _Letterbox:
    """An image resized and padded to the smallest shape that holds it.

    Attributes:
        width: of the resized image, pixels.
        height: of the resized image, pixels.
        shape: height and width of the network's input.
        left: where the image begins in the input, pixels.
        top: where the image begins in the input, pixels.
    """

    def __init__(self, width: int, height: int, scale: float, *, room: bool):
        self.width, self.height, self.shape = _fitted(width, height, scale, room=room)
        self.left = MARGIN
        self.top = min(MARGIN, max(0, self.shape[0] - self.height - ROOM))

    def fill(self, batch: NDArray[np.float32 | np.uint8], image: Image) -> None:
        """Write an image into a batch ``[1, H, W, 3]`` of floats or bytes."""
        resized = resize_quickly(image, self.width, self.height)
        bottom, right = self.top + self.height, self.left + self.width
        batch[0, : self.top] = batch[0, bottom:] = 0
        batch[0, self.top : bottom, : self.left] = batch[0, self.top : bottom, right:] = 0
        batch[0, self.top : bottom, self.left : right] = resized


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fitted(
    width: int, height: int, scale: float, *, room: bool = True
) -> tuple[int, int, tuple[int, int]]:
    """Fit an image into a shape with `ROOM`.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        scale: of the input, relative to the image.
        room: at top and bottom, where an image that is not scaled would need 32 more rows for it.

    Returns:
        Width and height of the scaled image, and height and width of the shape.
    """
    across, down = _scaled(width, height, scale)
    shape = _shape_for(down, MARGIN + across)
    inner = min((shape[0] - ROOM) / down, (shape[1] - ROOM - MARGIN) / across)
    if inner >= 1:
        return across, down, shape
    if scale == 1:  # padded, because resampling would blur the image
        rows = _multiple_of_32(down + ROOM if room else down)
        return across, down, (rows, _multiple_of_32(MARGIN + across + ROOM))
    return *_scaled(width, height, scale * inner), shape


def _shape_for(height: int, width: int) -> tuple[int, int]:
    fitting = [s for s in SHAPES if s[0] >= height and s[1] >= width]
    if fitting:
        return min(fitting, key=lambda s: s[0] * s[1])
    return _multiple_of_32(height), _multiple_of_32(width)


def _scale_of_one_run(width: int, height: int, scale: float) -> float:
    """Return ``scale``, or the largest one for which the input has at most `NETWORK_PIXELS`."""
    while (pixels := math.prod(_fitted(width, height, scale)[2])) > NETWORK_PIXELS:
        scale *= 0.99 * math.sqrt(NETWORK_PIXELS / pixels)
    return scale


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


def _decoded(outputs: Arrays, anchors: Float, least: float) -> Detections:
    """Decode the anchors with a score of at least ``least``.

    Args:
        outputs: see `RetinaFaceDetector`.
        anchors: see `_anchors`.
        least: minimum score.

    Returns:
        Detections in pixels of the input.
    """
    scores = outputs["scores"][0, :, 0]
    chosen = np.flatnonzero(scores >= least)
    chosen = chosen[top_k(scores[chosen])]
    boxes = _decode_boxes(outputs["boxes"][0, chosen], anchors[chosen])
    landmarks = _decode_landmarks(outputs["landmarks"][0, chosen], anchors[chosen])
    return Detections(boxes, scores[chosen], landmarks, highest=float(scores.max()))


def _decode_boxes(offsets: Float, anchors: Float) -> Float:
    centres = anchors[:, :2] + offsets[:, :2] * CENTRE_VARIANCE * anchors[:, 2:]
    sides = anchors[:, 2:] * np.exp(offsets[:, 2:] * SIZE_VARIANCE)
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1, dtype=np.float32)


def _decode_landmarks(offsets: Float, anchors: Float) -> Float:
    points = offsets.reshape(-1, 5, 2)
    landmarks = anchors[:, None, :2] + points * CENTRE_VARIANCE * anchors[:, None, 2:]
    return np.asarray(landmarks, np.float32)
