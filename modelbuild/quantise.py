"""Int8 quantisation of the parts of a LiteRT network that tolerate it.

Activation ranges are known, or come with the weights, so a build needs no photos and is
reproducible. Weights are quantised symmetrically
per channel, activations per tensor.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_quantizer import quantizer, recipe  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from modelbuild.errors import ModelBuildError

FLOAT_OPERATIONS = ("INPUT", "OUTPUT", "SOFTMAX", "LOGISTIC", "MEAN", "FULLY_CONNECTED")
"""Kept in float32: they are cheap and end a network, where int8 would leave only 256 values."""

Ranges = dict[str, tuple[float, float]]
"""Minimum and maximum of each tensor, by name."""


def quantise(model: Path, ranges: Ranges, float_parts: Sequence[str]) -> None:
    """Quantise a float32 ``.tflite`` file in place, except for the parts that stay float32.

    Args:
        model: the file; its inputs and outputs stay float32.
        ranges: of the tensors that become int8.
        float_parts: regular expressions of the tensors whose operations stay float32.
    """
    mixed: list[dict[str, Any]] = [*recipe.static_wi8_ai8()]
    mixed += [_unquantised(".*", operation) for operation in FLOAT_OPERATIONS]
    mixed += [_unquantised(part, "*") for part in float_parts]
    limits = {
        tensor: {"min": _scalar(low), "max": _scalar(high)}
        for tensor, (low, high) in ranges.items()
    }
    with _without_progress():
        quantizer.Quantizer(str(model), mixed).quantize(limits).export_model(
            str(model), overwrite=True
        )
    model.chmod(0o644)


def computed(model: Path) -> Iterator[str]:
    """Names of the tensors that the operations of a ``.tflite`` file compute, so no weights."""
    for graph in flatbuffer_utils.read_model(str(model)).subgraphs:
        for operator in graph.operators:
            for i in operator.outputs:
                yield graph.tensors[int(i)].name.decode()


def rearrange_in_int8(model: Path) -> None:
    """Let depth-to-space take and return int8, which it only moves.

    The quantiser does not know that operation and leaves it in float32 between two conversions.
    Those go where both have the same scale, so results stay the same.

    Args:
        model: file from `quantise`, changed in place.
    """
    content = flatbuffer_utils.read_model(str(model))
    for graph in content.subgraphs:
        graph.operators = _without_conversions(graph, content.operatorCodes)
    flatbuffer_utils.write_model(content, str(model))


def take_int8(model: Path) -> None:
    """Let a network take int8, so that nothing converts its input.

    Args:
        model: file from `quantise`, changed in place. Its input is converted to int8 first.

    Raises:
        ModelBuildError: that conversion is missing, or does more than subtract 128 from pixels.
    """
    content = flatbuffer_utils.read_model(str(model))
    (graph,) = content.subgraphs
    (before,) = (int(i) for i in graph.inputs)
    readers = [o for o in graph.operators if before in list(o.inputs)]
    kinds = [content.operatorCodes[o.opcodeIndex].builtinCode for o in readers]
    if kinds != [schema.BuiltinOperator.QUANTIZE]:
        raise ModelBuildError(f"{model.name}: its input is not converted to int8")
    after = int(readers[0].outputs[0])
    if _scale(graph, after) != ([1.0], [-128]):
        raise ModelBuildError(f"{model.name}: its input is not pixels of 0 to 255")
    graph.operators = [o for o in graph.operators if o is not readers[0]]
    graph.inputs = [after]
    for signature in content.signatureDefs:
        for tensor in signature.inputs:
            tensor.tensorIndex = after
    flatbuffer_utils.write_model(content, str(model))


def _without_conversions(graph: Any, codes: Sequence[Any]) -> list[Any]:
    kinds = schema.BuiltinOperator
    kind_of = {id(o): codes[o.opcodeIndex].builtinCode for o in graph.operators}
    by_output = {int(i): o for o in graph.operators for i in o.outputs}
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for i in operator.inputs:
            readers.setdefault(int(i), []).append(operator)
    ends = [kinds.DEQUANTIZE, kinds.QUANTIZE]
    gone: set[int] = set()
    for operator in graph.operators:
        if kind_of[id(operator)] != kinds.DEPTH_TO_SPACE:
            continue
        before = by_output.get(int(operator.inputs[0]))
        after = readers.get(int(operator.outputs[0]), [])
        if before is None or [kind_of[id(o)] for o in (before, *after)] != ends:
            continue
        if _scale(graph, before.inputs[0]) != _scale(graph, after[0].outputs[0]):
            continue
        operator.inputs, operator.outputs = before.inputs, after[0].outputs
        gone |= {id(after[0])}
        if readers[int(before.outputs[0])] == [operator]:
            gone |= {id(before)}
    return [operator for operator in graph.operators if id(operator) not in gone]


def _scale(graph: Any, tensor: Any) -> tuple[list[float], list[int]]:
    quantisation = graph.tensors[int(tensor)].quantization
    return list(quantisation.scale), list(quantisation.zeroPoint)


@contextlib.contextmanager
def _without_progress() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _unquantised(tensors: str, operation: str) -> dict[str, Any]:
    return {
        "regex": tensors,
        "operation": operation,
        "algorithm_key": "no_quantize",
        "op_config": {},
    }


def _scalar(value: float) -> NDArray[np.float32]:
    return np.full((1, 1, 1, 1), value, np.float32)
