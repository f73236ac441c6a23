"""One detected face, as it is drawn and reported."""

from dataclasses import dataclass
from typing import Literal

from age_gender.vision.quality import Quality

Gender = Literal["M", "F"]


@dataclass(frozen=True)
class FaceAttributes:
    """Estimated age and gender of one face.

    Attributes:
        age: years.
        age_interval: years, lower and upper end; contains the true age with the model's coverage.
        gender: the likelier one.
        gender_probability: of ``gender``, 0.5-1.
        quality: how clearly the image shows the face.
        reliable: whether the quality is within the model's limits.
    """

    age: float
    age_interval: tuple[float, float]
    gender: Gender
    gender_probability: float
    quality: Quality
    reliable: bool


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
