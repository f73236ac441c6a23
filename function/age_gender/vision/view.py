"""A picture decoded as small as will do: nobody looks at every pixel of a camera's millions."""

from dataclasses import dataclass

from age_gender.vision.decode import REDUCTIONS
from age_gender.vision.detectors import Detections
from age_gender.vision.geometry import Float, Image, box_sides
from age_gender.vision.model_spec import Chip


@dataclass(frozen=True)
class View:
    """A picture, or a smaller copy of it.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB, upright.
        reduction: how many pixels of the picture, across and down, are one of ``image``.
    """

    image: Image
    reduction: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture itself, pixels."""
        height, width = self.image.shape[:2]
        return width * self.reduction, height * self.reduction

    def seen(self, found: Detections) -> Detections:
        """Faces of the picture in this view's pixels."""
        return found.scaled(1 / self.reduction)

    def placed(self, found: Detections) -> Detections:
        """Faces of this view in the picture's pixels."""
        return found.scaled(self.reduction)


def reduction_for_chips(boxes: Float, chip: Chip) -> int:
    """Tell how far a picture may be reduced so that all chips still show as much as they can.

    Args:
        boxes: ``[N, 4]``, pixels of the picture, N at least 1.
        chip: how chips are cut.
    """
    pixels_by_pixel = float(box_sides(boxes).min()) * chip.scale / chip.size
    return max(n for n in REDUCTIONS if n == 1 or n <= pixels_by_pixel)
