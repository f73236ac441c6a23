"""Which way up each face is, by the face mesh.

Detectors find faces that are upside down or lie on their side, but place the landmarks as if they
were upright, so that the chip shows the face turned and its age is wrong. The mesh's logit is high
only for an upright chip. So where it is not, the other three quarter turns are tried; the landmarks
of a face that is turned, and of detectors that have none, are those of the mesh.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Float, Image, box_sides, iou_matrix, roll_angles, unmirrored
from age_gender.vision.mesh import FaceMesh, Meshes

MAX_FACES = 64
"""Faces looked at in one image, the largest ones, which bounds the time. Others stay as detected,
unless the detector has no landmarks."""
MAX_TURNED = 24
"""Faces in one image for which other turns are tried, the largest ones."""
MIN_SIDE = 24.0
"""Longer side in pixels below which the mesh is not asked: it sees less and less in such faces, and
none should be lost by it."""
CLEAR = 10.0
"""Logit from which a face counts as upright without trying other turns."""
MIN_GAIN = 5.0
"""Logit that a turn must be better by. Of 1,200 upright faces, none gained as much upside down."""
MIN_SCORE = 0.5
"""Detector's score below which no turns are tried: such boxes are mostly no faces, and costly."""
MIN_TURNED = 3.0
"""Logit from which the mesh's landmarks of a face that is turned by more than `MAX_ROLL` are taken,
not the detector's. Of 52 such faces with logits of 3 to 10, the detector's are 15 % of a side off,
the mesh's 9 %."""
MIN_LOCATED = 0.0
"""Logit below which the mesh's landmarks are not trusted, nor a turn that they would mean."""
FRONTAL = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
"""Landmarks of an upright frontal face in sides of its box: a guess where nothing is known."""
MAX_ROLL = np.pi / 6
"""Rotation in radians beyond which the detector's landmarks are less exact than the mesh's: of 191
faces at 45 to 60 degrees they are 4 degrees off, the mesh's 1.4; below 25 both are alike."""
MAX_COMPARED_ROLL = np.pi / 4
"""Rotation in radians beyond which the detector's landmarks say nothing about the mesh's."""
QUARTER_TURNS = (1, 2, 3)


@dataclass(frozen=True)
class Orientations:
    """What the mesh says of N faces. NaN where it did not look.

    Attributes:
        landmarks: float32 ``[N, 5, 2]`` in pixels.
        own: float32 ``[N]``, logit with the face as the detector has it.
        best: float32 ``[N]``, highest logit of all turns that were tried; where only the first was,
            ``own``.
        overlap: float32 ``[N]``, IoU of the detector's box and the one around the mesh, 0-1.
        distance: float32 ``[N]``, mean distance of the mesh's landmarks from the detector's, in
            sides of the box; NaN also where the face is turned by more than `MAX_COMPARED_ROLL`.
        turns: int ``[N]``, clockwise quarter turns of the face from where the detector had it.
    """

    landmarks: Float
    own: Float
    best: Float
    overlap: Float
    distance: Float
    turns: NDArray[np.intp]


def orient(mesh: FaceMesh, image: Image, detections: Detections) -> Orientations:
    """Find the quarter turn and the landmarks of each face.

    Args:
        mesh: the network.
        image: uint8 ``[H, W, 3]``, RGB.
        detections: N faces in pixels of the image.
    """
    count, sides = len(detections), box_sides(detections.boxes)
    if detections.landmarks is None:
        landmarks = _frontal(detections.boxes)
        looked_at = np.arange(count)
    else:
        landmarks = unmirrored(detections.landmarks)
        looked_at = _largest(np.flatnonzero(sides >= MIN_SIDE), sides, MAX_FACES)
    angles = roll_angles(landmarks)
    first = mesh.fit(image, detections.boxes[looked_at], angles[looked_at])
    own = np.full(count, np.nan, np.float32)
    own[looked_at] = first.logits
    best, turns = own.copy(), np.zeros(count, np.intp)
    overlap, distance = np.full_like(own, np.nan), np.full_like(own, np.nan)
    overlap[looked_at] = _overlaps(detections.boxes[looked_at], first.boxes)
    offsets = np.linalg.norm(first.landmarks - landmarks[looked_at], axis=2).mean(axis=1)
    distance[looked_at] = offsets / sides[looked_at]
    distance[np.abs(angles) > MAX_COMPARED_ROLL] = np.nan
    fits = first
    if detections.landmarks is None:
        located = first.logits >= MIN_LOCATED
    else:
        turned = np.flatnonzero(np.abs(angles[looked_at]) > MAX_ROLL)
        rows = looked_at[turned]
        level = _levelled(mesh, image, detections.boxes[rows], first[turned])
        fits = first.with_rows(turned, level)
        located = np.zeros(len(looked_at), np.bool_)
        located[turned] = _is_trusted(level, angles[rows])
    landmarks[looked_at[located]] = fits.landmarks[located]

    doubtful = np.flatnonzero((own < CLEAR) & (detections.scores >= MIN_SCORE))
    if not len(doubtful):
        return Orientations(landmarks, own, best, overlap, distance, turns)
    doubtful = _largest(doubtful, sides, MAX_TURNED)
    kept = np.searchsorted(looked_at, doubtful)
    tried = _turned(mesh, image, detections.boxes[doubtful], fits[kept], angles[doubtful])
    best[doubtful] = tried.logits
    better = tried.logits >= np.maximum(own[doubtful] + MIN_GAIN, MIN_LOCATED)
    rows = doubtful[better]
    landmarks[rows] = tried.landmarks[better]
    gained = (roll_angles(landmarks[rows]) - angles[rows]) / (np.pi / 2)
    turns[rows] = np.rint(gained).astype(np.intp) % 4
    overlap[rows] = _overlaps(detections.boxes[rows], tried[np.flatnonzero(better)].boxes)
    distance[rows] = np.nan
    return Orientations(landmarks, own, best, overlap, distance, turns)


def _levelled(mesh: FaceMesh, image: Image, boxes: Float, found: Meshes) -> Meshes:
    """Fit meshes again, level by their own points, and keep the better ones."""
    return found.better(mesh.fit(image, boxes, roll_angles(found.landmarks)))


def _is_trusted(level: Meshes, angles: Float) -> NDArray[np.bool_]:
    """Whether a turned face's landmarks are better taken from the mesh, bool ``[N]``.

    Args:
        level: the meshes.
        angles: ``[N]``, rotation of the faces as the detector has them, radians.
    """
    # More than an eighth turn is for the quarter turns, which ask for more.
    near = np.cos(roll_angles(level.landmarks) - angles) > np.cos(np.pi / 4)
    return np.asarray((level.logits >= CLEAR) | (level.logits >= MIN_TURNED) & near)


def _overlaps(a: Float, b: Float) -> Float:
    """IoU of each box of ``a`` with its counterpart in ``b``, float32 ``[N]``."""
    return np.array(
        [iou_matrix(x[None], y[None])[0, 0] for x, y in zip(a, b, strict=True)], np.float32
    )


def _frontal(boxes: Float) -> Float:
    corners, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    return np.asarray(corners + sides * FRONTAL, np.float32)


def _turned(mesh: FaceMesh, image: Image, boxes: Float, first: Meshes, angles: Float) -> Meshes:
    """Try the other quarter turns of each face, and then the best one, level by its own points.

    A quarter turn may still be off by up to 45 degrees, which lowers the logit.
    """
    tried = first
    for quarter in QUARTER_TURNS:
        turned = angles + np.float32(quarter * np.pi / 2)
        tried = tried.better(mesh.fit(image, boxes, turned))
    return _levelled(mesh, image, boxes, tried)


def _largest(rows: NDArray[np.intp], sides: Float, count: int) -> NDArray[np.intp]:
    """Return the ``count`` of ``rows`` with the longest sides, in order."""
    return np.sort(rows[np.argsort(-sides[rows], kind="stable")[:count]])
