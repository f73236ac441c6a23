"""BlazeFace for faces at any distance: from a LiteRT file to both forms that engines load.

Signature ``serving_default``:

* input ``chips``: float32 [N, 192, 192, 3], RGB, 0 to 255.
* output ``face``: float32 [N, 1]: highest logit of a face whose centre lies in the middle of the
  chip, within a quarter of its side.

Boxes and points, which the published network returns, too, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from modelbuild.export import Arrays
from modelbuild.litert_graph import Converter, load_graph, run_original

NAME = "blazeface"
FILE = "face_detection_full_range.tflite"
SIDE = 192
GRID = 48
"""Anchors in a row and in a column, one in each square of 4 pixels."""
MIDDLE = slice(GRID // 4, -GRID // 4)

_TOLERANCE = {"face": 1e-3}
# On noise.
_FLOAT16_TOLERANCE = {"face": 0.05}


def load_network(path: Path) -> Callable[[Any], dict[str, Any]]:
    """Rebuild the network of the package's file as a function from chips to one logit each.

    Raises:
        ModelBuildError: it has an operation that the known version of the file does not have.
    """
    graph = load_graph(path)

    def run(chips: Any) -> dict[str, Any]:
        _, logits = graph(chips / 127.5 - 1.0)
        middle = tf.reshape(logits, [-1, GRID, GRID, 1])[:, MIDDLE, MIDDLE]
        return {"face": tf.reduce_max(middle, [1, 2])}

    return run


def original(path: Path, chips: NDArray[np.float32]) -> Arrays:
    """What the package's file says of chips ``[N, 192, 192, 3]``."""
    _, logits = run_original(path, chips / np.float32(127.5) - 1)
    middle = logits.reshape(-1, GRID, GRID)[:, MIDDLE, MIDDLE]
    return {"face": middle.max((1, 2), keepdims=True)[:, :, 0]}


convert = Converter(
    NAME, FILE, SIDE, load_network, original, _TOLERANCE, _FLOAT16_TOLERANCE
).convert
