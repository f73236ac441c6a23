"""RetinaFace-MobileNetV2: from the frozen graph to LiteRT and a SavedModel.

Signature ``serving_default``:

* input ``image``: float32 [B, H, W, 3], RGB, 0 to 255; H and W multiples of 32 (pad on the right
  and at the bottom), B 1 in the LiteRT file. The graph scales to -1..1 itself.
* output ``boxes``: float32 [B, N, 4], offsets of centre and size from the anchors.
* output ``landmarks``: float32 [B, N, 10], offsets of five points (left eye, right eye, nose,
  left and right corner of the mouth, as seen in the image), x before y.
* output ``scores``: float32 [B, N, 2], softmax; column 1 is the probability of a face.

Anchors (settings of the project retinaface-tf2, read from the graph's own constants): for each
stride s of 8, 16, 32, row by row and column by column of the H/s by W/s grid, two squares with
sides 16 and 32, 64 and 128, or 256 and 512 pixels and the centre ((column + 0.5) s, (row + 0.5) s).
So N = 2 (H W / 64 + H W / 256 + H W / 1024). With an anchor (cx, cy, a) in pixels and variances 0.1
(positions) and 0.2 (sizes)::

    centre = (cx, cy) + 0.1 * box[0:2] * a
    size   = a * exp(0.2 * box[2:4])
    x1, y1 = centre - size / 2;  x2, y2 = centre + size / 2      (not clipped)
    point  = (cx, cy) + 0.1 * landmark * a

The graph is cut before this decoding, which it would do for all N anchors: the detector in
`age_gender.vision.detectors.retinaface` decodes the few above its threshold.

The LiteRT file is made for speed on a CPU. Its graph computes no shapes, so XNNPACK runs all of it
and resizing the input costs milliseconds. Backbone and pyramid are int8, which takes 0.6 times the
CPU time. The first layers and the heads stay float32: quantised, they move boxes twice as far and
miss small faces.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from modelbuild.export import (
    export,
    require_close,
    run_litert,
    run_saved_model,
)
from modelbuild.quantise import quantise

NAME = "retinaface"
GRAPH = "frozen_graph.pb"

_FIXED = (64, 64)
_INPUT = "x:0"
_RAW = (
    "RetinaFaceModel/tf_op_layer_concat/concat:0",
    "RetinaFaceModel/tf_op_layer_concat_1/concat_1:0",
    "RetinaFaceModel/softmax/Softmax:0",
)

RANGES = Path(__file__).with_name("retinaface_ranges.json")
"""Activation ranges on photos, see ``retinaface_ranges``."""
FLOAT_PARTS = (
    r".*/(SSH_\d|BboxHead_\d|LandmarkHead_\d|ClassHead_\d)/.*",
    r".*/(tf_op_layer_\w+|Conv1|Conv1_\w+|bn_Conv1|expanded_conv_\w+)/.*",
)
_COLUMNS = {"BboxHead": 4, "LandmarkHead": 10, "ClassHead": 2}

_TOLERANCE = {"boxes": 1e-3, "landmarks": 1e-3, "scores": 1e-4}
# Int8, on noise, which is harder than photos.
_INT8_TOLERANCE = {"boxes": 1.0, "landmarks": 1.0, "scores": 0.1}


def load_graph(path: Path, *outputs: str) -> Callable[[Any], list[Any]]:
    """Load a frozen graph as a function from the image tensor to the named tensors."""
    return _function(read_graph(path), outputs)


def load_static_graph(path: Path, *outputs: str) -> Callable[[Any], list[Any]]:
    """Like `load_graph`, without computed shapes."""
    return _function(_without_computed_shapes(read_graph(path)), outputs)


def read_graph(path: Path) -> Any:
    """Read a frozen graph as a ``GraphDef``."""
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


def _function(graph: Any, outputs: Sequence[str]) -> Callable[[Any], list[Any]]:
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    pruned: Callable[[Any], list[Any]] = whole.prune([_INPUT], list(outputs))
    return pruned


def _without_computed_shapes(graph: Any) -> Any:
    """Remove shape operations, which XNNPACK cannot run, from the graph.

    Upsampling by two to another tensor's shape becomes four copies of the channels and a
    depth-to-space. The heads are flattened to -1 rows.
    """
    for node in list(graph.node):
        head = node.name.split("/")[1].partition("_")[0] if "/" in node.name else ""
        if node.op == "ResizeNearestNeighbor":
            copies = graph.node.add(name=f"{node.name}/copies", op="ConcatV2")
            copies.input.extend([node.input[0]] * 4)
            copies.input.append(_constant(graph, f"{node.name}/axis", 3))
            copies.attr["N"].i = 4
            copies.attr["T"].type = tf.float32.as_datatype_enum
            copies.attr["Tidx"].type = tf.int32.as_datatype_enum
            node.Clear()
            node.name, node.op = copies.name.removesuffix("/copies"), "DepthToSpace"
            node.input.append(copies.name)
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["block_size"].i = 2
            node.attr["data_format"].s = b"NHWC"
        elif node.op == "Reshape" and head in _COLUMNS:
            node.input[1] = _constant(graph, f"{node.name}/rows", [1, -1, _COLUMNS[head]])
    return graph


def _constant(graph: Any, name: str, value: Any) -> str:
    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.int32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return name


def export_float(source: Path, target: Path, shape: tuple[int, int]) -> Path:
    """Write the graph of the LiteRT file, with float32 weights.

    Args:
        source: folder with the frozen graph.
        target: existing folder.
        shape: height and width of the input.

    Returns:
        The LiteRT file.
    """
    return _export(load_static_graph(source / GRAPH, *_RAW), target, (1, *shape))


def _export(raw: Callable[[Any], list[Any]], target: Path, shape: tuple[int | None, ...]) -> Path:
    """Write both forms of a graph for inputs of this shape, None where it is free."""

    def detect(image: Any) -> dict[str, Any]:
        return dict(zip(_TOLERANCE, raw(image), strict=True))

    spec = tf.TensorSpec([*shape, 3], tf.float32, name="image")
    export(detect, spec, target, NAME, float16=False)
    return target / f"{NAME}.tflite"


def convert(source: Path, target: Path) -> None:
    """Write ``retinaface.tflite`` and ``retinaface/`` into `target`, and check both.

    Args:
        source: folder with the frozen graph.
        target: existing empty folder.

    Raises:
        ModelBuildError: a converted form disagrees with the frozen graph.
    """
    # Not the shape of the original graph, and not square, so that swapped sides are noticed.
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 160, 3)).astype(np.float32)
    raw = load_graph(source / GRAPH, *_RAW)(tf.constant(images))
    both = {key: value.numpy() for key, value in zip(_TOLERANCE, raw, strict=True)}
    image, expected = images[:1], {key: value[:1] for key, value in both.items()}

    # LiteRT can resize any input, and fixed shapes convert without -1 dimensions.
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        fixed = export_float(source, Path(scratch), _FIXED)
        require_close("LiteRT", expected, run_litert(fixed, image), _TOLERANCE)
        quantise(fixed, json.loads(RANGES.read_bytes()), FLOAT_PARTS)
        require_close("LiteRT, int8", expected, run_litert(fixed, image), _INT8_TOLERANCE)
        # GPUs compute shapes, and take pictures in batches.
        _export(load_graph(source / GRAPH, *_RAW), target, (None, None, None))
        fixed.replace(target / fixed.name)
    require_close("SavedModel", both, run_saved_model(target / NAME, images), _TOLERANCE)
