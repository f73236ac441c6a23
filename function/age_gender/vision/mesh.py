"""The face mesh: whether a chip shows an upright face, and where its eyes, nose and mouth are.

MediaPipe's network (see ``modelbuild/models.toml``) looks at a square chip around the face and
returns a logit and 468 points. The logit is high only for faces that are upright in the chip, which
makes it a second opinion on both what a detector calls a face and how it is turned.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.networks.engine import Engine
from age_gender.vision.geometry import ChipSource, Float, Image, rotated_transforms

SIDE = 192
"""Side of the network's input in pixels."""
SCALE = 1.5
"""Side of a chip in lengths of the bounding box's longer side."""
LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))
"""Points of the mesh whose means are the five landmarks: corners of both eyes, nose tip, mouth
corners, those on the left of the image first."""


@dataclass(frozen=True)
class Meshes:
    """The network's results for N faces.

    Attributes:
        logits: float32 ``[N]``; about 30 to 40 for a clear upright face, about 1 upside down, -11
            for grey areas.
        points: float32 ``[N, 468, 2]``, pixels of the image.
    """

    logits: Float
    points: Float

    def __getitem__(self, index: NDArray[np.intp]) -> "Meshes":
        return Meshes(self.logits[index], self.points[index])

    def with_rows(self, rows: NDArray[np.intp], other: "Meshes") -> "Meshes":
        """Replace the meshes at ``rows`` by those of ``other``, in order."""
        logits, points = self.logits.copy(), self.points.copy()
        logits[rows], points[rows] = other.logits, other.points
        return Meshes(logits, points)

    def better(self, other: "Meshes") -> "Meshes":
        """Choose the one of two meshes of each face that has the higher logit."""
        mine = self.logits >= other.logits
        points = np.where(mine[:, None, None], self.points, other.points)
        return Meshes(np.maximum(self.logits, other.logits), points)

    @property
    def landmarks(self) -> Float:
        """The five landmarks, float32 ``[N, 5, 2]`` in pixels (order: see ``geometry``)."""
        means = [self.points[:, index].mean(axis=1) for index in LANDMARKS]
        return np.stack(means, axis=1).astype(np.float32)

    @property
    def boxes(self) -> Float:
        """Boxes around all points, float32 ``[N, 4]`` in pixels."""
        return np.concatenate([self.points.min(axis=1), self.points.max(axis=1)], axis=1)


class FaceMesh:
    """Fits meshes to faces. Safe to share between threads."""

    def __init__(self, engine: Engine):
        """Wrap a loaded network.

        Args:
            engine: input ``[N, 192, 192, 3]``; outputs ``points`` ``[N, 468, 3]`` in pixels of the
                input, and ``face`` ``[N, 1]``, a logit.
        """
        self._engine = engine

    def fit(self, image: Image, boxes: Float, angles: Float) -> Meshes:
        """Fit a mesh to each face, a few at a time, so that memory does not grow with N.

        Args:
            image: uint8 ``[H, W, 3]``, RGB.
            boxes: ``[N, 4]``, pixels.
            angles: ``[N]``, rotation at which each face is taken to be, radians, clockwise
                positive.
        """
        transforms = rotated_transforms(boxes, angles, SCALE, SIDE)
        source = ChipSource(image)
        logits = np.zeros(len(boxes), np.float32)
        points = np.zeros((len(boxes), 468, 2), np.float32)
        for start in range(0, len(boxes), self._engine.batch):
            part = slice(start, start + self._engine.batch)
            outputs = self._engine.run(source.cut(transforms[part], SIDE))
            logits[part] = outputs["face"][:, 0]
            points[part] = _to_image(outputs["points"][:, :, :2], transforms[part])
        return Meshes(logits, points)


def _to_image(points: Float, transforms: Float) -> Float:
    """Convert points ``[N, P, 2]`` from pixels of their chips to pixels of the image."""
    inverses = np.stack([cv2.invertAffineTransform(transform) for transform in transforms])
    shifted = np.einsum("nij,npj->npi", inverses[:, :, :2], points) + inverses[:, None, :, 2]
    return np.asarray(shifted, np.float32)
