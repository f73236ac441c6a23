"""Prepares trained weights for int8: the first layers' weights, and ranges of all activations.

Most layers can be rounded as they are. The first ones cannot: their outputs are small differences
of large inputs, and rounding each weight alone leaves errors that add up, see
`training.detector.gptq`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from modelbuild.retinaface_layers import BRIGHTEST, CLIP, stem_layers
from modelbuild.weights import LIMITS, Weights
from training.detector.gptq import LEVELS, rounded
from training.detector.linear import as_convolution, as_linear, second_moments
from training.detector.network import Detector, patches
from training.detector.seen import seen

ROWS = 60_000
"""Positions to fit on."""
BEYOND = 1e-4
"""Share of an activation's values that its range leaves out at each end."""


def rounded_first(weights: Weights, images: Tensor) -> Weights:
    """Round the weights of the stem so that its outputs change least.

    Args:
        weights: by layer.
        images: uint8 ``[N, H, W, 3]``.
    """
    changed = dict(weights)
    x = patches(images.float() / BRIGHTEST)
    for name in stem_layers(weights):
        changed |= _rounded(name, weights, x)
        layer = (torch.from_numpy(changed[f"{name}/{part}"]) for part in ("kernel", "bias"))
        x = F.conv2d(x, *layer, padding=1)
        x = torch.round(F.hardtanh(x, 0.0, CLIP) * (LEVELS / CLIP)) * (CLIP / LEVELS)
    return changed


def _rounded(name: str, weights: Weights, x: Tensor) -> Weights:
    size = weights[f"{name}/kernel"].shape[2:]
    moments = second_moments(seen(x, size[0], ROWS // len(x) + 1))
    return as_convolution(name, rounded(as_linear(weights, name), moments), size)


@torch.no_grad()  # type: ignore[untyped-decorator]
def limits(weights: Weights, images: Tensor, batch: int = 16) -> Weights:
    """Ranges of all activations that become int8, ``[2]`` each, by `LIMITS` and layer.

    Args:
        weights: by layer.
        images: uint8 ``[N, H, W, 3]``.
        batch: pictures at once.
    """
    found: dict[str, NDArray[np.float32]] = {}

    def watch(name: str, x: Tensor) -> None:
        values = x.flatten()
        beyond = max(1, int(BEYOND * len(values)))
        low = -float(torch.topk(-values, beyond).values[-1])
        high = float(torch.topk(values, beyond).values[-1])
        known = found.get(name, np.zeros(2, np.float32))
        found[name] = np.array([min(known[0], low), max(known[1], high)], np.float32)

    net = Detector(weights)
    net.watch = watch
    for part in images.split(batch):
        net(part)
    return {LIMITS + name: array for name, array in found.items()}
