"""MediaPipe's face mesh: from a LiteRT file without a signature to both forms that engines load.

Signature ``serving_default``:

* input ``chips``: float32 [N, 192, 192, 3], RGB, 0 to 255.
* output ``points``: float32 [N, 468, 3]: x and y in pixels of the chip, depth in the same unit, in
  the order of MediaPipe's canonical face model.
* output ``face``: float32 [N, 1]: logit of the chip showing an upright face.
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

NAME = "facemesh"
FILE = "face_landmark.tflite"
SIDE = 192
POINTS = 468

_TOLERANCE = {"points": 1e-2, "face": 1e-3}
# Weights rounded to float16; on noise, which is harder than faces.
_FLOAT16_TOLERANCE = {"points": 1.0, "face": 0.2}


def load_network(path: Path) -> Callable[[Any], dict[str, Any]]:
    """Rebuild the network of the package's file as a function from chips to its two outputs.

    Raises:
        ModelBuildError: it has an operation that the known version of the file does not have.
    """
    graph = load_graph(path)

    def run(chips: Any) -> dict[str, Any]:
        points, face = graph(chips / 255.0)
        return {
            "points": tf.reshape(points, [-1, POINTS, 3]),
            "face": tf.reshape(face, [-1, 1]),
        }

    return run


def original(path: Path, chips: NDArray[np.float32]) -> Arrays:
    """What the package's file says of chips ``[N, 192, 192, 3]``."""
    points, face = run_original(path, chips / np.float32(255))
    return {"points": points.reshape(-1, POINTS, 3), "face": face}


convert = Converter(
    NAME, FILE, SIDE, load_network, original, _TOLERANCE, _FLOAT16_TOLERANCE
).convert
