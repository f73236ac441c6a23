"""Labelled faces with everything that serving says of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes, calibrate
from age_gender.vision.face import Reason
from age_gender.vision.model_spec import ModelSpec
from age_gender.vision.quality import Quality
from age_gender.vision.reliability import assess_reliability
from training.data import Labels, set_weights
from training.looks import Looks

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]

TRUE_EDGES = (2, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80)
LARGE_ERROR = 10.0
"""Years; or this many times the usual error at that age:"""
TIMES_USUAL = 2.5


class Seen(Protocol):
    """N faces as the network and the measures of quality see them.

    Attributes:
        distributions: float32 ``[N, K]``, over ages, as the network returns them.
        male: float32 ``[N]``, raw probability of male.
        embedding: float16 ``[N, E]``.
    """

    @property
    def distributions(self) -> NDArray[np.float32]:
        """See the class."""

    @property
    def male(self) -> NDArray[np.float32]:
        """See the class."""

    @property
    def embedding(self) -> NDArray[np.float16]:
        """See the class."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: NDArray[np.intp], /) -> Self: ...

    def of(self, name: str) -> NDArray[np.float32]:
        """One quality of all faces, ``[N]``."""

    def qualities(self) -> list[Quality]:
        """All qualities of each face."""


@dataclass(frozen=True)
class Sample:
    """Observed faces with their labels.

    Attributes:
        looks: of N faces.
        labels: of the same.
        sets: ``[N]``, name of the data set; FairFace's two parts are one.
        second: bool ``[N]``, whether the face is in the half that nothing is fitted on.
    """

    looks: Looks
    labels: Labels
    sets: NDArray[np.str_]
    second: Bools

    def __getitem__(self, index: Bools | NDArray[np.intp]) -> Sample:
        return Sample(self.looks[index], self.labels[index], self.sets[index], self.second[index])

    def __len__(self) -> int:
        return len(self.looks)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights that let each data set count the same, but for small ones."""
        return set_weights(self.sets)


def age_errors(ages: Float, labels: Labels) -> Float:
    """Years outside the labelled age or range of ages, ``[N]``."""
    return np.asarray(np.maximum(np.maximum(labels.low - ages, ages - labels.high), 0))


def large_errors(ages: Float, labels: Labels) -> Bools:
    """Whether each age is far off, for a face of that age; bool ``[N]``."""
    errors, band = age_errors(ages, labels), np.digitize(labels.low, TRUE_EDGES)
    usual = np.full(len(TRUE_EDGES) + 1, LARGE_ERROR / TIMES_USUAL)
    for i in range(len(usual)):
        rows = labels.exact & (band == i)
        if rows.sum() >= 20:
            usual[i] = float(np.mean(errors[rows]))
    limits = np.minimum(LARGE_ERROR, np.maximum(TIMES_USUAL * usual, 3.0))
    return np.asarray(errors > limits[band])


def observed_attributes(looks: Seen, spec: ModelSpec) -> Attributes:
    """Attributes as serving has them."""
    bare = calibrate(looks.distributions, looks.male, spec)
    return replace(bare, embedding=looks.embedding.astype(np.float32))


def evaluated(
    looks: Seen, spec: ModelSpec
) -> tuple[Attributes, list[Quality], list[tuple[Reason, ...]]]:
    """Attributes, qualities and reasons as serving has them."""
    attributes = observed_attributes(looks, spec)
    certain = np.ones(len(looks), np.float32)
    return attributes, *assess_reliability(attributes, looks.qualities(), certain, spec.reliability)
