"""An image, decoded at full or reduced size: a detector seldom needs all pixels of a photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Float, Image, box_sides
from age_gender.vision.model_spec import Chip

REDUCTIONS = (1, 2, 4, 8)
"""Factors by which an image may be decoded smaller, across and down."""


@dataclass(frozen=True)
class View:
    """An image at full or reduced size.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB, upright.
        reduction: one of `REDUCTIONS`.
    """

    image: Image
    reduction: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the full image, pixels."""
        height, width = self.image.shape[:2]
        return width * self.reduction, height * self.reduction

    def to_view(self, detections: Detections) -> Detections:
        """Convert from pixels of the full image to pixels of this view."""
        return detections.scaled(1 / self.reduction)

    def to_image(self, detections: Detections) -> Detections:
        """Convert from pixels of this view to pixels of the full image."""
        return detections.scaled(self.reduction)


class ImageSource(Protocol):
    """Something that gives views of one image."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the full image, pixels, before any rotation."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is not as it should be in the views so far, in sentences for people."""
        ...

    def max_reduction(self, scale: float, *, may_redecode: bool) -> int:
        """Return the largest reduction that is worth while for work at ``scale``.

        Args:
            scale: size of what is needed, relative to the full image.
            may_redecode: whether a larger view may be needed later.

        Returns:
            One of `REDUCTIONS` that divides both sides; the view is at least as large as ``scale``
            asks for.
        """
        ...

    def view(self, reduction: int) -> View:
        """Return the image at ``reduction``, which is at most `max_reduction`.

        Raises:
            ImageError: the file is damaged.
            ImageTooLarge: decoding would take too long.
        """
        ...


def reduction_for_chips(boxes: Float, chip: Chip) -> int:
    """Return the largest reduction at which no chip has to be enlarged because of it.

    Args:
        boxes: ``[N, 4]``, pixels of the full image, N at least 1.
        chip: how chips are cut.
    """
    image_pixels_per_chip_pixel = float(box_sides(boxes).min()) * chip.scale / chip.size
    return max(n for n in REDUCTIONS if n == 1 or n <= image_pixels_per_chip_pixel)
