"""Our own age and gender network (AGN): architecture, weights file and conversion.

The network is the MobileNet-v1 of FaceRes with a head of ours. Signature ``serving_default``:

* input ``chips``: float32 [N, S, S, 3], RGB, 0 to 255; S is ``chip_size`` in ``models.toml``.
* output ``age``: float32 [N, 101], softmax over the ages 0 to 100.
* output ``gender``: float32 [N, 1], probability of male.
* output ``embedding``: float32 [N, 1024], global average of the last feature map, on which
  quality and face checks are fitted.

Most of the LiteRT file's arithmetic is int8: 2.8 times as fast, and ages move by 0.2 years.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import ops
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from modelbuild.export import export, require_close, run_litert, run_saved_model
from modelbuild.faceres import BLOCKS, Layers, build_faceres
from modelbuild.quantise import Ranges, quantise

MAX_AGE = 100
"""Last bin of the age distribution; older people count as this old."""
HEAD_UNITS = 512
DROPOUT = 0.2
HEAD = ("hidden", "age_logits", "gender_logit")
"""Layers that do not come from FaceRes."""

Weights = dict[str, NDArray[np.float32]]
"""Arrays by ``layer/index``."""

_TOLERANCE = {"age": 1e-3, "gender": 1e-3, "embedding": 1e-2}
# Int8, on noise, which is harder than faces.
_INT8_TOLERANCE = {"age": 0.05, "gender": 0.1, "embedding": 1.5}

_RELU6 = re.compile(r"/Relu6\b")
_FLOAT_PARTS = (r".*(/centred|/conv1|/conv_dw_[12]_|/conv_pw_1_).*",)
"""The first layers: bound by memory rather than arithmetic, and most sensitive to rounding."""


def build(size: int, faceres: Layers | None = None, frozen_blocks: int = 0) -> keras.Model:
    """Build the network as it is trained: its outputs are logits.

    Args:
        size: side of the chips, pixels.
        faceres: initial weights of the backbone; None leaves random ones.
        frozen_blocks: number of leading blocks, of 13, that are not trained; any above 0 also
            freezes the convolution before them.

    Returns:
        Model from ``chips`` ``[N, S, S, 3]`` (RGB, 0-255) to the dict ``age`` ``[N, 101]``
        (logits of the ages 0 to 100) and ``gender`` ``[N, 1]`` (logit of male).
    """
    source = build_faceres(faceres, size)
    embedding = source.get_layer("embedding").output
    x = keras.layers.Dropout(DROPOUT, name="dropout")(embedding)
    x = keras.layers.Dense(HEAD_UNITS, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(DROPOUT, name="dropout_hidden")(x)
    outputs = {
        "age": keras.layers.Dense(MAX_AGE + 1, name="age_logits", dtype="float32")(x),
        "gender": keras.layers.Dense(1, name="gender_logit", dtype="float32")(x),
    }
    model = keras.Model(source.inputs[0], outputs, name="age_gender")
    for name in frozen_layers(frozen_blocks):
        model.get_layer(name).trainable = False
    return model


def frozen_layers(blocks: int) -> list[str]:
    """Names of the layers with weights in the first ``blocks`` blocks and before them; 0: none."""
    if not 0 <= blocks <= len(BLOCKS):
        raise ValueError(f"there are {len(BLOCKS)} blocks, not {blocks}")
    pairs = [(f"conv_dw_{i}", f"conv_pw_{i}") for i in range(1, blocks + 1)]
    return ["conv1", *(name for pair in pairs for name in pair)] if blocks else []


def serving(model: keras.Model) -> Any:
    """Return the function that is served: the model with probabilities instead of logits.

    Args:
        model: from `build`.

    Returns:
        Function from ``chips`` to the dict ``age`` (softmax), ``gender`` (sigmoid) and
        ``embedding`` ``[N, 1024]``.
    """
    embedding = model.get_layer("embedding").output
    whole = keras.Model(model.inputs, {**model.output, "embedding": embedding})

    def serve(chips: Any) -> dict[str, Any]:
        outputs = whole(chips, training=False)
        return {
            "age": ops.softmax(outputs["age"]),
            "gender": ops.sigmoid(outputs["gender"]),
            "embedding": outputs["embedding"],
        }

    return serve


def weights_of(model: keras.Model) -> Weights:
    """Weights of a model, by ``layer/index``."""
    return {
        f"{layer.name}/{i}": np.asarray(array, np.float32)
        for layer in model.layers
        for i, array in enumerate(layer.get_weights())
        if layer.weights
    }


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Set weights that came from `weights_of` a model of the same architecture.

    Raises:
        KeyError: one is missing.
    """
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{i}"] for i in range(len(layer.weights))])


def rounded(weights: Weights) -> Weights:
    """Round weights as a network in mixed bfloat16 precision uses them.

    The head was fitted to the features of the rounded backbone.

    Args:
        weights: from `weights_of`, of a network built under that policy.
    """
    exact = ("age_logits/", "gender_logit/")  # these layers compute in float32
    return {
        name: array if name.startswith(exact) else array.astype(bfloat16).astype(np.float32)
        for name, array in weights.items()
    }


def save(weights: Weights, path: Path) -> None:
    """Write weights as float16, compressed.

    Raises:
        ValueError: a weight is too large for float16.
    """
    halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in weights.items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise ValueError(f"weight {name} does not fit float16")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new.npz")  # a file of the final name counts as complete
    np.savez_compressed(temporary, **halves)
    temporary.replace(path)


def load(path: Path) -> Weights:
    """Read what `save` wrote, as float32."""
    with np.load(path) as arrays:
        return {name: array.astype(np.float32) for name, array in arrays.items()}


def convert(source: Path, target: Path, chip_size: int) -> None:
    """Convert committed weights to LiteRT and to a SavedModel, and check both.

    Args:
        source: ``own/NAME.npz``.
        target: existing folder for ``NAME.tflite`` and ``NAME/``.
        chip_size: side of the chips, pixels.

    Raises:
        ModelBuildError: a converted form disagrees with the Keras model.
    """
    name = source.stem
    keras.config.set_dtype_policy("float32")
    model = build(chip_size)
    set_weights(model, load(source))
    function = serving(model)
    spec = tf.TensorSpec([None, chip_size, chip_size, 3], tf.float32, name="chips")
    shape = (2, chip_size, chip_size, 3)  # two: the batch size must be free
    chips = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    expected = {key: np.asarray(value) for key, value in function(chips).items()}
    export(function, spec, target, name, float16=False)
    require_close("SavedModel", expected, run_saved_model(target / name, chips), _TOLERANCE)
    file = target / f"{name}.tflite"
    require_close("LiteRT", expected, run_litert(file, chips), _TOLERANCE)
    quantise(file, _ranges(file), _FLOAT_PARTS)
    require_close("LiteRT, int8", expected, run_litert(file, chips), _INT8_TOLERANCE)


def _ranges(file: Path) -> Ranges:
    """Ranges of the activations, which ReLU6 clips to 0 and 6."""
    tensors = Interpreter(model_path=str(file)).get_tensor_details()
    return {t["name"]: (0.0, 6.0) for t in tensors if _RELU6.search(t["name"])}
