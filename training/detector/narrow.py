"""Removes channels of a block, those that the following layer can best do without.

They are removed one by one, and the layer is fitted again by least squares each time, on what it
saw: optimal brain surgeon (Hassibi and Stork, NIPS 1992) for a linear layer and whole inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelbuild.weights import Weights

Double = NDArray[np.float64]

RIDGE = 1e-4
"""Added to the diagonal, relative to its mean."""


def narrow(weights: Weights, layers: Sequence[str], seen: NDArray[np.float32], keep: int) -> None:
    """Keep some channels between layers, and fit the last of these again.

    Args:
        weights: changed in place.
        layers: names; the channels are the outputs of all but the last, whose inputs they are.
        seen: of the last layer's inputs, ``[samples, channels]``.
        keep: number of channels.
    """
    *before, last = layers
    samples = np.hstack([seen, np.ones((len(seen), 1), np.float32)]).astype(np.float64)
    gram = samples.T @ samples / len(samples)
    kernel = weights[f"{last}/kernel"][:, :, 0, 0]
    target = np.hstack([kernel, weights[f"{last}/bias"][:, None]]).astype(np.float64)
    chosen, fitted = narrowed(gram, target, keep)
    channels = chosen[:-1]
    for layer in before:
        for part in ("kernel", "bias"):
            weights[f"{layer}/{part}"] = weights[f"{layer}/{part}"][channels]
    weights[f"{last}/kernel"] = fitted[:, :-1, None, None].astype(np.float32)
    weights[f"{last}/bias"] = fitted[:, -1].astype(np.float32)


def narrowed(gram: Double, target: Double, keep: int) -> tuple[NDArray[np.int64], Double]:
    """Remove inputs of a linear layer one by one, those first that cost least.

    Args:
        gram: second moments of the inputs ``[C + 1, C + 1]``; the last is the constant 1.
        target: the layer ``[O, C + 1]``.
        keep: number of inputs to keep besides the constant.

    Returns:
        The inputs kept, ascending and with the constant, and the layer for them ``[O, keep + 1]``.
    """
    count = len(gram) - 1
    ridge = RIDGE * np.trace(gram) / len(gram)
    regular = gram + ridge * np.eye(len(gram))
    inverse = np.linalg.inv(regular)
    layer = target.copy()
    left = np.ones(count + 1, bool)
    for _ in range(count - keep):
        cost = (layer**2).sum(0) / np.diag(inverse).clip(1e-12)
        cost[~left] = np.inf
        cost[-1] = np.inf
        worst = int(cost.argmin())
        column = inverse[:, worst] / inverse[worst, worst]
        layer -= np.outer(layer[:, worst], column)
        inverse -= np.outer(column, inverse[worst])
        left[worst] = False
        inverse[worst] = inverse[:, worst] = 0
        inverse[worst, worst] = 1
        layer[:, worst] = 0
    chosen = np.flatnonzero(left)
    part = regular[np.ix_(chosen, chosen)]
    cross = target @ regular[:, chosen]
    return chosen, np.linalg.solve(part, cross.T).T
