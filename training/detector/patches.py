"""The published detector's first two layers as convolutions over squares of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelbuild.retinaface_layers import PATCH
from modelbuild.weights import Weights

FIRST = "Conv1"
SECOND = "expanded_conv_depthwise"


def on_patches(weights: Weights) -> Weights:
    """The first two layers as dense convolutions over squares of 4x4 pixels.

    Each channel has four copies, one for each of its positions inside a square. Where the large
    one's padding meets the right and the lower border, results differ.

    Args:
        weights: of `FIRST` and `SECOND`.

    Returns:
        ``stem1`` and ``stem2``.
    """
    kernel, bias = weights[f"{FIRST}/kernel"], weights[f"{FIRST}/bias"]
    depthwise = weights[f"{SECOND}/kernel"]
    channels, colours = kernel.shape[:2]
    half = PATCH // 2
    first = np.zeros((half * half * channels, PATCH * PATCH * colours, 3, 3), np.float32)
    second = np.zeros((len(first), len(first), 3, 3), np.float32)
    each = np.arange(channels)
    for position in np.ndindex(half, half):
        own = (position[0] * half + position[1]) * channels + each
        for tap in np.ndindex(3, 3):
            patch, inside = _split([2 * p + t for p, t in zip(position, tap, strict=True)], PATCH)
            source = (inside[0] * PATCH + inside[1]) * colours
            first[own, source : source + colours, *patch] += kernel[:, :, *tap]
            patch, inside = _split([p + t - 1 for p, t in zip(position, tap, strict=True)], half)
            second[own, (inside[0] * half + inside[1]) * channels + each, *patch] += depthwise[
                :, 0, *tap
            ]
    copies = half * half
    return {
        "stem1/kernel": first,
        "stem1/bias": np.tile(bias, copies),
        "stem2/kernel": second,
        "stem2/bias": np.tile(weights[f"{SECOND}/bias"], copies),
    }


def _split(offset: Sequence[int], side: int) -> tuple[list[int], list[int]]:
    """Which square an offset is in, as an index of a 3x3 kernel, and where inside it."""
    return [1 + n // side for n in offset], [n % side for n in offset]
