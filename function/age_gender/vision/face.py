"""One detected face, as it is drawn and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from age_gender.vision.quality import Quality

Gender = Literal["M", "F"]
Reason = Literal[
    "not-a-face",
    "turned",
    "blurred",
    "dark",
    "overexposed",
    "small",
    "cut-off",
    "covered",
    "age-uncertain",
    "gender-uncertain",
]
"""Why attributes are not reliable, in the order in which answers name them."""


@dataclass(frozen=True)
class FaceAttributes:
    """Estimated age and gender of one face.

    Attributes:
        age: years.
        age_interval: years, lower and upper end; contains the true age with the model's coverage.
        gender: the likelier one.
        gender_probability: of ``gender``, 0.5-1.
        quality: how clearly the image shows the face.
        reasons: why the attributes are not reliable, if they are not.
        over: probability of being at least so many years old, for the years asked for.
    """

    age: float
    age_interval: tuple[float, float]
    gender: Gender
    gender_probability: float
    quality: Quality
    reasons: tuple[Reason, ...] = ()
    over: Mapping[int, float] = field(default_factory=dict)

    @property
    def reliable(self) -> bool:
        """Whether no reason speaks against relying on the attributes."""
        return not self.reasons


@dataclass(frozen=True)
class Face:
    """One detected face.

    Attributes:
        box: ``x1, y1, x2, y2``, whole pixels of the upright image, clipped to it.
        confidence: probability of being a human face, 0-1.
        landmarks: five ``(x, y)`` in pixels (order: see ``geometry``, left being left in an upright
            image of the face), None if there are none.
        attributes: None if they were not asked for.
    """

    box: tuple[int, int, int, int]
    confidence: float
    landmarks: list[tuple[float, float]] | None
    attributes: FaceAttributes | None
