"""MediaPipe's face mesh: from a LiteRT file without a signature to both forms that engines load.

Signature ``serving_default``:

* input ``chips``: float32 [N, 192, 192, 3], RGB, 0 to 255.
* output ``points``: float32 [N, 468, 3]: x and y in pixels of the chip, depth in the same unit, in
  the order of MediaPipe's canonical face model.
* output ``face``: float32 [N, 1]: logit of the chip showing an upright face.

The network is a chain of convolutions, PReLU, pooling and sums. Each operation is rebuilt in
TensorFlow, so that the batch size is free and TensorFlow can run it too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from modelbuild.errors import ModelBuildError
from modelbuild.export import Arrays, export, require_close, run_litert, run_saved_model

NAME = "facemesh"
FILE = "face_landmark.tflite"
SIDE = 192
POINTS = 468

_TOLERANCE = {"points": 1e-2, "face": 1e-3}
# Weights rounded to float16; on noise, which is harder than faces.
_FLOAT16_TOLERANCE = {"points": 1.0, "face": 0.2}
_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}

Tensor = Any
Step = Callable[[Any, list[Tensor]], Tensor]
"""An operation: its options in the file, and its inputs."""


def _convolution(options: Any, inputs: list[Tensor]) -> Tensor:
    image, kernel, bias = inputs
    strides = [options.strideH, options.strideW]
    kernel = tf.transpose(kernel, [1, 2, 3, 0])
    return tf.nn.conv2d(image, kernel, strides, _PADDINGS[options.padding]) + bias


def _depthwise_convolution(options: Any, inputs: list[Tensor]) -> Tensor:
    image, kernel, bias = inputs
    strides = [1, options.strideH, options.strideW, 1]
    kernel = tf.transpose(kernel, [1, 2, 3, 0])
    return tf.nn.depthwise_conv2d(image, kernel, strides, _PADDINGS[options.padding]) + bias


def _max_pooling(options: Any, inputs: list[Tensor]) -> Tensor:
    window, strides = (
        [options.filterHeight, options.filterWidth],
        [options.strideH, options.strideW],
    )
    return tf.nn.max_pool2d(inputs[0], window, strides, _PADDINGS[options.padding])


def _prelu(_options: Any, inputs: list[Tensor]) -> Tensor:
    # In the form that the converter recognises as one operation.
    image, alpha = inputs
    return tf.nn.relu(image) + (-alpha) * tf.nn.relu(-image)


_STEPS: dict[int, Step] = {
    schema.BuiltinOperator.CONV_2D: _convolution,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: _depthwise_convolution,
    schema.BuiltinOperator.MAX_POOL_2D: _max_pooling,
    schema.BuiltinOperator.PRELU: _prelu,
    schema.BuiltinOperator.ADD: lambda _options, inputs: inputs[0] + inputs[1],
    schema.BuiltinOperator.PAD: lambda _options, inputs: tf.pad(*inputs),
}


def load_network(path: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Rebuild the network of a LiteRT file as a function from chips to its two outputs.

    Raises:
        ModelBuildError: it has an operation that the known version of the file does not have.
    """
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    unknown = sorted({code for code in codes if code not in _STEPS})
    if unknown:
        raise ModelBuildError(f"{path.name}: unexpected operations {unknown}")
    for step in graph.operators:
        if getattr(step.builtinOptions, "fusedActivationFunction", 0):
            raise ModelBuildError(f"{path.name}: an operation with a fused activation")
    constants = {
        index: _constant(tensor, model.buffers[tensor.buffer].data)
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }

    def run(chips: Tensor) -> dict[str, Tensor]:
        values: dict[int, Tensor] = {i: tf.constant(array) for i, array in constants.items()}
        values[graph.inputs[0]] = chips / 255.0
        for step in graph.operators:
            inputs = [values[i] for i in step.inputs]
            values[step.outputs[0]] = _STEPS[codes[step.opcodeIndex]](step.builtinOptions, inputs)
        points, face = (values[i] for i in graph.outputs)
        return {
            "points": tf.reshape(points, [-1, POINTS, 3]),
            "face": tf.reshape(face, [-1, 1]),
        }

    return run


def _constant(tensor: Any, data: NDArray[np.uint8]) -> NDArray[Any]:
    dtype = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT32: np.int32}[tensor.type]
    return np.frombuffer(bytes(data), dtype).reshape(tensor.shape)


def run_original(path: Path, chips: NDArray[np.float32]) -> Arrays:
    """Run the file as it is, chip by chip; independent of `load_network`."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (image,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for chip in chips:
        interpreter.set_tensor(image["index"], chip[None] / np.float32(255))
        interpreter.invoke()
        rows.append([interpreter.get_tensor(output["index"]).ravel() for output in outputs])
    points, face = (np.stack(column) for column in zip(*rows, strict=True))
    return {"points": points.reshape(-1, POINTS, 3), "face": face}


def convert(source: Path, target: Path) -> None:
    """Write ``facemesh.tflite`` and ``facemesh/`` into `target`, and check both.

    Args:
        source: folder with the package's LiteRT file.
        target: existing empty folder.

    Raises:
        ModelBuildError: a converted form disagrees with the original.
    """
    shape = (2, SIDE, SIDE, 3)  # two: the batch size must be free
    chips = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    original = run_original(source / FILE, chips)
    network = load_network(source / FILE)
    spec = tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="chips")
    export(network, spec, target, NAME, float16=True)
    saved = run_saved_model(target / NAME, chips)
    require_close("SavedModel", original, saved, _TOLERANCE)
    lite = run_litert(target / f"{NAME}.tflite", chips)
    require_close("LiteRT, float16", original, lite, _FLOAT16_TOLERANCE)
