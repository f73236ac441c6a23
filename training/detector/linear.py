"""Convolutions as linear layers, of what their kernels see and a constant 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelbuild.weights import Weights

Double = NDArray[np.float64]


def as_linear(weights: Weights, name: str) -> Double:
    """A convolution as a matrix ``[O, I * rows * columns + 1]``; the last column is its bias."""
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    return np.hstack([kernel.reshape(len(kernel), -1), bias[:, None]]).astype(np.float64)


def as_convolution(name: str, linear: Double, size: tuple[int, ...]) -> Weights:
    """Kernel and bias of what `as_linear` returns, for kernels of ``size``, rows and columns."""
    kernel = linear[:, :-1].reshape(len(linear), -1, *size)
    return {
        f"{name}/kernel": kernel.astype(np.float32),
        f"{name}/bias": linear[:, -1].astype(np.float32),
    }


def second_moments(seen: NDArray[np.float32]) -> Double:
    """Of inputs ``[samples, N]`` and the constant: ``[N + 1, N + 1]``."""
    inputs = np.hstack([seen.astype(np.float64), np.ones((len(seen), 1))])
    moments: Double = inputs.T @ inputs / len(inputs)
    return moments
