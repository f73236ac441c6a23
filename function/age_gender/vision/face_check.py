"""The probability that a box is a human face, from what the networks say of it.

A detector's score says how much a box looks like the faces that it was trained on, and is as high
for many a cat or a drawing. The features of the network for age and gender tell more, by a linear
classifier that is part of its specification. The face mesh is an independent opinion, and where it
and the detector place eyes, nose and mouth differently, it is hardly a face; it is asked only where
there is a doubt, and a second detector where there still is one. Tiny boxes count by their score
alone. Logistic regressions of what is known, fitted by ``training.face_check`` for each detector,
give a probability that means what it says: of boxes with 0.7, seven in ten are faces, if as many of
all boxes are as in the data that it was fitted on.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from age_gender.errors import ModelUnavailable
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.geometry import Float, box_sides, clip_boxes
from age_gender.vision.model_spec import FaceClassifiers
from age_gender.vision.orientation import Orientations

PARAMETERS = Path(__file__).with_name("face_check.json")
"""The fitted regressions. They belong to both detectors, the mesh, the second detector and the
classifiers in the networks' specifications."""

TRUSTED_SIDES = (12.0, 48.0)
"""Longer side in pixels at which more than the score starts to count, and from which it counts
fully. All of 140 faces of 12 to 24 pixels had features that speak for a face; 63 of 103 animals,
drawings and textures of that size had ones that speak against it."""
CLEAR_SECOND = 1.0
"""Logit of the second detector for most faces."""
USUAL_OVERLAP, USUAL_DISTANCE = 0.7, 0.06
"""Of faces that are clear to see, see `Orientations`; assumed where they are unknown."""
MAX_LOGIT = 9.2
"""Nothing is certain: scores and probabilities count as 0.0001 to 0.9999."""

Variant = Literal["mesh", "embedding", "both", "all"]
"""What is known of a box, besides the detector's score."""
_MESH = (
    *("constant", "score", "size", "mesh", "mesh_size", "mesh_low", "turned"),
    *("overlap", "distance", "cut_off", "cut_off_mesh"),
)
FEATURES: dict[Variant, tuple[str, ...]] = {
    "mesh": _MESH,
    "embedding": ("constant", "score", "size", "embedding", "embedding_size", "cut_off"),
    "both": (*_MESH, "embedding", "embedding_size"),
    "all": (*_MESH, "embedding", "embedding_size", "second", "second_size", "cut_off_second"),
}


@dataclass(frozen=True)
class Evidence:
    """What is known of N boxes; NaN where something is not known. float32 ``[N]`` each.

    Attributes:
        scores: the detector's, 0-1.
        sides: longer side of the box, pixels.
        visible: share of the box that lies inside the image, 0-1.
        own: see `Orientations`.
        best: see `Orientations`.
        overlap: see `Orientations`.
        distance: see `Orientations`.
        embedding: logit of being a face by the features of the network for age and gender.
        second: logit of the second detector.
        turned: bool ``[N]``, whether the features of the network for age and gender show a face
            that is turned.
    """

    scores: Float
    sides: Float
    visible: Float
    own: Float
    best: Float
    overlap: Float
    distance: Float
    embedding: Float
    second: Float
    turned: NDArray[np.bool_]

    @classmethod
    def of(cls, detections: Detections, width: int, height: int) -> Self:
        """Collect what detections in an image of ``width`` x ``height`` pixels tell."""
        boxes = detections.boxes
        inside = clip_boxes(boxes, width, height)
        areas = [np.prod(b[:, 2:] - b[:, :2], axis=1, dtype=np.float32) for b in (inside, boxes)]
        visible = areas[0] / np.maximum(areas[1], 1e-6)
        return cls.unseen(detections.scores, box_sides(boxes), visible)

    @classmethod
    def unseen(cls, scores: Float, sides: Float, visible: Float) -> Self:
        """Evidence of boxes that no network but the detector has looked at, ``[N]`` each."""
        unknown = np.full(len(scores), np.nan, np.float32)
        return cls(
            scores=scores,
            sides=sides,
            visible=visible,
            own=unknown,
            best=unknown,
            overlap=unknown,
            distance=unknown,
            embedding=unknown,
            second=unknown,
            turned=np.zeros(len(scores), np.bool_),
        )

    def with_mesh(self, rows: NDArray[np.intp], found: Orientations) -> "Evidence":
        """Add what the mesh says of the boxes at ``rows``."""
        changed = {}
        for name in ("own", "best", "overlap", "distance"):
            changed[name] = getattr(self, name).copy()
            changed[name][rows] = getattr(found, name)
        return replace(self, **changed)

    def with_second(self, rows: NDArray[np.intp], logits: Float) -> "Evidence":
        """Add what the second detector says of the boxes at ``rows``."""
        second = self.second.copy()
        second[rows] = logits
        return replace(self, second=second)

    def with_embedding(self, embedding: Float | None, check: FaceClassifiers | None) -> "Evidence":
        """Add what features ``[N, E]`` of the network for age and gender say of all boxes."""
        if embedding is None or check is None:
            return self
        logits = np.clip(check.face.logits(embedding), -20, 20)
        return replace(self, embedding=logits, turned=check.turned.logits(embedding) > 0)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Evidence":
        return Evidence(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @cached_property
    def trust(self) -> Float:
        """How far all but the score counts, float32 ``[N]``: 0 in tiny faces, 1 in others."""
        first, full = np.log2(TRUSTED_SIDES)
        share = np.clip((np.log2(self.sides) - first) / (full - first), 0, 1)
        known = ~(np.isnan(self.own) & np.isnan(self.embedding))
        return np.asarray(np.where(known, share, 0), np.float32)

    @cached_property
    def score_logits(self) -> Float:
        """Logits of the detector's scores, float32 ``[N]``."""
        scores = np.clip(self.scores.astype(np.float64), 1e-9, 1 - 1e-9)
        logits = np.log(scores / (1 - scores))
        return np.clip(logits, -MAX_LOGIT, MAX_LOGIT).astype(np.float32)

    @cached_property
    def variants(self) -> NDArray[np.str_]:
        """The `Variant` of each box, ``[N]``."""
        mesh, embedding = ~np.isnan(self.own), ~np.isnan(self.embedding)
        both = np.where(np.isnan(self.second), "both", "all")
        return np.where(embedding, np.where(mesh, both, "embedding"), "mesh")


def features(evidence: Evidence, variant: Variant) -> Float:
    """Compute a regression's inputs, of the order of 1 each, as far as they are trusted.

    Args:
        evidence: of N boxes.
        variant: what is known of them.

    Returns:
        float32 ``[N, K]``, in the order of `FEATURES`.
    """
    size = np.clip(np.log2(evidence.sides) - 6, -1, 2) / 2
    cut_off = 1 - evidence.visible
    embedding = np.clip(np.nan_to_num(evidence.embedding), -10, 10) / 5
    columns = {
        "constant": np.ones_like(size),
        "score": evidence.score_logits / 4,
        "size": size,
        "cut_off": cut_off,
        "embedding": embedding,
        "embedding_size": embedding * size,
    }
    if variant != "embedding":
        columns |= _mesh_features(evidence, size, cut_off)
    if variant == "all":
        second = np.clip(np.nan_to_num(evidence.second), -4, 2) - CLEAR_SECOND
        columns |= {
            "second": second,
            "second_size": second * size,
            "cut_off_second": cut_off * second,
        }
    chosen = np.stack([columns[name] for name in FEATURES[variant]], axis=1)
    return (chosen * evidence.trust[:, None]).astype(np.float32)


def _mesh_features(evidence: Evidence, size: Float, cut_off: Float) -> dict[str, Float]:
    own, best = np.nan_to_num(evidence.own), np.nan_to_num(evidence.best)
    overlap = np.where(np.isnan(evidence.overlap), USUAL_OVERLAP, evidence.overlap)
    distance = np.where(np.isnan(evidence.distance), USUAL_DISTANCE, evidence.distance)
    mesh = np.clip(best, -10, 30) / 10
    return {
        "mesh": mesh,
        "mesh_size": mesh * size,
        "mesh_low": np.clip(5 - best, 0, 15) / 10,
        "turned": np.clip(best - own, 0, 20) / 10,
        "overlap": (overlap - USUAL_OVERLAP) * 4,
        "distance": np.log2(np.clip(distance, 0.01, 0.5) / USUAL_DISTANCE),
        "cut_off_mesh": cut_off * mesh,
    }


def offsets(evidence: Evidence) -> Float:
    """Return what is added to a regression: the score alone, as far as the rest is not trusted.

    Returns:
        float32 ``[N]``.
    """
    return np.asarray((1 - evidence.trust) * evidence.score_logits, np.float32)


class FaceCheckParameters(BaseModel):
    """The fitted regressions, as ``face_check.json`` holds them.

    Attributes:
        licence: SPDX identifier of the parameters' licence.
        data: what they were fitted on, and what that means for their use.
        features: names of the inputs; `FEATURES`, or they were fitted for another version.
        weights: of the inputs, by detector and variant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    licence: str
    data: str
    features: dict[Variant, tuple[str, ...]]
    weights: dict[str, dict[Variant, tuple[float, ...]]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.features != FEATURES:
            raise ValueError("they are for other features")
        if missing := DETECTORS.keys() - self.weights.keys():
            raise ValueError(f"no weights for {', '.join(sorted(missing))}")
        for rows in self.weights.values():
            if any(len(rows.get(name, ())) != len(names) for name, names in FEATURES.items()):
                raise ValueError("one weight for each feature is needed")
        return self


class FaceCheck:
    """Turns evidence into probabilities."""

    def __init__(self, parameters: FaceCheckParameters):
        """Take fitted regressions."""
        self._weights = {
            (detector, variant): np.array(row, np.float32)
            for detector, rows in parameters.weights.items()
            for variant, row in rows.items()
        }

    def probabilities(self, detector: DetectorName, evidence: Evidence) -> Float:
        """Return the probability of each box being a human face, float32 ``[N]``."""
        logits, variants = offsets(evidence), evidence.variants
        for variant in FEATURES:
            rows = np.flatnonzero(variants == variant)
            if len(rows):
                part = evidence if len(rows) == len(variants) else evidence[rows]
                logits[rows] += features(part, variant) @ self._weights[detector, variant]
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))), np.float32)


def load_face_check(path: Path = PARAMETERS) -> FaceCheck:
    """Read fitted regressions.

    Raises:
        ModelUnavailable: it is missing or damaged.
    """
    try:
        return FaceCheck(FaceCheckParameters.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError) as error:
        raise ModelUnavailable(f"{path.name} is missing or damaged: {error}") from error
