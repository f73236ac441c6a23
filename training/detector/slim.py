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
from torch import Tensor

from modelbuild.retinaface_layers import STRIDE_2, stem_layers
from modelbuild.weights import Weights, load
from training.detector import arrays
from training.detector.narrow import narrow
from training.detector.network import Detector
from training.detector.seen import seen
from training.detector.train import batches

BATCHES = 6
"""Of 16 pictures, to fit on."""
POSITIONS = 400
"""Of a picture, to fit on."""


@torch.no_grad()  # type: ignore[untyped-decorator]
def slim(weights: Weights, images: Tensor, keep: int) -> None:
    """Leave out channels of the stem's last layer, in place.

    Args:
        weights: of a trained detector.
        images: to fit the next layer on, uint8 ``[N, H, W, 3]``, RGB.
        keep: number of channels.
    """
    net = Detector(weights)
    follower = next(name for n in STRIDE_2 if net.has(name := f"block_{n}_fused"))
    inputs = seen(net.stem(images), 3, POSITIONS, stride=2)
    narrow(weights, [stem_layers(weights)[-1], follower], inputs, keep)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.npz of a run")
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--keep", type=int, required=True, help="number of channels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stream = batches(options.lessons, 16, np.random.default_rng(options.seed))
    weights = load(options.weights)
    slim(weights, torch.cat([next(stream)["images"] for _ in range(BATCHES)]), options.keep)
    arrays.write(options.out, weights)


if __name__ == "__main__":
    main()
