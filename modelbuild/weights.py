"""Weights files of our own networks: arrays by ``layer/name``; each converter knows its axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
"""Arrays by ``layer/name``."""
LIMITS = "limits/"
"""Before the name of a layer or sum: lowest and highest value of its output, ``[2]``."""


def save(weights: Weights, path: Path) -> None:
    """Write weights as float16, compressed.

    Raises:
        ValueError: a weight is too large for float16.
    """
    halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in weights.items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise ValueError(f"weight {name} does not fit float16")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new.npz")  # a file of the final name counts as complete
    np.savez_compressed(temporary, **halves)
    temporary.replace(path)


def load(path: Path) -> Weights:
    """Read what `save` wrote, as float32."""
    with np.load(path) as arrays:
        return {name: array.astype(np.float32) for name, array in arrays.items()}
