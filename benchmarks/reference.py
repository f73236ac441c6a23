"""The speed of the machine itself: a fixed loop, and the peak arithmetic rate.

Times from different machines or days are not comparable. CPU times relative to the same loop in the
same run are, even on a busy machine.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 64
"""Too small for a library to use several threads."""
PRODUCTS = 2000
GEMM_SIDES = (512, 1024, 2048)
GEMM_ROUNDS = 12


def loop() -> Callable[[], float]:
    """Prepare a few milliseconds of float32 matrix products on one core.

    Returns:
        Function that runs them and returns their CPU milliseconds.
    """
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((SIDE, SIDE), np.float32) for _ in range(2))

    def run() -> float:
        start = time.thread_time()
        for _ in range(PRODUCTS):
            np.matmul(a, b)
        return (time.thread_time() - start) * 1000

    return run


def gemm_gflops() -> float:
    """Peak rate of a float32 matrix product, 1e9 operations per second, all threads."""
    random = np.random.default_rng(0)
    best = 0.0
    for side in GEMM_SIDES:
        a, b = (random.standard_normal((side, side), np.float32) for _ in range(2))
        for _ in range(GEMM_ROUNDS):
            start = time.perf_counter()
            np.matmul(a, b)
            best = max(best, 2 * side**3 / (time.perf_counter() - start) / 1e9)
    return round(best, 1)


def model_gflop(path: Path, shape: tuple[int, ...]) -> float:
    """Count the operations of the convolutions of one run, 1e9; a multiply-add counts as two."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK, which hides the operations it runs.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()
    sizes: dict[int, list[int]] = {
        tensor["index"]: [int(side) for side in tensor["shape"]]
        for tensor in interpreter.get_tensor_details()
    }
    operations = sum(_operations(op, sizes) for op in interpreter._get_ops_details())
    return round(operations / 1e9, 3)


def _operations(op: dict[str, Any], sizes: dict[int, list[int]]) -> int:
    if op["op_name"] not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights, output = sizes[op["inputs"][1]], sizes[op["outputs"][0]]
    # Weights are [out, height, width, in], or [1, height, width, out] for depthwise convolutions.
    per_output = weights[1:3] if op["op_name"] == "DEPTHWISE_CONV_2D" else weights[1:]
    return 2 * math.prod(output) * math.prod(per_output)
