"""Our own age and gender network (AGN): architecture, weights file and conversion.

The network is the MobileNet-v1 of FaceRes with a head of ours. Signature ``serving_default``:

* input ``chips``: float32 [N, S, S, 3], RGB, 0 to 255; S is ``chip_size`` in ``models.toml``.
* output ``age``: float32 [N, 101], softmax over the ages 0 to 100.
* output ``gender``: float32 [N, 1], probability of male.
* output ``embedding``: float32 [N, 1792], global averages of the feature maps of blocks 13, 11 and
  5 (1024, 512 and 256 channels), on which quality and face checks are fitted. The last block
  sees what ages and genders differ in; earlier ones see surfaces: paint, plastic, stone.

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

from modelbuild.export import export, require_close, run_litert, run_saved_model
from modelbuild.faceres import build_faceres
from modelbuild.quantise import Ranges, quantise
from modelbuild.weights import Weights, load

MAX_AGE = 100
"""Last bin of the age distribution; older people count as this old."""
HEAD_UNITS = 512
EARLIER = ("conv_pw_11_relu", "conv_pw_5_relu")
"""Layers that the embedding has besides the last, in its order."""

_TOLERANCE = {"age": 1e-3, "gender": 1e-3, "embedding": 1e-2}
# Int8, on noise, which is harder than faces.
_INT8_TOLERANCE = {"age": 0.05, "gender": 0.1, "embedding": 1.5}

_RELU6 = re.compile(r"/Relu6\b")
_FLOAT_PARTS = (
    r".*(/centred|/conv1|/conv_dw_[12]_|/conv_pw_1_).*",
    r"PartitionedCall:.*",
)
"""The first layers, which are bound by memory rather than arithmetic and most sensitive to
rounding, and the outputs."""


def build(size: int) -> keras.Model:
    """Build the network with random weights; its outputs are logits.

    Args:
        size: side of the chips, pixels.

    Returns:
        Model from ``chips`` ``[N, S, S, 3]`` (RGB, 0-255) to the dict ``age`` ``[N, 101]``
        (logits of the ages 0 to 100) and ``gender`` ``[N, 1]`` (logit of male).
    """
    source = build_faceres(None, size)
    embedding = source.get_layer("embedding").output
    x = keras.layers.Dense(HEAD_UNITS, activation="relu", name="hidden")(embedding)
    outputs = {
        "age": keras.layers.Dense(MAX_AGE + 1, name="age_logits", dtype="float32")(x),
        "gender": keras.layers.Dense(1, name="gender_logit", dtype="float32")(x),
    }
    return keras.Model(source.inputs[0], outputs, name="age_gender")


def serving(model: keras.Model) -> Any:
    """Return the function that is served: the model with probabilities instead of logits.

    Args:
        model: from `build`.

    Returns:
        Function from ``chips`` to the dict ``age`` (softmax), ``gender`` (sigmoid) and
        ``embedding`` ``[N, 1792]``.
    """
    last = model.get_layer("embedding").output
    maps = [model.get_layer(name).output for name in EARLIER]
    whole = keras.Model(model.inputs, {**model.output, "last": last, "maps": maps})

    def serve(chips: Any) -> dict[str, Any]:
        outputs = whole(chips, training=False)
        return {
            "age": ops.softmax(outputs["age"]),
            "gender": ops.sigmoid(outputs["gender"]),
            "embedding": ops.concatenate(
                [outputs["last"], *(ops.mean(each, axis=(1, 2)) for each in outputs["maps"])], 1
            ),
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
