"""Converts committed weights of our own to LiteRT and to a SavedModel.

Signature ``serving_default``:

* input ``chips``: float32 [N, S, S, 3], RGB, 0 to 255; S is the spec's ``chip.size``.
* output ``age``: float32 [N, 101], softmax over the ages 0 to 100.
* output ``gender``: float32 [N, 1], probability of male.

Most of the LiteRT file's arithmetic is int8: 2.8 times as fast, and ages move by 0.2 years.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from modelbuild.export import export, require_close, run_litert, run_saved_model
from modelbuild.quantise import Ranges, quantise
from training import model as network

_TOLERANCE = {"age": 1e-3, "gender": 1e-3}
# Of int8 arithmetic, on noise, which faces are not.
_ROUNDED = {"age": 0.05, "gender": 0.1}

_RELU6 = re.compile(r"/Relu6\b")
_FLOAT_PARTS = (r".*(/centred|/conv1|/conv_dw_[12]_|/conv_pw_1_).*",)
"""The first layers: they move more than they compute, and rounding there costs most."""


def convert(source: Path, target: Path) -> None:
    """Build both forms from committed weights; the model's specification gives the chip's size.

    Args:
        source: ``own/NAME.npz`` in the folder of the models.
        target: existing folder for ``NAME.tflite`` and ``NAME/``.

    Raises:
        ModelBuildError: a converted form does not answer as the Keras model does.
    """
    name = source.stem
    specification = source.parent.parent / "specs" / f"{name}.json"
    size = int(json.loads(specification.read_bytes())["chip"]["size"])
    keras.config.set_dtype_policy("float32")
    model = network.build(size)
    network.set_weights(model, network.load(source))
    function = network.serving(model)
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="chips")
    shape = (2, size, size, 3)  # two: the batch must be free
    chips = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    expected = {key: np.asarray(value) for key, value in function(chips).items()}
    export(function, spec, target, name, float16=False)
    require_close("SavedModel", expected, run_saved_model(target / name, chips), _TOLERANCE)
    file = target / f"{name}.tflite"
    require_close("LiteRT", expected, run_litert(file, chips), _TOLERANCE)
    quantise(file, _ranges(file), _FLOAT_PARTS)
    require_close("LiteRT, int8", expected, run_litert(file, chips), _ROUNDED)


def _ranges(file: Path) -> Ranges:
    """What the network's activations can be at all: they are cut off at 0 and 6."""
    tensors = Interpreter(model_path=str(file)).get_tensor_details()
    return {t["name"]: (0.0, 6.0) for t in tensors if _RELU6.search(t["name"])}
