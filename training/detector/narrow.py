"""Removes channels between two layers, those that the following layer can best do without.

They are removed one by one, and the layer is fitted again by least squares each time, on what it
saw: optimal brain surgeon (Hassibi and Stork, NIPS 1992) for a linear layer and whole channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelbuild.weights import Weights
from training.detector.linear import Double, as_convolution, as_linear, second_moments

RIDGE = 1e-4
"""Added to the diagonal, relative to its mean."""


def narrow(weights: Weights, layers: Sequence[str], seen: NDArray[np.float32], keep: int) -> None:
    """Keep some channels between layers, and fit the last of these again.

    Args:
        weights: changed in place.
        layers: names; the channels are the outputs of all but the last, whose inputs they are.
        seen: of the last layer's inputs, ``[samples, channels * rows * columns of its kernel]``.
        keep: number of channels.
    """
    *before, last = layers
    size = weights[f"{last}/kernel"].shape[2:]
    linear = as_linear(weights, last)
    channels, fitted = narrowed(second_moments(seen), linear, keep, math.prod(size))
    for layer in before:
        for part in ("kernel", "bias"):
            weights[f"{layer}/{part}"] = weights[f"{layer}/{part}"][channels]
    weights.update(as_convolution(last, fitted, size))


def narrowed(
    gram: Double, target: Double, keep: int, size: int = 1
) -> tuple[NDArray[np.int64], Double]:
    """Remove channels of a linear layer's inputs one by one, those first that cost least.

    Args:
        gram: second moments of the inputs ``[C * size + 1, C * size + 1]``, channel by channel; the
            last is the constant 1.
        target: the layer ``[O, C * size + 1]``.
        keep: number of channels to keep.
        size: inputs of a channel.

    Returns:
        The channels kept, ascending, and the layer for them and the constant
        ``[O, keep * size + 1]``.
    """
    ridge = RIDGE * np.trace(gram) / len(gram)
    regular = gram + ridge * np.eye(len(gram))
    inverse = np.linalg.inv(regular)
    layer = target.copy()
    left = list(range((len(gram) - 1) // size))
    inputs = [np.arange(channel * size, (channel + 1) * size) for channel in left]
    while len(left) > keep:
        of_left = [inputs[channel] for channel in left]
        costs = [_cost(layer[:, rows], inverse[np.ix_(rows, rows)]) for rows in of_left]
        worst = inputs[left.pop(int(np.argmin(costs)))]
        share = np.linalg.solve(inverse[np.ix_(worst, worst)], inverse[worst])
        layer -= layer[:, worst] @ share
        inverse -= inverse[:, worst] @ share
    chosen = np.concatenate([*(inputs[channel] for channel in left), [len(gram) - 1]])
    part = regular[np.ix_(chosen, chosen)]
    cross = target @ regular[:, chosen]
    return np.array(left), np.linalg.solve(part, cross.T).T


def _cost(columns: Double, inverse: Double) -> float:
    """Squared error of all outputs without a channel, the others fitted again."""
    return float((columns * np.linalg.solve(inverse, columns.T).T).sum())
