"""Leaves out channels of a trained detector's last layer at stride 4: the most expensive one.

::

    python -m training.detector.slim --weights W.npz --lessons DIR --keep 64 --out RUN/initial.npz

The first dense block is fitted again, see `training.detector.narrow`. Train on from there with a
small rate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from modelbuild.retinaface_layers import STRIDE_2
from modelbuild.weights import Weights, load
from training.detector import arrays
from training.detector.narrow import narrow
from training.detector.network import Detector
from training.detector.train import batches

BATCHES = 6
"""Of 16 pictures, to fit on."""
POSITIONS = 400
"""Of a picture, to fit on."""


@torch.no_grad()  # type: ignore[untyped-decorator]
def seen_by(net: Detector, images: Tensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """What the 3x3 kernel of stride 2 after the stem sees, ``[N * POSITIONS, C * 9]``.

    Args:
        net: the detector.
        images: uint8 ``[N, H, W, 3]``, RGB.
        rng: chooses the positions.
    """
    rows = []
    for image in images:
        x = F.unfold(F.pad(net.stem(image[None]), (0, 1, 0, 1)), 3, stride=2)[0]
        rows.append(x[:, rng.permutation(x.shape[1])[:POSITIONS]].T.numpy())
    return np.concatenate(rows)


def slim(weights: Weights, images: Tensor, keep: int, rng: np.random.Generator) -> None:
    """Keep some channels of the stem's last layer, in place; see `seen_by`."""
    net = Detector(weights)
    last = 1
    while net.has(f"stem{last + 1}"):
        last += 1
    follower = next(name for n in STRIDE_2 if net.has(name := f"block_{n}_fused"))
    narrow(weights, [f"stem{last}", follower], seen_by(net, images, rng), keep)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.npz of a run")
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--keep", type=int, required=True, help="number of channels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    stream = batches(options.lessons, 16, rng)
    weights = load(options.weights)
    slim(weights, torch.cat([next(stream)["images"] for _ in range(BATCHES)]), options.keep, rng)
    arrays.write(options.out, weights)


if __name__ == "__main__":
    main()
