"""Measures RetinaFace's activations: ``python -m modelbuild.retinaface_ranges FOLDER``.

FOLDER holds JPEG photos with faces of many sizes; each is used at three scales. Run it again only
if the layers change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modelbuild.build import fetched
from modelbuild.catalogue import load_catalogue
from modelbuild.quantise import measure_ranges
from modelbuild.retinaface import GRAPH, NAME, RANGES, export_float, layer_of
from modelbuild.retinaface_weights import folded, for_pixels, read_graph, simplified

HEIGHT, WIDTH = 480, 640
SCALES = (1.0, 0.625, 0.3125)
"""Relative to the largest scale at which a photo fits the input."""


def _inputs(folder: Path) -> Iterator[NDArray[np.float32]]:
    for path in sorted(folder.glob("*.jpg")):
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if photo is None:
            raise SystemExit(f"cannot decode {path}")
        fit = min(HEIGHT / photo.shape[0], WIDTH / photo.shape[1])
        for scale in SCALES:
            size = [max(1, round(side * fit * scale)) for side in photo.shape[:2]]
            batch = np.zeros((1, HEIGHT, WIDTH, 3), np.float32)
            batch[0, : size[0], : size[1]] = cv2.resize(
                photo, (size[1], size[0]), interpolation=cv2.INTER_AREA
            )
            yield batch


def main(folder: Path) -> None:
    """Measure and write the ranges."""
    source = fetched(load_catalogue()[NAME])
    with tempfile.TemporaryDirectory() as scratch:
        weights = for_pixels(simplified(folded(read_graph(source / GRAPH))))
        model = export_float(weights, Path(scratch), (HEIGHT, WIDTH))
        measured = measure_ranges(model, "image", _inputs(folder))
    names = {layer.replace("/", "_"): layer for layer in json.loads(RANGES.read_bytes())}
    # Before any activation, and of sums: what ends in these.
    found = {
        names[layer_of(tensor)]: [float(f"{v:.5g}") for v in limits]
        for tensor, limits in measured.items()
        if tensor.split(";")[0].rpartition("/")[2] in ("BiasAdd", "add")
        and layer_of(tensor) in names
    }
    if missing := set(names.values()) - found.keys():
        raise SystemExit(f"not measured: {', '.join(sorted(missing))}")
    RANGES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
