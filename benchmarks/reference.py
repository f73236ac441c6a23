"""What the machine itself can do, measured beside the cases: a fixed loop, and its best rate.

Times from different machines, or from one machine on different days, cannot be compared. The ratios
of CPU times to that of the same loop in the same run can, even while something else is running.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 64
"""Small enough that no library spreads a product over threads, which then wait for each other."""
PRODUCTS = 2000
GEMM_SIDES = (512, 1024, 2048)
GEMM_ROUNDS = 12


def loop() -> Callable[[], float]:
    """Some matrix products in float32 on one core, a few milliseconds of work.

    Returns:
        What runs them, and tells the CPU milliseconds that they took.
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
    """The best rate of a float32 matrix product here, 1e9 operations a second, all threads."""
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
    """Operations of the convolutions of one run, 1e9; an addition and a multiplication are two."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK, which hides the operations that it takes over.
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
    # Weights are [out, height, width, in], or [1, height, width, out] where channels stay apart.
    each = weights[1:3] if op["op_name"] == "DEPTHWISE_CONV_2D" else weights[1:]
    return 2 * math.prod(output) * math.prod(each)
