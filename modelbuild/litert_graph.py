"""Rebuilds the network of a LiteRT file in TensorFlow, operation by operation.

Published files often have neither a signature nor a free batch size, and TensorFlow cannot load
them. Only the operations of the networks that we use are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from modelbuild.errors import ModelBuildError
from modelbuild.export import Arrays, export, require_close, run_litert, run_saved_model

_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}

_PLAIN = {
    **{"fusedActivationFunction": 0, "depthMultiplier": 1},
    **dict.fromkeys(("dilationWFactor", "dilationHFactor"), 1),
}
"""Options of operations that must have these values."""
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}

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


def _resize(options: Any, inputs: list[Tensor]) -> Tensor:
    image, size = inputs
    corners, centres = options.alignCorners, options.halfPixelCenters
    return tf.raw_ops.ResizeBilinear(
        images=image, size=size, align_corners=corners, half_pixel_centers=centres
    )


def _reshape(options: Any, inputs: list[Tensor]) -> Tensor:
    # The first is the batch, which stays free; so what else is left open has to be computed.
    shape = np.empty(inputs[0].shape[1:]).reshape(options.newShape[1:]).shape
    return tf.reshape(inputs[0], [-1, *shape])


_STEPS: dict[int, Step] = {
    schema.BuiltinOperator.CONV_2D: _convolution,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: _depthwise_convolution,
    schema.BuiltinOperator.MAX_POOL_2D: _max_pooling,
    schema.BuiltinOperator.PRELU: _prelu,
    schema.BuiltinOperator.RELU: lambda _options, inputs: tf.nn.relu(inputs[0]),
    schema.BuiltinOperator.ADD: lambda _options, inputs: inputs[0] + inputs[1],
    schema.BuiltinOperator.PAD: lambda _options, inputs: tf.pad(*inputs),
    schema.BuiltinOperator.RESIZE_BILINEAR: _resize,
    schema.BuiltinOperator.RESHAPE: _reshape,
    # Of constants, that `_constant` has as float32 already.
    schema.BuiltinOperator.DEQUANTIZE: lambda _options, inputs: inputs[0],
}


def load_graph(path: Path) -> Callable[[Tensor], list[Tensor]]:
    """Rebuild a file's network as a function from its input to its outputs, in their order.

    Raises:
        ModelBuildError: it has an operation, an option or a type that the known files do not have.
    """
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    unknown = sorted(_NAMES.get(code, str(code)) for code in set(codes) if code not in _STEPS)
    unknown += sorted({str(t.type) for t in graph.tensors if t.type not in _TYPES})
    if unknown:
        raise ModelBuildError(f"{path.name}: unexpected operations or types: {', '.join(unknown)}")
    for step in graph.operators:
        options = step.builtinOptions
        if any(getattr(options, name, plain) != plain for name, plain in _PLAIN.items()):
            raise ModelBuildError(f"{path.name}: an operation with unexpected options")
    constants = {
        index: _constant(tensor, model.buffers[tensor.buffer].data)
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }

    def run(image: Tensor) -> list[Tensor]:
        values: dict[int, Tensor] = {i: tf.constant(array) for i, array in constants.items()}
        values[graph.inputs[0]] = image
        for step in graph.operators:
            inputs = [values[i] for i in step.inputs]
            values[step.outputs[0]] = _STEPS[codes[step.opcodeIndex]](step.builtinOptions, inputs)
        return [values[i] for i in graph.outputs]

    return run


def _constant(tensor: Any, data: NDArray[np.uint8]) -> NDArray[Any]:
    array = np.frombuffer(bytes(data), _TYPES[tensor.type]).reshape(tensor.shape)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def run_original(path: Path, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Run the file as it is, image by image; independent of `load_graph`.

    Args:
        path: of the file.
        images: ``[N, H, W, 3]``, as the file expects them.

    Returns:
        Its outputs in their order, ``[N, values]`` each.
    """
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (image,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for each in images:
        interpreter.set_tensor(image["index"], each[None])
        interpreter.invoke()
        rows.append([interpreter.get_tensor(output["index"]).ravel() for output in outputs])
    return [np.stack(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True)
class Converter:
    """Converts a network that looks at square chips.

    Attributes:
        name: of the files written.
        file: of the package.
        side: of a chip, pixels.
        network: rebuilds the file's network as a function from chips ``[N, side, side, 3]``, RGB,
            0 to 255, to named outputs.
        original: what the file itself says of such chips.
        tolerance: by output, of float32 weights.
        float16_tolerance: by output, of weights rounded to float16; on noise, which is harder than
            faces.
    """

    name: str
    file: str
    side: int
    network: Callable[[Path], Callable[[Tensor], dict[str, Tensor]]]
    original: Callable[[Path, NDArray[np.float32]], Arrays]
    tolerance: Mapping[str, float]
    float16_tolerance: Mapping[str, float]

    def convert(self, source: Path, target: Path) -> None:
        """Write ``NAME.tflite`` and ``NAME/`` into `target`, and check both.

        Args:
            source: folder with the package's file.
            target: existing empty folder.

        Raises:
            ModelBuildError: a converted form disagrees with the original.
        """
        shape = (2, self.side, self.side, 3)  # two: the batch size must be free
        chips = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        expected = self.original(source / self.file, chips)
        spec = tf.TensorSpec([None, *shape[1:]], tf.float32, name="chips")
        export(self.network(source / self.file), spec, target, self.name, float16=True)
        saved = run_saved_model(target / self.name, chips)
        require_close("SavedModel", expected, saved, self.tolerance)
        lite = run_litert(target / f"{self.name}.tflite", chips)
        require_close("LiteRT, float16", expected, lite, self.float16_tolerance)
