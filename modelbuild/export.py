"""Writes a TensorFlow function as a LiteRT file and as a SavedModel, and checks the results.

Both forms come from one function, so they cannot drift apart. Only this module and the converters
import TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from modelbuild.errors import ModelBuildError

SIGNATURE = "serving_default"

Arrays = Mapping[str, NDArray[Any]]


def export(
    function: Callable[[Any], Any], spec: Any, target: Path, name: str, *, float16: bool
) -> None:
    """Write ``target/name.tflite`` and the SavedModel folder ``target/name``.

    Args:
        function: maps one tensor to a dict of named tensors.
        spec: ``tf.TensorSpec`` of the input: its name, dtype and (partly unknown) shape.
        target: existing folder.
        name: stem of the file and name of the folder.
        float16: whether the LiteRT file stores float16 weights. That halves its size, and the
            interpreter widens them once, at load; the SavedModel is float32 either way.
    """
    traced = tf.function(function, input_signature=[spec], autograph=False)
    # Variables become constants: the SavedModel is one file that loads fast, and the LiteRT
    # converter does not find the variables of a Keras model.
    concrete = traced.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    names = sorted(concrete.structured_outputs)  # the order in which tf.nest flattens a dict

    def serve(tensor: Any) -> dict[str, Any]:
        return dict(zip(names, frozen(tensor), strict=True))

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[spec], autograph=False)
    folder = target / name
    signature = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: signature})

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    (target / f"{name}.tflite").write_bytes(converter.convert())


def run_litert(path: Path, tensor: NDArray[Any]) -> Arrays:
    """Run a LiteRT file on one input of any shape that it accepts; return its outputs by name."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner(SIGNATURE)
    (name,) = runner.get_input_details()
    outputs: Arrays = runner(**{name: tensor})
    return outputs


def run_saved_model(folder: Path, tensor: NDArray[Any]) -> Arrays:
    """Run a SavedModel with one input; return its outputs by name."""
    model = tf.saved_model.load(str(folder))  # keeps its functions alive
    function = model.signatures[SIGNATURE]
    (name,) = function.structured_input_signature[1]
    return {key: value.numpy() for key, value in function(**{name: tf.constant(tensor)}).items()}


def require_close(
    what: str, expected: Arrays, actual: Arrays, tolerance: Mapping[str, float]
) -> None:
    """Fail a conversion whose outputs differ from the source's.

    Args:
        what: name of the converted form, for the message.
        expected: outputs of the source graph.
        actual: outputs of the converted form.
        tolerance: largest absolute difference allowed, by output name.

    Raises:
        ModelBuildError: a name or shape differs, or a difference is larger than allowed.
    """
    for name, limit in tolerance.items():
        if name not in actual or actual[name].shape != expected[name].shape:
            raise ModelBuildError(f"{what}: output '{name}' is missing or has another shape")
        difference = float(np.max(np.abs(actual[name] - expected[name])))
        if not difference <= limit:  # also catches NaN
            raise ModelBuildError(
                f"{what}: output '{name}' differs from the source model by {difference:.2g}, "
                f"more than {limit:g} (converted with TensorFlow {tf.__version__})"
            )
