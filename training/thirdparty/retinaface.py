"""RetinaFace-MobileNetV2: from the frozen graph to LiteRT and a SavedModel.

Signature ``serving_default``:

* input ``image``: float32 [1, H, W, 3], RGB, 0 to 255; H and W multiples of 32 (pad on the right
  and at the bottom). The graph scales to -1..1 itself.
* output ``boxes``: float32 [1, N, 4], offsets of centre and size against the anchors.
* output ``landmarks``: float32 [1, N, 10], offsets of five points (left eye, right eye, nose,
  left and right corner of the mouth, as seen in the picture), x before y.
* output ``scores``: float32 [1, N, 2], softmax; column 1 is the probability of a face.

Anchors (settings of the project retinaface-tf2, read from the graph's own constants): for each
stride s of 8, 16, 32, row by row and column by column of the H/s by W/s grid, two squares with
sides 16 and 32, 64 and 128, or 256 and 512 pixels and the centre ((column + 0.5) s, (row + 0.5) s).
So N = 2 (H W / 64 + H W / 256 + H W / 1024). With an anchor (cx, cy, a) in pixels and variances 0.1
(places) and 0.2 (sizes)::

    centre = (cx, cy) + 0.1 * box[0:2] * a
    size   = a * exp(0.2 * box[2:4])
    x1, y1 = centre - size / 2;  x2, y2 = centre + size / 2      (not clipped)
    point  = (cx, cy) + 0.1 * landmark * a

The cut is made before this decoding: the graph would decode all N anchors, and the caller needs
only the few above its threshold. `decode` is the reference for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.thirdparty.export import (
    export,
    require_close,
    run_litert,
    run_saved_model,
)

NAME = "retinaface"
GRAPH = "frozen_graph.pb"
STRIDES = (8, 16, 32)
ANCHOR_SIDES = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2

_INPUT = "x:0"
_RAW = (
    "RetinaFaceModel/tf_op_layer_concat/concat:0",
    "RetinaFaceModel/tf_op_layer_concat_1/concat_1:0",
    "RetinaFaceModel/softmax/Softmax:0",
)
# All anchors after the graph's own decoding, before its non-maximum suppression:
# [N, 16] = box (4), landmarks (10), constant one, score; coordinates relative to W and H.
_DECODED = "RetinaFaceModel/tf_op_layer_concat_10/concat_10:0"

_TOLERANCE = {"boxes": 1e-3, "landmarks": 1e-3, "scores": 1e-4}


def load_graph(path: Path, *outputs: str) -> Callable[[Any], list[Any]]:
    """Function from the image tensor to the named tensors of a frozen graph."""
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    pruned: Callable[[Any], list[Any]] = whole.prune([_INPUT], list(outputs))
    return pruned


def anchors(height: int, width: int) -> NDArray[np.float32]:
    """Anchors [N, 3] (centre x, centre y, side) in pixels for an image whose sides 32 divides."""
    levels = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        rows, columns, side = np.meshgrid(
            (np.arange(height // stride) + 0.5) * stride,
            (np.arange(width // stride) + 0.5) * stride,
            sides,
            indexing="ij",
        )
        levels.append(np.stack([columns, rows, side], axis=-1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float32)


def decode(
    boxes: NDArray[np.float32], landmarks: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes [N, 4] (x1, y1, x2, y2) and points [N, 5, 2] in pixels from the raw offsets."""
    grid = anchors(height, width)
    centre, side = grid[:, :2], grid[:, 2:]
    middle = centre + CENTRE_VARIANCE * boxes[:, :2] * side
    half = side * np.exp(SIZE_VARIANCE * boxes[:, 2:]) / 2
    offsets = CENTRE_VARIANCE * landmarks.reshape(-1, 5, 2) * side[:, None]
    return np.concatenate([middle - half, middle + half], axis=1), centre[:, None] + offsets


def convert(source: Path, target: Path) -> None:
    """Write ``retinaface.tflite`` and ``retinaface/`` into `target` and try them.

    Args:
        source: folder with the frozen graph.
        target: existing empty folder.

    Raises:
        ModelBuildError: a converted form does not answer as the frozen graph does.
    """
    raw = load_graph(source / GRAPH, *_RAW)

    def detect(image: Any) -> dict[str, Any]:
        return dict(zip(("boxes", "landmarks", "scores"), raw(image), strict=True))

    spec = tf.TensorSpec([1, None, None, 3], tf.float32, name="image")
    # float32: on photos, float16 weights move boxes by up to 0.3 pixels and scores by up to 0.02.
    # The chips cut from such boxes change ages by up to 0.2 years, for 3 MB saved.
    export(detect, spec, target, NAME, float16=False)

    # A shape that the graph was not built for, and not a square: the sides must not be mixed up.
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 160, 3)).astype(np.float32)
    expected = {key: value.numpy() for key, value in detect(tf.constant(image)).items()}
    require_close("SavedModel", expected, run_saved_model(target / NAME, image), _TOLERANCE)
    require_close("LiteRT", expected, run_litert(target / f"{NAME}.tflite", image), _TOLERANCE)
