"""Converts committed weights of our own to LiteRT and to a SavedModel.

Signature ``serving_default``:

* input ``chips``: float32 [N, S, S, 3], RGB, 0 to 255; S is the spec's ``chip.size``.
* output ``age``: float32 [N, 101], softmax over the ages 0 to 100.
* output ``gender``: float32 [N, 1], probability of male.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import model as network
from training.thirdparty.export import export, require_close, run_litert, run_saved_model

_TOLERANCE = {"age": 1e-3, "gender": 1e-3}


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
    export(function, spec, target, name, float16=True)
    require_close("SavedModel", expected, run_saved_model(target / name, chips), _TOLERANCE)
    litert = run_litert(target / f"{name}.tflite", chips)
    require_close("LiteRT", expected, litert, _TOLERANCE)
