"""HSE FaceRes (age, gender, embedding): from the TensorFlow.js graph to Keras and LiteRT.

Signature ``serving_default``:

* input ``chips``: float32 [N, 224, 224, 3], RGB, 0 to 255.
* output ``age``: float32 [N, 100], softmax; entry i stands for i + 1 years, as its authors count.
* output ``gender``: float32 [N, 1], probability of male.
* output ``embedding``: float32 [N, 1024], global average of the last feature map.

The network is MobileNet-v1 (width 1) with a 256-unit head, all batch normalisation folded, trained
on BGR minus a mean colour. `build_faceres` gives it as a Keras model that can be trained further
and at other input sizes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseDict
from numpy.typing import NDArray

from modelbuild.errors import ModelBuildError
from modelbuild.export import (
    Arrays,
    export,
    require_close,
    run_litert,
    run_saved_model,
)

NAME = "faceres"
DEEP = "faceres-deep"
"""The same network with all layers fitted to age and gender; our training starts between them."""
INPUT_SIZE = 224
MEAN_RGB = (131.125, 103.875, 91.5)
"""Mean colour of VGGFace2 (131.0912, 103.8827, 91.4953), rounded to float16 precision."""
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Output channels and stride of the 13 depthwise-separable blocks."""

Weights = Mapping[str, NDArray[np.float32]]
Layers = dict[str, list[NDArray[np.float32]]]
"""Kernel and bias by the name of a Keras layer."""

_TOLERANCE = {"age": 1e-4, "gender": 1e-4, "embedding": 1e-4}
# Against the original, for weights rounded to float16 once more.
_FLOAT16_TOLERANCE = {"age": 5e-3, "gender": 5e-3, "embedding": 5e-2}


def load_weights(folder: Path, name: str = NAME) -> Weights:
    """Read the weights of a TensorFlow.js model, by name, as float32.

    Args:
        folder: with ``NAME.json`` and ``NAME.bin``.
        name: `NAME` or `DEEP`.

    Raises:
        ModelBuildError: the two files do not match.
    """
    manifest = json.loads((folder / f"{name}.json").read_bytes())["weightsManifest"]
    blob = (folder / f"{name}.bin").read_bytes()
    weights = {}
    offset = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        dtype = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if offset + count * dtype.itemsize > len(blob):
            raise ModelBuildError(f"{name}.bin ends before weight '{entry['name']}'")
        flat = np.frombuffer(blob, dtype, count, offset)
        weights[entry["name"]] = flat.reshape(entry["shape"]).astype(np.float32)
        offset += flat.nbytes
    if offset != len(blob):
        raise ModelBuildError(f"{name}.bin has {len(blob) - offset} bytes too many")
    return weights


def midpoint(folder: Path) -> Layers:
    """Average the weights of `NAME` and `DEEP`, by layer.

    Both were fitted from one backbone, so their mean works too, and is a better starting point
    than either (Wortsman et al., "Model soups", ICML 2022).
    """
    one, other = (layer_weights(load_weights(folder, name)) for name in (NAME, DEEP))
    half = np.float32(0.5)
    return {
        layer: [(a + b) * half for a, b in zip(one[layer], other[layer], strict=True)]
        for layer in one
    }


def build_faceres(layers: Layers | None, input_size: int = INPUT_SIZE) -> keras.Model:
    """Build the network as a Keras model with the given weights.

    The layers are ``conv1``, ``conv_dw_1``, ``conv_pw_1`` to ``conv_dw_13``, ``conv_pw_13`` (each
    followed by its ``..._relu``), ``embedding`` (global average), ``feats``, ``age``, ``gender``.

    Args:
        layers: from `layer_weights`; None leaves random ones.
        input_size: side of the chips in pixels; the original was trained with 224.

    Returns:
        Model from ``chips`` float32 [N, S, S, 3], RGB 0 to 255, to the dict ``age`` [N, 100],
        ``gender`` [N, 1], ``embedding`` [N, 1024].
    """
    chips = keras.Input((input_size, input_size, 3), name="chips")
    # Cannot be folded into the bias of conv1, which pads with zeros after it.
    x = keras.layers.Rescaling(1.0, offset=[-mean for mean in MEAN_RGB], name="centred")(chips)
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", name="conv1")(x)
    x = keras.layers.ReLU(6.0, name="conv1_relu")(x)
    for block, (filters, stride) in enumerate(BLOCKS, start=1):
        name = f"conv_dw_{block}"
        x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", name=name)(x)
        x = keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
        name = f"conv_pw_{block}"
        x = keras.layers.Conv2D(filters, 1, name=name)(x)
        x = keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(x)
    feats = keras.layers.Dense(256, activation="relu", name="feats")(embedding)
    outputs = {
        "age": keras.layers.Dense(100, activation="softmax", name="age")(feats),
        "gender": keras.layers.Dense(1, activation="sigmoid", name="gender")(feats),
        "embedding": embedding,
    }
    model = keras.Model(chips, outputs, name=NAME)
    for layer, arrays in (layers or {}).items():
        model.get_layer(layer).set_weights(arrays)
    return model


def layer_weights(weights: Weights) -> Layers:
    """Kernel and bias by Keras layer name.

    Args:
        weights: from `load_weights`.
    """

    def convolution(name: str) -> list[NDArray[np.float32]]:
        return [weights[f"{name}/convolution/merged_input"], weights[f"{name}_bn/batchnorm_1/sub"]]

    kernel, bias = convolution("conv1")
    layers = {"conv1": [kernel[:, :, ::-1], bias]}  # the original takes BGR
    for block in range(1, len(BLOCKS) + 1):
        name = f"conv_dw_{block}"
        scale = weights[f"{name}_bn/batchnorm_1/mul"]
        layers[name] = [
            weights[f"{name}/depthwise_kernel"] * scale[:, None],
            weights[f"{name}_bn/batchnorm_1/sub"],
        ]
        layers[f"conv_pw_{block}"] = convolution(f"conv_pw_{block}")
    for layer, source in (("feats", "feats"), ("age", "age_pred"), ("gender", "gender_pred")):
        layers[layer] = [weights[f"{source}/kernel"], weights[f"{source}/bias"]]
    return layers


def run_tfjs(folder: Path, weights: Weights, chips: NDArray[np.float32]) -> Arrays:
    """Run the TensorFlow.js graph itself, node by node, on chips ``[N, 224, 224, 3]``, RGB, 0-255.

    Independent of `build_faceres`, to check one against the other.
    """
    topology = json.loads((folder / f"{NAME}.json").read_bytes())["modelTopology"]
    nodes = []
    for node in topology["node"]:
        if node["op"] == "_FusedMatMul":  # internal to TensorFlow's graph optimiser
            nodes += _unfused(node)
        else:
            nodes.append(node)
    graph = ParseDict({"node": nodes}, tf.compat.v1.GraphDef())
    for node in graph.node:
        if node.op == "Const":  # the graph has the shapes only
            dtype = node.attr["dtype"].type
            value = tf.make_tensor_proto(weights[node.name], dtype, verify_shape=False)
            node.attr["value"].tensor.CopyFrom(value)

    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    outputs = {
        "age": "age_pred/Softmax:0",
        "gender": "gender_pred/Sigmoid:0",
        "embedding": "global_pooling/Mean:0",
    }
    original = whole.prune("input_1:0", outputs)
    bgr = (chips - np.array(MEAN_RGB, np.float32))[..., ::-1]
    return {name: value.numpy() for name, value in original(tf.constant(bgr)).items()}


def _unfused(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Split a fused node into MatMul, BiasAdd and perhaps Relu; the last one keeps its name."""
    name, (features, kernel, bias) = node["name"], node["input"]
    dtype = {"T": node["attr"]["T"]}
    fused = [base64.b64decode(op).decode() for op in node["attr"]["fused_ops"]["list"]["s"]]
    chain = [{"op": "MatMul", "name": f"{name}/product", "input": [features, kernel]}]
    for op in fused:
        operands = [chain[-1]["name"], bias] if op == "BiasAdd" else [chain[-1]["name"]]
        chain.append({"op": op, "name": f"{name}/{op}", "input": operands})
    chain[-1]["name"] = name
    return [{**step, "attr": dtype} for step in chain]


def convert(source: Path, target: Path) -> None:
    """Write ``faceres.tflite`` and ``faceres/`` into `target`, and check both.

    Args:
        source: folder with the TensorFlow.js files.
        target: existing empty folder.

    Raises:
        ModelBuildError: a converted form disagrees with the TensorFlow.js graph.
    """
    weights = load_weights(source)
    model = build_faceres(layer_weights(weights))
    shape = (2, INPUT_SIZE, INPUT_SIZE, 3)  # two: the batch size must be free
    chips = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    original = run_tfjs(source, weights, chips)
    rebuilt = {name: value.numpy() for name, value in model(chips).items()}
    require_close("Keras model", original, rebuilt, _TOLERANCE)

    # Folded scales leave the depthwise kernels with more digits than float16 has. Rounding before
    # the export makes both forms the same.
    model.set_weights([array.astype(np.float16) for array in model.get_weights()])
    spec = tf.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tf.float32, name="chips")
    export(model, spec, target, NAME, float16=True)
    saved = run_saved_model(target / NAME, chips)
    require_close("SavedModel", original, saved, _FLOAT16_TOLERANCE)
    require_close("LiteRT", saved, run_litert(target / f"{NAME}.tflite", chips), _TOLERANCE)
