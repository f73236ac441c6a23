"""Gives the small detector's scores the spread of the large one's.

What it is not sure of, it scores nearer to the middle than the large one does, so it finds fewer
faces at the same limit. For each kind of anchor, its logits are stretched and shifted so that as
many lie above any limit. That is part of the last layer's weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelbuild.weights import Weights

FROM, TO = -2.0, 6.0
"""Logits of the large detector between which it matters."""
FEWEST = 50
"""Anchors with such logits that are needed."""
ANCHORS = 2
"""Kinds of anchors at each stride."""

Logits = NDArray[np.float32]


def matched(weights: Weights, said: Sequence[Logits], taught: Sequence[Logits]) -> Weights:
    """Return the weights with stretched logits.

    Args:
        weights: of the small detector.
        said: its logits by stride, ``[N, A]`` each, the kinds of anchors alternating.
        taught: the same of the large detector.
    """
    changed = dict(weights)
    for level, (small, large) in enumerate(zip(said, taught, strict=True)):
        kernel, bias = (f"heads/logits_{level}/{part}" for part in ("kernel", "bias"))
        fits = [
            stretch(small[:, kind::ANCHORS].ravel(), large[:, kind::ANCHORS].ravel())
            for kind in range(ANCHORS)
        ]
        slopes, shifts = np.array(fits, np.float32).T
        changed[kernel] = weights[kernel] * slopes[:, None, None, None]
        changed[bias] = weights[bias] * slopes + shifts
    return changed


def stretch(said: Logits, taught: Logits) -> tuple[float, float]:
    """Slope and shift that give the highest of some logits the spread of others.

    Args:
        said: ``[N]``.
        taught: ``[N]``.
    """
    highest = np.sort(taught)[::-1]
    count = int((highest > FROM).sum())
    if count < FEWEST:
        return 1.0, 0.0
    small, large = np.sort(said)[::-1][:count], highest[:count]
    part = large < TO
    if part.sum() < FEWEST:
        return 1.0, 0.0
    slope, shift = np.polyfit(small[part], large[part], 1)
    return float(slope), float(shift)
