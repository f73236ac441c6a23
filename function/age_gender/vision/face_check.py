"""The probability that a box is a human face, from what the detector and the face mesh say.

A detector's score says how much a box looks like the faces that it was trained on, and is as high
for many a cat or a drawing. The face mesh is an independent opinion, and where the two place eyes,
nose and mouth differently, it is hardly a face. Tiny ones count by their score alone. A logistic
regression of all that, fitted by ``training.face_check`` for each detector, gives a probability
that means what it says: of boxes with 0.7, seven in ten are faces, if as many of all boxes are as
in the data that it was fitted on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from age_gender.errors import ModelUnavailable
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.geometry import Float, box_sides, clip_boxes
from age_gender.vision.orientation import Orientations

PARAMETERS = Path(__file__).with_name("face_check.json")
"""The fitted regression. It belongs to the detectors and the mesh, not to an attribute model."""

TRUSTED_SIDES = (24.0, 64.0)
"""Longer side in pixels at which the mesh starts to count, and from which it counts fully."""
USUAL_OVERLAP, USUAL_DISTANCE = 0.7, 0.06
"""Of faces that are clear to see, see `Orientations`; assumed where they are unknown."""
MAX_LOGIT = 9.2
"""Nothing is certain: scores and probabilities count as 0.0001 to 0.9999."""
FEATURES = (
    *("constant", "score", "size", "mesh", "mesh_size", "mesh_low", "turned"),
    *("overlap", "distance", "cut_off", "cut_off_mesh"),
)


@dataclass(frozen=True)
class Evidence:
    """What is known of N boxes; float32 ``[N]`` each.

    Attributes:
        scores: the detector's, 0-1.
        sides: longer side of the box, pixels.
        visible: share of the box that lies inside the image, 0-1.
        own: see `Orientations`.
        best: see `Orientations`.
        overlap: see `Orientations`.
        distance: see `Orientations`.
    """

    scores: Float
    sides: Float
    visible: Float
    own: Float
    best: Float
    overlap: Float
    distance: Float

    @classmethod
    def of(
        cls, detections: Detections, orientations: Orientations, width: int, height: int
    ) -> Self:
        """Collect it for detections in an image of ``width`` x ``height`` pixels."""
        boxes = detections.boxes
        inside = clip_boxes(boxes, width, height)
        areas = [np.prod(b[:, 2:] - b[:, :2], axis=1, dtype=np.float32) for b in (inside, boxes)]
        visible = areas[0] / np.maximum(areas[1], 1e-6)
        found = orientations
        return cls(
            *(detections.scores, box_sides(boxes), visible, found.own, found.best),
            *(found.overlap, found.distance),
        )

    @property
    def trust(self) -> Float:
        """How far the mesh counts, float32 ``[N]``: 0 in tiny faces, 1 in others."""
        first, full = np.log2(TRUSTED_SIDES)
        share = np.clip((np.log2(self.sides) - first) / (full - first), 0, 1)
        return np.asarray(np.where(np.isnan(self.own), 0, share), np.float32)

    @property
    def score_logits(self) -> Float:
        """Logits of the detector's scores, float32 ``[N]``."""
        scores = np.clip(self.scores.astype(np.float64), 1e-9, 1 - 1e-9)
        logits = np.log(scores / (1 - scores))
        return np.clip(logits, -MAX_LOGIT, MAX_LOGIT).astype(np.float32)


def features(evidence: Evidence) -> Float:
    """Compute the regression's inputs, of the order of 1 each, as far as the mesh is trusted.

    Args:
        evidence: of N boxes.

    Returns:
        float32 ``[N, K]``, in the order of `FEATURES`.
    """
    own, best = np.nan_to_num(evidence.own), np.nan_to_num(evidence.best)
    overlap = np.where(np.isnan(evidence.overlap), USUAL_OVERLAP, evidence.overlap)
    distance = np.where(np.isnan(evidence.distance), USUAL_DISTANCE, evidence.distance)
    size = np.clip(np.log2(evidence.sides) - 6, -1, 2) / 2
    mesh, cut_off = np.clip(best, -10, 30) / 10, 1 - evidence.visible
    columns = [
        np.ones_like(best),
        evidence.score_logits / 4,
        size,
        mesh,
        mesh * size,
        np.clip(5 - best, 0, 15) / 10,
        np.clip(best - own, 0, 20) / 10,
        (overlap - USUAL_OVERLAP) * 4,
        np.log2(np.clip(distance, 0.01, 0.5) / USUAL_DISTANCE),
        cut_off,
        cut_off * mesh,
    ]
    return (np.stack(columns, axis=1) * evidence.trust[:, None]).astype(np.float32)


def offsets(evidence: Evidence) -> Float:
    """Return what is added to the regression: the score alone, as far as the mesh is not trusted.

    Returns:
        float32 ``[N]``.
    """
    return np.asarray((1 - evidence.trust) * evidence.score_logits, np.float32)


class FaceCheckParameters(BaseModel):
    """A fitted regression, as ``face_check.json`` holds it.

    Attributes:
        licence: SPDX identifier of the parameters' licence.
        data: what it was fitted on, and what that means for its use.
        features: names of the inputs; `FEATURES`, or it was fitted for another version.
        weights: of the inputs, by detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    licence: str
    data: str
    features: tuple[str, ...]
    weights: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.features != FEATURES:
            raise ValueError("it is for other features")
        if missing := DETECTORS.keys() - self.weights.keys():
            raise ValueError(f"no weights for {', '.join(sorted(missing))}")
        if any(len(row) != len(FEATURES) for row in self.weights.values()):
            raise ValueError("one weight for each feature is needed")
        return self


class FaceCheck:
    """Turns evidence into probabilities."""

    def __init__(self, parameters: FaceCheckParameters):
        """Take a fitted regression."""
        rows = parameters.weights.items()
        self._weights = {name: np.array(row, np.float32) for name, row in rows}

    def probabilities(self, detector: DetectorName, evidence: Evidence) -> Float:
        """Return the probability of each box being a human face, float32 ``[N]``."""
        logits = features(evidence) @ self._weights[detector] + offsets(evidence)
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))), np.float32)


def load_face_check(path: Path = PARAMETERS) -> FaceCheck:
    """Read a fitted regression.

    Raises:
        ModelUnavailable: it is missing or damaged.
    """
    try:
        return FaceCheck(FaceCheckParameters.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError) as error:
        raise ModelUnavailable(f"{path.name} is missing or damaged: {error}") from error
