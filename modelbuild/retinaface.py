"""RetinaFace-MobileNetV2: from the frozen graph to LiteRT and a SavedModel.

Signature ``serving_default``:

* input ``image``: float32 [B, H, W, 3], RGB, 0 to 255; H and W multiples of 32 (pad on the right
  and at the bottom), B 1 in the LiteRT file.
* output ``boxes``: float32 [B, N, 4], offsets of centre and size from the anchors.
* output ``landmarks``: float32 [B, N, 10], offsets of five points (left eye, right eye, nose,
  left and right corner of the mouth, as seen in the image), x before y.
* output ``scores``: float32 [B, N, 1], probability of a face.

Anchors (settings of the project retinaface-tf2, read from the graph's own constants): for each
stride s of 8, 16, 32, row by row and column by column of the H/s by W/s grid, two squares with
sides 16 and 32, 64 and 128, or 256 and 512 pixels and the centre ((column + 0.5) s, (row + 0.5) s).
So N = 2 (H W / 64 + H W / 256 + H W / 1024). With an anchor (cx, cy, a) in pixels and variances 0.1
(positions) and 0.2 (sizes)::

    centre = (cx, cy) + 0.1 * box[0:2] * a
    size   = a * exp(0.2 * box[2:4])
    x1, y1 = centre - size / 2;  x2, y2 = centre + size / 2      (not clipped)
    point  = (cx, cy) + 0.1 * landmark * a

The network ends before this decoding, which it would do for all N anchors: the detector in
`age_gender.vision.detectors.retinaface` decodes the few above its threshold.

The network is rebuilt from its weights, which `modelbuild.retinaface_weights` makes cheaper to run.
The LiteRT file is made for speed on a CPU: it computes no shapes, so XNNPACK runs all of it and
resizing the input costs milliseconds. Backbone and pyramid are int8, which takes 0.6 times the CPU
time. The first layers and the heads stay float32: quantised, they move boxes twice as far and miss
small faces.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from modelbuild.errors import ModelBuildError
from modelbuild.export import export, require_close, run_litert, run_saved_model
from modelbuild.quantise import Ranges, computed, quantise
from modelbuild.retinaface_weights import (
    CLIP,
    FIRST,
    HALF,
    SECOND,
    Weights,
    folded,
    for_pixels,
    read_graph,
    simplified,
)

NAME = "retinaface"
GRAPH = "frozen_graph.pb"
BLOCKS = range(1, 16)
"""Numbers of the blocks, as MobileNetV2 counts them."""
TAPS = (5, 12, 15)
"""Blocks whose outputs, at strides 8, 16 and 32, the pyramid is made of."""
STRIDE_2 = (1, 3, 6, 13)
SLOPE = 0.1
"""Of leaky ReLU below zero."""
COLUMNS = {"boxes": 4, "landmarks": 10, "logits": 1}
RANGES = Path(__file__).with_name("retinaface_ranges.json")
"""Ranges of the layers' outputs on photos, see ``retinaface_ranges``."""
FLOAT_PARTS = (
    rf"({FIRST}|{SECOND}|SSH_\d\w*|heads_\w+|answers\w*)/.*",
    r"\w*PartitionedCall:\d",
)

_FIXED = (64, 64)
_INPUT = "x:0"
_RAW = (
    "RetinaFaceModel/tf_op_layer_concat/concat:0",
    "RetinaFaceModel/tf_op_layer_concat_1/concat_1:0",
    "RetinaFaceModel/softmax/Softmax:0",
)
_TOLERANCE = {"boxes": 1e-3, "landmarks": 1e-3, "scores": 1e-4}
# Int8, on noise, which is harder than photos.
_INT8_TOLERANCE = {"boxes": 1.0, "landmarks": 1.0, "scores": 0.1}


Activation = Callable[[Any], Any] | None


class Network:
    """RetinaFace as a function of TensorFlow."""

    def __init__(self, weights: Weights, *, batches: bool = False):
        """Take the weights.

        Args:
            weights: ``LAYER/kernel`` ``[O, I, H, W]`` and ``LAYER/bias`` ``[O]``, from
                `modelbuild.retinaface_weights`.
            batches: whether it takes several images, for which it has to compute a shape, which
                XNNPACK cannot do.
        """
        self._weights = weights
        self._batches = batches

    def __call__(self, image: Any) -> dict[str, Any]:
        """Return ``boxes``, ``landmarks`` and ``scores`` of images ``[B, H, W, 3]``."""
        x = self._clipped(SECOND, self._clipped(FIRST, image, 2))
        taps = []
        for number in BLOCKS:
            x = self._block(f"block_{number}", x, 2 if number in STRIDE_2 else 1)
            if number in TAPS:
                taps.append(x)
        return self._answers(self._pyramid(*taps))

    def _block(self, name: str, x: Any, stride: int) -> Any:
        y = self._clipped(f"{name}_expand", x)
        y = self._clipped(f"{name}_depthwise", y, stride)
        y = self._layer(f"{name}_project", y)
        if stride == 1 and y.shape[-1] == x.shape[-1]:
            with tf.name_scope(f"{name}_add"):
                return x + y
        return y

    def _pyramid(self, c3: Any, c4: Any, c5: Any) -> list[Any]:
        p5 = self._leaky("FPN/ConvBN_2", c5)
        p4 = self._sum("FPN/add", self._leaky("FPN/ConvBN_1", c4), p5)
        p4 = self._leaky("FPN/ConvBN_3", p4)
        p3 = self._sum("FPN/add_1", self._leaky("FPN/ConvBN", c3), p4)
        return [self._leaky("FPN/ConvBN_4", p3), p4, p5]

    def _sum(self, name: str, fine: Any, coarse: Any) -> Any:
        """Add a map of half the size, each value to four.

        Without computed shapes, which XNNPACK cannot run: four copies of the channels become 2x2
        positions.
        """
        with tf.name_scope(_scope(name)):
            return fine + tf.nn.depth_to_space(tf.concat([coarse] * 4, 3), 2)

    def _answers(self, pyramid: list[Any]) -> dict[str, Any]:
        answers: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for level, x in enumerate(pyramid):
            ssh = f"SSH_{level}/ConvBN"
            y = self._leaky(f"{ssh}_1", x)
            z = self._leaky(f"{ssh}_3", y)
            parts = [(ssh, x), (f"{ssh}_2", y), (f"{ssh}_4", z)]
            contexts = [self._layer(layer, source) for layer, source in parts]
            with tf.name_scope(f"SSH_{level}"):
                context = tf.nn.relu(tf.concat(contexts, 3))
            for name, columns in COLUMNS.items():
                y = self._layer(f"heads/{name}_{level}", context)
                with tf.name_scope("answers"):
                    images = tf.shape(y)[0] if self._batches else 1
                    answers[name].append(tf.reshape(y, [images, -1, columns]))
        with tf.name_scope("answers"):
            joined = {name: tf.concat(parts, 1) for name, parts in answers.items()}
            return {
                "boxes": joined["boxes"],
                "landmarks": joined["landmarks"],
                "scores": tf.sigmoid(joined["logits"]),
            }

    def _clipped(self, layer: str, x: Any, stride: int = 1) -> Any:
        return self._layer(layer, x, stride, tf.nn.relu6)

    def _leaky(self, layer: str, x: Any) -> Any:
        return self._layer(layer, x, 1, lambda y: tf.nn.leaky_relu(y, SLOPE))

    def _layer(self, layer: str, x: Any, stride: int = 1, activation: Activation = None) -> Any:
        """Convolve, add the bias and apply the activation, all in the layer's scope."""
        kernel, bias = self._weights[f"{layer}/kernel"], self._weights[f"{layer}/bias"]
        with tf.name_scope(_scope(layer)):
            if kernel.shape[1] == 1 and x.shape[-1] > 1:
                kernel = kernel.transpose(2, 3, 0, 1)
                y = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
            else:
                y = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "SAME")
            y = tf.nn.bias_add(y, bias)
            return y if activation is None else activation(y)


def _scope(layer: str) -> str:
    return layer.replace("/", "_")


def export_float(weights: Weights, target: Path, shape: tuple[int, int]) -> Path:
    """Write the network of the LiteRT file, with float32 weights.

    Args:
        weights: for pixels of 0 to 255.
        target: existing folder.
        shape: height and width of the input.

    Returns:
        The LiteRT file.
    """
    export(Network(weights), _spec(1, *shape), target, NAME, float16=False)
    return target / f"{NAME}.tflite"


def _spec(*shape: int | None) -> Any:
    return tf.TensorSpec([*shape, 3], tf.float32, name="image")


def layer_of(tensor: str) -> str:
    """The scope of a tensor of the LiteRT file: the layer that computes it."""
    return tensor.partition("/")[0]


def ranges(tensors: Iterable[str], limits: Mapping[str, Sequence[float]]) -> Ranges:
    """Ranges of the activations that become int8.

    Args:
        tensors: names of all that the float32 LiteRT file of `Network` computes.
        limits: lowest and highest output of each linear layer and sum, before any activation.

    Raises:
        ModelBuildError: they do not belong together.
    """
    scopes = {_scope(layer): (low, high) for layer, (low, high) in limits.items()}
    copied = {"FPN_add": "FPN_ConvBN_2", "FPN_add_1": "FPN_ConvBN_3"}
    found: Ranges = {}
    used = set()
    for tensor in tensors:
        name, scope = tensor.split(";")[0], layer_of(tensor)
        if "Relu6" in name:
            found[tensor] = (0.0, CLIP)
            continue
        if any(re.match(part, tensor) for part in FLOAT_PARTS):
            continue
        used.add(scope)
        if scope in copied and not name.endswith("/add"):
            found[tensor] = _leaked(scopes[copied[scope]])
        elif scope not in scopes:
            raise ModelBuildError(f"no range is known of {tensor}")
        else:
            found[tensor] = _leaked(scopes[scope]) if "Leaky" in name else scopes[scope]
    if unused := scopes.keys() - used:
        raise ModelBuildError(f"there are no layers {', '.join(sorted(unused))}")
    return found


def _leaked(limit: tuple[float, float]) -> tuple[float, float]:
    return limit[0] * SLOPE, limit[1]


def original(path: Path, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What the frozen graph says of images, in the form of `Network`."""
    graph = read_graph(path)
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    boxes, landmarks, scores = whole.prune([_INPUT], list(_RAW))(tf.constant(images))
    return {
        "boxes": boxes.numpy(),
        "landmarks": landmarks.numpy(),
        "scores": scores.numpy()[:, :, 1:],
    }


def convert(source: Path, target: Path) -> None:
    """Write ``retinaface.tflite`` and ``retinaface/`` into `target`, and check both.

    Args:
        source: folder with the frozen graph.
        target: existing empty folder.

    Raises:
        ModelBuildError: the rebuilt network disagrees with the frozen graph, or a converted form
            with the rebuilt network.
    """
    weights = simplified(folded(read_graph(source / GRAPH)))
    # Not square, so that swapped sides are noticed.
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 160, 3)).astype(np.float32)
    scaled = Network(weights, batches=True)(images / np.float32(HALF) - 1)
    rebuilt = {key: value.numpy() for key, value in scaled.items()}
    require_close("rebuilt network", original(source / GRAPH, images), rebuilt, _TOLERANCE)

    weights = for_pixels(weights)
    several = Network(weights, batches=True)
    both = {key: value.numpy() for key, value in several(images).items()}
    image, expected = images[:1], {key: value[:1] for key, value in both.items()}
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        # LiteRT can resize any input, and fixed shapes convert without -1 dimensions.
        fixed = export_float(weights, Path(scratch), _FIXED)
        require_close("LiteRT", expected, run_litert(fixed, image), _TOLERANCE)
        limits = json.loads(RANGES.read_bytes())
        quantise(fixed, ranges(computed(fixed), limits), FLOAT_PARTS)
        require_close("LiteRT, int8", expected, run_litert(fixed, image), _INT8_TOLERANCE)
        # GPUs compute shapes, and take images in batches.
        export(several, _spec(None, None, None), target, NAME, float16=False)
        fixed.replace(target / fixed.name)
    require_close("SavedModel", both, run_saved_model(target / NAME, images), _TOLERANCE)
