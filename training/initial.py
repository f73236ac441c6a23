"""Writes the weights of FaceRes for `training.train`.

::

    python -m training.initial --faceres DIR --out DIR

``faceres.npz`` hints where in their ranges ages are; ``faceres-mean.npz``, the mean of the two
networks in the package, is what our first networks started from. Only this step needs TensorFlow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modelbuild.weights import Weights, save


def write_faceres(folder: Path, out: Path) -> None:
    """Write both as ``layer/index`` arrays.

    Args:
        folder: with the TensorFlow.js files.
        out: folder for the results.
    """
    from modelbuild import faceres

    original = faceres.layer_weights(faceres.load_weights(folder))
    # Last: its presence marks both as complete.
    for name, layers in (("faceres-mean", faceres.midpoint(folder)), ("faceres", original)):
        weights: Weights = {
            f"{layer}/{i}": array
            for layer, arrays in layers.items()
            for i, array in enumerate(arrays)
        }
        save(weights, out / f"{name}.npz")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the weights of FaceRes for training.")
    parser.add_argument("--faceres", type=Path, required=True, help="folder of the original files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_faceres(args.faceres, args.out)


if __name__ == "__main__":
    main()
