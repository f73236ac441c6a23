"""The published RetinaFace: its weights, each normalisation folded into its convolution."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import tensor_util

from modelbuild.weights import Weights

GRAPH = "frozen_graph.pb"
SLOPE = 0.1
"""Of its pyramid's activations below zero (leaky ReLU)."""
HALF = 127.5
"""Half of the range of pixels, which it scales to -1 to 1."""

_HEADS = {"BboxHead": "boxes", "LandmarkHead": "landmarks", "ClassHead": "logits"}
_LEFT_OUT = ("RetinaFaceModel", "MobileNetV2_extrator", "Conv2D", "depthwise", "conv")

Array = NDArray[np.float32]


def read_graph(path: Path) -> Any:
    """Read a frozen graph as a ``GraphDef``."""
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


def folded(graph: Any) -> Weights:
    """Return the weights of a frozen graph, each normalisation folded into its convolution.

    Args:
        graph: ``GraphDef``.

    Returns:
        ``LAYER/kernel`` ``[O, I, H, W]`` and ``LAYER/bias`` ``[O]``; the heads of each level as
        ``heads/boxes_0``, ``heads/landmarks_0`` and ``heads/logits_0``, of a face against none.
    """
    nodes = {node.name: node for node in graph.node}
    following = {i.split(":")[0]: node for node in graph.node for i in node.input}
    weights: Weights = {}
    for node in graph.node:
        if node.op not in ("Conv2D", "DepthwiseConv2dNative"):
            continue
        kernel = _constant(nodes, node.input[1])
        after = following[node.name]
        values = [_constant(nodes, name) for name in after.input[1:]]
        if after.op == "BiasAdd":
            scale, bias = np.ones_like(values[0]), values[0]
        else:
            gamma, beta, mean, variance = values
            scale = gamma / np.sqrt(variance + after.attr["epsilon"].f)
            bias = beta - mean * scale
        # TensorFlow has the outputs of a depthwise convolution in the third place.
        order = (3, 2, 0, 1) if node.op == "Conv2D" else (2, 3, 0, 1)
        kernel = kernel.transpose(order) * scale[:, None, None, None]
        layer, kernel, bias = _renamed(node.name, kernel, bias)
        weights[f"{layer}/kernel"] = kernel.astype(np.float32)
        weights[f"{layer}/bias"] = bias.astype(np.float32)
    return weights


def _constant(nodes: dict[str, Any], name: str) -> Array:
    node = nodes[name.split(":")[0]]
    while node.op == "Identity":
        node = nodes[node.input[0]]
    return np.asarray(tensor_util.MakeNdarray(node.attr["value"].tensor), np.float32)


def _renamed(name: str, kernel: Array, bias: Array) -> tuple[str, Array, Array]:
    """Shorten a layer's name; of two logits an anchor, keep the difference."""
    short = "/".join(part for part in name.split("/") if part not in _LEFT_OUT)
    if (head := re.fullmatch(r"(\w+Head)_(\d)/.*", short)) is None:
        return short, kernel, bias
    part = _HEADS[head[1]]
    if part == "logits":
        kernel, bias = kernel[1::2] - kernel[::2], bias[1::2] - bias[::2]
    return f"heads/{part}_{head[2]}", kernel, bias


def for_pixels(weights: Weights) -> Weights:
    """Weights for pixels of 0 to 1 from those for pixels of -1 to 1.

    What pads the picture at the right and at the bottom is then black instead of grey, so the last
    row and column of the first layer differ.
    """
    kernel, bias = weights["Conv1/kernel"], weights["Conv1/bias"]
    return weights | {
        "Conv1/kernel": kernel * np.float32(2),
        "Conv1/bias": bias - kernel.sum((1, 2, 3)),
    }
