"""Rounds a layer's weights so that its outputs change least.

The weights of each output are rounded one after the other, and those that follow make up for the
error, on what the layer sees: GPTQ (Frantar et al., ICLR 2023), which is optimal brain surgeon, as
in `training.detector.narrow`, with rounding for removal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 255
"""Of an int8 weight, which are symmetric, and steps of an int8 activation."""
DAMPING = 1e-3
"""Added to the diagonal of the second moments, relative to its mean."""

Double = NDArray[np.float64]


def rounded(layer: Double, moments: Double) -> Double:
    """Round a linear layer's weights to int8, each output with its own scale.

    Args:
        layer: ``[O, I + 1]``; the last column is the bias, which stays as exact as it is.
        moments: second moments of the inputs ``[I + 1, I + 1]``; the last is the constant 1.
    """
    damping = DAMPING * np.trace(moments) / len(moments)
    inverse = np.linalg.inv(moments + damping * np.eye(len(moments)))
    upper = np.linalg.cholesky(inverse).T
    left, result = layer.copy(), layer.copy()
    highest = LEVELS // 2
    sizes = np.abs(layer[:, :-1])
    largest = sizes.argmax(axis=1)
    steps = np.maximum(sizes.max(axis=1), 1e-8) / highest
    for i in range(layer.shape[1] - 1):
        levels = np.clip(np.round(left[:, i] / steps), -highest, highest)
        # The scale is taken from the largest weight when it is served, so that one stays.
        levels = np.where(largest == i, np.sign(layer[:, i]) * highest, levels)
        result[:, i] = levels * steps
        error = (left[:, i] - result[:, i]) / upper[i, i]
        left[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    result[:, -1] = left[:, -1]
    return result
