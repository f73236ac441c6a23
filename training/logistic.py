"""Logistic regression with a ridge penalty, by Newton's method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
STEPS = 15
MANY_FEATURES = 256
"""From which single precision, several times as fast, is exact enough: the penalty decides."""


def fit_logistic(
    x: Float, y: NDArray[np.bool_], *, ridge: float, weights: Float | None = None
) -> tuple[NDArray[np.float64], float]:
    """Fit the probability that ``y`` is true.

    Features are standardised for the penalty; the result is for the features as they are.

    Args:
        x: ``[N, F]``.
        y: bool ``[N]``.
        ridge: weight of the squared standardised weights, in rows.
        weights: of the rows, ``[N]``; None for one each.

    Returns:
        Weights ``[F]`` and intercept.
    """
    x = x.astype(np.float64 if x.shape[1] < MANY_FEATURES else np.float32)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = np.concatenate([(x - mean) / scale, np.ones((len(x), 1), x.dtype)], axis=1)
    row_weights = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    penalty = np.full(z.shape[1], ridge)
    penalty[-1] = 1e-6
    solution = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(z @ solution.astype(z.dtype), -30, 30)))
        gradient = z.T @ (row_weights * (p - y)).astype(z.dtype) + penalty * solution
        weight = (row_weights * np.maximum(p * (1 - p), 1e-4)).astype(z.dtype)
        curvature = (z * weight[:, None]).T @ z
        step = np.linalg.solve(curvature + np.diag(penalty), gradient)
        solution -= step
        if np.abs(step).max() < 1e-4:
            break
    slopes = solution[:-1] / scale
    return slopes, float(solution[-1] - slopes @ mean)
