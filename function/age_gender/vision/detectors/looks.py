"""Joins several looks at one image: at another scale, in parts, or upside down.

A detector of one scale sees a face that is much larger than its anchors as several, one on each
part, and a face that is smaller than its anchors not at all. So an image is looked at again where
the first look gives a reason to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from age_gender.vision.detectors.base import Detections, joined
from age_gender.vision.geometry import inside_matrix, iou_matrix

SURE = 0.5
"""Score from which a look is trusted over another one, whatever confidence is asked for, so that a
lower confidence only adds faces."""
SAME_FACE = 0.5
"""IoU above which two looks have seen the same face."""
PART = 0.25
"""Share of a box inside a larger face, above which it may be a part of that face."""


def with_large_faces(fine: Detections, coarse: Detections, min_side: float) -> Detections:
    """Take large faces from a coarse look, and all others from a fine one.

    A box of the fine look that lies in a large face is part of it, unless the coarse look sees it,
    too: as a small face in front of a large one. Where the fine look is not sure, the coarse one
    decides.

    Args:
        fine: a look in which large faces may fall into parts.
        coarse: a look at a smaller scale, overlapping boxes suppressed.
        min_side: side from which a face is large, pixels.
    """
    sure = coarse.scores >= SURE
    is_large = sure & (coarse.sides >= min_side)
    large = coarse[np.flatnonzero(is_large)]
    other = coarse[np.flatnonzero(sure & ~is_large)]
    is_part = (inside_matrix(fine.boxes, large.boxes) > PART).any(axis=1)
    same = iou_matrix(fine.boxes, other.boxes) > SAME_FACE
    is_decided = same[fine.scores < SURE].any(axis=0)
    return joined(
        large,
        other[np.flatnonzero(is_decided)],
        fine[np.flatnonzero(~is_part | same.any(axis=1))],
    )


@dataclass(frozen=True)
class Tile:
    """A part of an image. Pixels of the image throughout.

    Attributes:
        x: left border.
        y: top border.
        width: of the part.
        height: of the part.
        core: ``x1, y1, x2, y2``: the tiles' cores cover the image without overlap. A face belongs
            to the tile whose core has its centre, where all of it is visible, if it is no larger
            than the overlap.
    """

    x: int
    y: int
    width: int
    height: int
    core: tuple[float, float, float, float]

    def own(self, detections: Detections) -> Detections:
        """Keep those whose centre is in the core; in pixels of the image."""
        x, y = ((detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2).T
        x1, y1, x2, y2 = self.core
        return detections[np.flatnonzero((x >= x1) & (x < x2) & (y >= y1) & (y < y2))]


def tiles(width: int, height: int, side: int, overlap: int) -> Iterator[Tile]:
    """Divide an image into overlapping tiles of equal size.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        side: maximum of a tile, pixels.
        overlap: of neighbouring tiles at least, pixels, less than ``side``.
    """
    columns, rows = _spans(width, side, overlap), _spans(height, side, overlap)
    for top, bottom, core_top, core_bottom in rows:
        for left, right, core_left, core_right in columns:
            core = (core_left, core_top, core_right, core_bottom)
            yield Tile(left, top, right - left, bottom - top, core)


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int, float, float]]:
    """Return begin and end of each tile along one axis, and of its core."""
    count = max(1, -(-(length - overlap) // (side - overlap)))
    size = min(length, -(-(length + (count - 1) * overlap) // count))
    begins = [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
    between = [(a + size + b) / 2 for a, b in pairwise(begins)]
    # A box may reach over the border of the image, and so may its centre.
    edges = [-float(length), *between, 2.0 * length]
    return [(a, a + size, edges[i], edges[i + 1]) for i, a in enumerate(begins)]
