"""The face detector, a faster RetinaFace: from its weights to LiteRT and a SavedModel.

Signature ``serving_default``:

* input ``image``: float32 [B, H, W, 3], RGB, 0 to 255; H and W multiples of 32 (pad on the right
  and at the bottom). In the LiteRT file B is 1, and pixels are int8, less 128.
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

The published network spends half its time on its first layers, at strides 2 to 8, with few weights.
Here squares of 4x4 pixels are the samples of a first 3x3 convolution, and the blocks up to the
fifth are dense 3x3 convolutions, for which processors have int8 instructions. The other blocks are
narrower, with ReLU for leaky ReLU and a sigmoid for softmax. ``training/detector`` taught it to
give the published network's answers.

All but the heads is int8 in the LiteRT file. The first layers' weights were rounded where they were
trained, and the ranges of the activations come with the weights (``training/detector/rounding``).
The file computes no shapes, so XNNPACK runs all of it and resizing the input costs milliseconds.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from modelbuild.errors import ModelBuildError
from modelbuild.export import SIGNATURE, export, require_close, run_litert, run_saved_model
from modelbuild.quantise import Ranges, computed, quantise, rearrange_in_int8, take_int8
from modelbuild.retinaface_layers import (
    BLOCKS,
    BRIGHTEST,
    COLUMNS,
    MAPS,
    PATCH,
    STRIDE_2,
    stem_layers,
)
from modelbuild.weights import LIMITS, Weights, load

PATCHES = "stem1"
"""The convolution that they go to; its weights are for pixels of 0 to 1."""
PIXELS = (0.0, BRIGHTEST)
INPUT = f"{SIGNATURE}_image:0"
"""Tensor of the LiteRT file that holds the pixels."""
FLOAT_PARTS = (r"(heads_\w+|answers\w*)/.*", r"\w*PartitionedCall:\d")

_FIXED = (64, 64)
_TOLERANCE = {"boxes": 1e-3, "landmarks": 1e-3, "scores": 1e-4}
# Int8, on noise, which is harder than photos.
_INT8_TOLERANCE = {"boxes": 1.0, "landmarks": 2.0, "scores": 0.1}


Activation = Callable[[Any], Any] | None


class Network:
    """RetinaFace as a function of TensorFlow; the weights decide which layers it has."""

    def __init__(self, weights: Weights, *, slope: float = 0.0, batches: bool = False):
        """Take the weights.

        Args:
            weights: ``LAYER/kernel`` ``[O, I, H, W]`` and ``LAYER/bias`` ``[O]``.
            slope: of the pyramid's activations below zero.
            batches: whether it takes several images, for which it has to compute a shape, which
                XNNPACK cannot do.
        """
        self._weights = weights
        self._slope = slope
        self._batches = batches

    def __call__(self, image: Any) -> dict[str, Any]:
        """Return ``boxes``, ``landmarks`` and ``scores`` of images ``[B, H, W, 3]``."""
        answers = self.answers(self.maps(image))
        with tf.name_scope("answers"):
            answers["scores"] = tf.sigmoid(answers.pop("logits"))
        return answers

    def maps(self, image: Any) -> list[Any]:
        """Return the backbone's maps at strides 8, 16 and 32."""
        x = self.first_layers(image)
        taps = []
        for number in BLOCKS:
            if not self._has(f"block_{number}_project"):
                continue
            x = self._block(f"block_{number}", x, 2 if number in STRIDE_2 else 1)
            if number in MAPS.values():
                taps.append(x)
        return taps

    def answers(self, maps: Sequence[Any]) -> dict[str, Any]:
        """Return ``boxes``, ``landmarks`` and ``logits`` from the maps of `maps`."""
        found: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for level, x in enumerate(self._pyramid(*maps)):
            ssh = f"SSH_{level}/ConvBN"
            y = self._leaky(f"{ssh}_1", x)
            z = self._leaky(f"{ssh}_3", y)
            parts = [(ssh, x), (f"{ssh}_2", y), (f"{ssh}_4", z)]
            contexts = [self._layer(layer, source, 1, tf.nn.relu) for layer, source in parts]
            with tf.name_scope(f"SSH_{level}"):
                context = tf.concat(contexts, 3)
            for name, columns in COLUMNS.items():
                y = self._layer(f"heads/{name}_{level}", context)
                with tf.name_scope("answers"):
                    images = tf.shape(y)[0] if self._batches else 1
                    found[name].append(tf.reshape(y, [images, -1, columns]))
        with tf.name_scope("answers"):
            return {name: tf.concat(parts, 1) for name, parts in found.items()}

    def first_layers(self, image: Any) -> Any:
        """Return the map that the blocks start from."""
        if not self._has(PATCHES):
            x = self._clipped("expanded_conv_depthwise", self._clipped("Conv1", image, 2))
            return self._layer("expanded_conv_project", x)
        with tf.name_scope("patches"):
            x = tf.nn.space_to_depth(image, PATCH)
        for layer in stem_layers(self._weights):
            x = self._clipped(layer, x)
        return x

    def _block(self, name: str, x: Any, stride: int) -> Any:
        if self._has(f"{name}_fused"):
            y = self._clipped(f"{name}_fused", x, stride)
        else:
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

    def _has(self, layer: str) -> bool:
        return f"{layer}/kernel" in self._weights

    def _clipped(self, layer: str, x: Any, stride: int = 1) -> Any:
        return self._layer(layer, x, stride, tf.nn.relu6)

    def _leaky(self, layer: str, x: Any) -> Any:
        if not self._slope:
            return self._layer(layer, x, 1, tf.nn.relu)
        return self._layer(layer, x, 1, lambda y: tf.nn.leaky_relu(y, self._slope))

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


def for_pixels(weights: Weights) -> Weights:
    """Weights for pixels of 0 to 255 from those for pixels of 0 to 1."""
    kernel = f"{PATCHES}/kernel"
    return weights | {kernel: weights[kernel] / np.float32(BRIGHTEST)}


def layer_of(tensor: str) -> str:
    """The scope of a tensor of the LiteRT file: the layer that computes it."""
    return tensor.partition("/")[0]


def ranges(tensors: Iterable[str], weights: Weights) -> Ranges:
    """Ranges of the activations that become int8.

    Args:
        tensors: names of all that the float32 LiteRT file of `Network` computes.
        weights: with limits.

    Raises:
        ModelBuildError: they do not belong together.
    """
    limits = {
        _scope(name.removeprefix(LIMITS)): (float(array[0]), float(array[1]))
        for name, array in weights.items()
        if name.startswith(LIMITS)
    }
    copied = {"FPN_add": "FPN_ConvBN_2", "FPN_add_1": "FPN_ConvBN_3"}
    found: Ranges = {INPUT: PIXELS}
    used = set()
    for tensor in tensors:
        name, scope = tensor.split(";")[0], layer_of(tensor)
        if any(re.match(part, tensor) for part in FLOAT_PARTS):
            continue
        if scope == "patches":
            found[tensor] = PIXELS
            continue
        if scope in copied and not name.endswith("/add"):
            scope = copied[scope]
        parts = [f"{scope}_ConvBN{part}" for part in ("", "_2", "_4")]
        sources = parts if scope.startswith("SSH") and name.endswith("/concat") else [scope]
        if missing := [source for source in sources if source not in limits]:
            raise ModelBuildError(f"no range is known of {missing[0]}")
        used.update(sources)
        found[tensor] = _union([limits[source] for source in sources])
    if unused := limits.keys() - used:
        raise ModelBuildError(f"there are no layers {', '.join(sorted(unused))}")
    return found


def _union(limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in limits), max(high for _, high in limits)


def convert(source: Path, target: Path) -> None:
    """Write ``NAME.tflite`` and ``NAME/`` into `target`, and check both.

    Args:
        source: ``own/NAME.npz``.
        target: existing folder.

    Raises:
        ModelBuildError: a converted form disagrees with the weights' function.
    """
    name, weights = source.stem, for_pixels(load(source))
    # Not square, so that swapped sides are noticed.
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 160, 3)).astype(np.float32)
    several = Network(weights, batches=True)
    both = {key: value.numpy() for key, value in several(tf.constant(images)).items()}
    image, expected = images[:1], {key: value[:1] for key, value in both.items()}
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        # LiteRT can resize any input, and fixed shapes convert without -1 dimensions.
        export(Network(weights), _spec(1, *_FIXED), Path(scratch), name, float16=False)
        fixed = Path(scratch) / f"{name}.tflite"
        require_close("LiteRT", expected, run_litert(fixed, image), _TOLERANCE)
        quantise(fixed, ranges(computed(fixed), weights), FLOAT_PARTS)
        rearrange_in_int8(fixed)
        require_close("LiteRT, int8", expected, run_litert(fixed, image), _INT8_TOLERANCE)
        take_int8(fixed)
        # GPUs compute shapes, and take images in batches.
        export(several, _spec(None, None, None), target, name, float16=False)
        fixed.replace(target / fixed.name)
    require_close("SavedModel", both, run_saved_model(target / name, images), _TOLERANCE)


def _spec(*shape: int | None) -> Any:
    return tf.TensorSpec([*shape, 3], tf.float32, name="image")
