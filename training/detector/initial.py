"""First weights of the small detector: the large one's, narrowed, and other first layers.

Where the time goes, at strides 2 to 8, the layers are different. The first two compute what the
large one's first two do, on squares of 4x4 pixels at once; those after them start with random
weights. From stride 16 on, each block keeps those expanded channels that the following layer can
least do without, see `training.detector.narrow`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelbuild.retinaface_layers import BLOCKS, BRIGHTEST, CLIP, PATCH, STRIDE_2
from modelbuild.weights import Weights
from training.detector.narrow import narrow
from training.detector.network import Detector
from training.detector.patches import FIRST, SECOND, on_patches

THIRD = "expanded_conv_project"
MULTIPLE = 16
"""The processor's instructions work on so many channels."""
ROWS = 40_000
"""Positions of a feature map to fit on."""
FRESH = 3
"""Number of the first layer of the stem that starts with nothing."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """How wide the small detector is.

    Attributes:
        first: channels of the large one's first two layers that are kept.
        stem: channels of the fresh 3x3 convolutions at stride 4.
        dense: by block, channels of a 3x3 convolution that replaces expansion and depthwise
            convolution.
        share: of the expanded channels that the other blocks keep.
    """

    first: int = 16
    stem: tuple[int, ...] = (64,)
    dense: dict[int, int] = field(default_factory=lambda: {3: 160, 4: 128, 5: 128})
    share: float = 0.75

    @property
    def fresh(self) -> tuple[str, ...]:
        """How the names of layers start that begin with nothing."""
        stem = [f"stem{number}/" for number in range(FRESH, FRESH + len(self.stem))]
        return (*stem, *(f"block_{block}_" for block in self.dense))


def initial(
    large: Weights, shape: Shape, images: Tensor, c3: Tensor, rng: np.random.Generator
) -> Weights:
    """Make the first weights.

    Args:
        large: weights of the large detector for pixels of 0 to 1, ``NAME/kernel`` and
            ``NAME/bias``.
        shape: how wide it is to be.
        images: some lessons' pictures, uint8 ``[N, H, W, 3]``.
        c3: outputs of the large one's block 5 for some lessons, ``[N, 32, H, W]``.
        rng: for the fresh layers, and the positions to fit on.
    """
    replaced = (FIRST, "expanded_conv_", *(f"block_{n}_" for n in range(1, max(shape.dense) + 1)))
    weights = {k: v.copy() for k, v in large.items() if not k.startswith(replaced)}
    weights |= on_patches(_narrowed_first(large, images, shape.first, rng))
    inputs = shape.first * (PATCH // 2) ** 2
    for number, outputs in enumerate(shape.stem, FRESH):
        _fresh(weights, f"stem{number}", outputs, inputs, 3, rng)
        inputs = outputs
    for block, width in shape.dense.items():
        outputs = large[f"block_{block}_project/kernel"].shape[0]
        _fresh(weights, f"block_{block}_fused", width, inputs, 3, rng)
        _fresh(weights, f"block_{block}_project", outputs, width, 1, rng)
        if block > min(shape.dense):  # a sum starts as what is there already
            weights[f"block_{block}_project/kernel"] *= np.float32(0.2)
        inputs = outputs
    _narrow_others(weights, large, shape, c3, rng)
    return weights


def _narrowed_first(large: Weights, images: Tensor, keep: int, rng: np.random.Generator) -> Weights:
    """The first two layers with fewer channels."""
    weights = {name: array.copy() for name, array in large.items()}
    net = Detector(large)
    with torch.no_grad():
        x = images.permute(0, 3, 1, 2).float() / BRIGHTEST
        x = net.conv(SECOND, net.conv(FIRST, x, 2, CLIP), 1, CLIP)
    narrow(weights, [FIRST, SECOND, THIRD], _rows(x, rng), keep)
    return weights


def _narrow_others(
    weights: Weights, large: Weights, shape: Shape, c3: Tensor, rng: np.random.Generator
) -> None:
    """Leave out channels of the blocks after those that are replaced, in place."""
    x = c3
    net = Detector(large)
    for block in BLOCKS:
        if block <= max(shape.dense):
            continue
        name = f"block_{block}"
        with torch.no_grad():
            y = net.conv(f"{name}_expand", x, 1, CLIP)
            y = net.conv(f"{name}_depthwise", y, 2 if block in STRIDE_2 else 1, CLIP)
            z = net.conv(f"{name}_project", y)
            x = z + x if z.shape == x.shape else z
        keep = round(y.shape[1] * shape.share / MULTIPLE) * MULTIPLE
        layers = [f"{name}_{part}" for part in ("expand", "depthwise", "project")]
        narrow(weights, layers, _rows(y, rng), keep)


def _rows(x: Tensor, rng: np.random.Generator) -> Array:
    """Some positions of a map ``[N, C, H, W]`` in any order, ``[ROWS, C]``."""
    rows: Array = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).numpy()
    return rows[rng.permutation(len(rows))[:ROWS]]


def _fresh(
    weights: Weights, name: str, outputs: int, inputs: int, side: int, rng: np.random.Generator
) -> None:
    """Add a layer as He et al. (ICCV 2015) start one."""
    scale = np.sqrt(2 / (inputs * side * side))
    kernel = rng.normal(0, scale, (outputs, inputs, side, side))
    weights[f"{name}/kernel"] = kernel.astype(np.float32)
    weights[f"{name}/bias"] = np.zeros(outputs, np.float32)
