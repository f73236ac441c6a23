"""Non-maximum suppression: of the boxes that overlap, only the best one stays.

Each box that stays is compared with all others at once. That takes memory for one row at a time,
and hardly any time for the usual case of many boxes and few faces.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Float, box_areas, box_sides, intersections, iou_matrix

SAME_LANDMARKS = 0.3
"""Mean distance of two faces' landmarks, in sides of the smaller box, below which they are the same
face. It is at most 0.26 for second boxes of one face, of 720 pictures of single faces."""
SAME_HALF = 0.35
"""The same for the eye and the corner of the mouth of one side. In 49 rows of two or three tightly
cropped faces, it is at most 0.25 for what is seen across a seam, and at least 0.45 for faces."""


def nms(
    boxes: Float,
    scores: Float,
    threshold: float,
    *,
    overlap: Callable[[Float, Float], Float] = iou_matrix,
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: ``[N, 4]``.
        scores: ``[N]``.
        threshold: a box that overlaps a better one by more than this is dropped.
        overlap: `geometry.iou_matrix` or `geometry.ios_matrix`.

    Returns:
        Indices of the boxes kept, best score first.
    """
    return _greedy(scores, lambda i, rest: overlap(boxes[i : i + 1], boxes[rest])[0] > threshold)


def distinct_faces(
    boxes: Float, scores: Float, landmarks: Float | None, threshold: float
) -> NDArray[np.intp]:
    """Non-maximum suppression that also knows two boxes of one face by their landmarks.

    A second box of a face is often a third larger or smaller, and its IoU too low. It still has its
    landmarks in the same places, unlike a second face, however close: a child held in the arms, or
    cheek to cheek.

    Args:
        boxes: ``[N, 4]``.
        scores: ``[N]``.
        landmarks: ``[N, 5, 2]``, or None for suppression by IoU only.
        threshold: a box is dropped if its IoU with a better one is above this, or its IoS is and
            the landmarks agree.

    Returns:
        Indices of the boxes kept, best score first.
    """
    if landmarks is None:
        return nms(boxes, scores, threshold)
    points, sides, areas = landmarks, box_sides(boxes), box_areas(boxes)

    def same(i: np.intp, rest: NDArray[np.intp]) -> NDArray[np.bool_]:
        shared = intersections(boxes[i : i + 1], boxes[rest])[0]
        # The smaller area is at most the union, so the IoS is at least the IoU.
        dropped: NDArray[np.bool_] = shared > threshold * np.minimum(areas[i], areas[rest])
        near = np.flatnonzero(dropped)
        if len(near):
            rows, shared = rest[near], shared[near]
            apart = points[rows] - points[i]
            distances = np.hypot(apart[..., 0], apart[..., 1]).mean(axis=1)
            agree = distances < SAME_LANDMARKS * np.minimum(sides[i], sides[rows])
            dropped[near] = agree | (shared > threshold * (areas[i] + areas[rows] - shared))
        return dropped

    return _greedy(scores, same)


def whole_faces(boxes: Float, landmarks: Float) -> NDArray[np.intp]:
    """Leave out what is made of halves of two faces.

    Where faces lie side by side without space, as in a grid of cropped portraits, a detector also
    sees one across the seam: its left side is the right side of one face, and its right side the
    left side of the next. Boxes alone do not show that, for neighbours may overlap as much.

    Args:
        boxes: ``[N, 4]``, most probable first.
        landmarks: ``[N, 5, 2]``, of the same.

    Returns:
        Indices of the others, ascending.
    """
    sides = box_sides(boxes)
    right, left = landmarks[:, None, [1, 4]], landmarks[None, :, [0, 3]]
    apart = np.hypot(*np.moveaxis(right - left, -1, 0)).mean(axis=-1)
    # joined[i, j]: the right side of i is the left side of j.
    joined = apart < SAME_HALF * np.minimum(sides[:, None], sides[None, :])
    np.fill_diagonal(joined, val=False)
    kept = np.ones(len(boxes), bool)
    while True:
        now = joined & kept[:, None] & kept[None, :]
        doubtful = now.any(axis=0) & now.any(axis=1)
        if not doubtful.any():
            return np.flatnonzero(kept)
        # In a row, every second one is a face, beginning with those at the ends.
        beside_a_face = ((now | now.T) & ~doubtful[None, :]).any(axis=1)
        first = doubtful & beside_a_face
        kept[np.flatnonzero(first if first.any() else doubtful)[-1]] = False


def _greedy(
    scores: Float, same: Callable[[np.intp, NDArray[np.intp]], NDArray[np.bool_]]
) -> NDArray[np.intp]:
    """Keep the best of what is left, and drop what is the same, until nothing is left.

    Args:
        scores: ``[N]``.
        same: returns which of some rows are suppressed by a row, a better one.
    """
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        if len(left):
            left = left[~same(best, left)]
    return np.array(kept, np.intp)
