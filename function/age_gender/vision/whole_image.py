"""A picture that is one face already: nothing is searched for, only looked at.

The face mesh says where in the picture the face is and how it is turned, so that the chip is cut
as from a detector's box. Where the mesh is not sure, the picture is taken for a chip as it is.
"""

from dataclasses import dataclass, replace

import numpy as np

from age_gender.vision.detectors.base import Detections
from age_gender.vision.face_check import Evidence
from age_gender.vision.geometry import Float, Image, box_sides, roll_angles
from age_gender.vision.mesh import FaceMesh, Meshes
from age_gender.vision.orientation import CLEAR, QUARTER_TURNS

SHARES = (1.0, 0.7, 0.45)
"""Of the picture's sides, that the face is tried at: cut tightly, as a chip, as a portrait."""
CHIP_SHARE = 0.8
"""Share of a chip's side that a detector's box takes; assumed where the mesh is not sure."""
BOX_WIDTH, BOX_HEIGHT, BOX_ABOVE = 0.82, 1.1, 0.06
"""Of a detector's box around a face, in heights of the mesh: width, height, and how much higher its
centre lies. Medians of clear faces in photos, where nine of ten are within 0.06, 0.05 and 0.02."""
NEUTRAL_SCORE = 0.5
"""In place of a detector's score, of which there is none."""


@dataclass(frozen=True)
class WholeFace:
    """The face of a picture.

    Attributes:
        box: float32 ``[1, 4]``, as a detector would place it, pixels; may lie outside the picture.
        landmarks: float32 ``[1, 5, 2]``, pixels; None if the mesh is not sure.
        logits: float32 ``[1]``, of the mesh.
    """

    box: Float
    landmarks: Float | None
    logits: Float

    @property
    def evidence(self) -> Evidence:
        """What speaks for its being a human face."""
        one = np.ones(1, np.float32)
        unseen = Evidence.unseen(one * np.float32(NEUTRAL_SCORE), box_sides(self.box), one)
        return replace(unseen, own=self.logits, best=self.logits)


def find_face(mesh: FaceMesh, image: Image) -> WholeFace:
    """Find out where the one face of a picture is, and how it is turned.

    Args:
        mesh: the network.
        image: uint8 ``[H, W, 3]``, RGB.
    """
    boxes = np.concatenate([_centred(image, share) for share in SHARES])
    angles = np.zeros(len(boxes), np.float32)
    best = _best(mesh.fit(image, boxes, angles))
    if best.logits[0] < CLEAR:
        for turn in QUARTER_TURNS:
            turned = angles + np.float32(turn * np.pi / 2)
            best = best.better(_best(mesh.fit(image, boxes, turned)))
    # Again, level and at the right size, for exact points.
    found = best.better(mesh.fit(image, detector_boxes(best), roll_angles(best.landmarks)))
    if found.logits[0] < CLEAR:
        return WholeFace(_centred(image, CHIP_SHARE), None, found.logits)
    return WholeFace(detector_boxes(found), found.landmarks, found.logits)


def whole_box(image: Image) -> Detections:
    """Return the whole picture as the one box."""
    return Detections(_centred(image, 1.0), np.ones(1, np.float32), None)


def detector_boxes(meshes: Meshes) -> Float:
    """Estimate the boxes that a detector would return for faces with these meshes.

    Args:
        meshes: of N faces.

    Returns:
        float32 ``[N, 4]``, pixels. The sides are those of the level face, around its true centre.
    """
    angles = roll_angles(meshes.landmarks)
    cos, sin = np.cos(angles), np.sin(angles)
    to_image = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    level = np.einsum("nji,npj->npi", to_image, meshes.points)
    low, high = level.min(axis=1), level.max(axis=1)
    heights = (high - low)[:, 1:]
    centres = (low + high) / 2 - heights * np.array([0, BOX_ABOVE], np.float32)
    centres = np.einsum("nij,nj->ni", to_image, centres)
    halves = heights * np.array([BOX_WIDTH, BOX_HEIGHT], np.float32) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def _centred(image: Image, share: float) -> Float:
    """Return the box in the middle with this share of the picture's sides, float32 ``[1, 4]``."""
    sides = np.array(image.shape[1::-1], np.float32)
    margin = sides * (1 - share) / 2
    return np.concatenate([margin, sides - margin]).astype(np.float32)[None]


def _best(meshes: Meshes) -> Meshes:
    return meshes[np.argmax(meshes.logits, keepdims=True)]
