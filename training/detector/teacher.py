"""Prepares the published detector as a teacher: ``python -m training.detector.teacher --out DIR``.

Fetches it as ``teacher.toml`` says. Writes ``teacher.tflite``, float32, which also returns its
feature maps, and ``large.npz``, its weights for pixels of 0 to 1, from which the small one starts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from modelbuild.build import fetched
from modelbuild.catalogue import load_catalogue
from modelbuild.export import export, require_close
from modelbuild.retinaface import Network
from modelbuild.retinaface_layers import MAPS
from modelbuild.weights import Weights
from training.detector import arrays
from training.detector.large import GRAPH, HALF, SLOPE, folded, for_pixels, read_graph

PINNED = Path(__file__).with_name("teacher.toml")
_SHAPE = (64, 64)
_PUBLISHED = {
    "boxes": "RetinaFaceModel/tf_op_layer_concat/concat:0",
    "landmarks": "RetinaFaceModel/tf_op_layer_concat_1/concat_1:0",
    "scores": "RetinaFaceModel/softmax/Softmax:0",
}
_TOLERANCE = {"boxes": 1e-3, "landmarks": 1e-3, "scores": 1e-4}


def answers(weights: Weights, image: Any) -> dict[str, Any]:
    """What the published detector says of images ``[B, H, W, 3]``, with its feature maps."""
    network = Network(weights, slope=SLOPE)
    maps = network.maps(image / HALF - 1)
    return {**network.answers(maps), **dict(zip(MAPS, maps, strict=True))}


def published(path: Path, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What the frozen graph itself says: ``boxes``, ``landmarks`` and ``scores``."""
    graph = read_graph(path)
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    said = whole.prune(["x:0"], list(_PUBLISHED.values()))(tf.constant(images))
    found = {name: value.numpy() for name, value in zip(_PUBLISHED, said, strict=True)}
    return found | {"scores": found["scores"][:, :, 1:]}


def write(source: Path, out: Path) -> None:
    """Write both files.

    Args:
        source: the frozen graph.
        out: folder.

    Raises:
        ModelBuildError: the network rebuilt from the weights disagrees with the graph.
    """
    weights = folded(read_graph(source))
    # Not square, so that swapped sides are noticed.
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 160, 3)).astype(np.float32)
    said = {name: value.numpy() for name, value in answers(weights, image).items()}
    said["scores"] = 1 / (1 + np.exp(-said.pop("logits")))
    require_close("rebuilt network", published(source, image), said, _TOLERANCE)
    out.mkdir(parents=True, exist_ok=True)
    spec = tf.TensorSpec([1, *_SHAPE, 3], tf.float32, name="image")
    export(lambda image: answers(weights, image), spec, out, "teacher", float16=False)
    arrays.write(out / "large.npz", for_pixels(weights))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write(fetched(load_catalogue(PINNED)["retinaface"]) / GRAPH, options.out)


if __name__ == "__main__":
    main()
