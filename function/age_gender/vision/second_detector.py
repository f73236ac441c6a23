"""A second detector's opinion of boxes, where there is a doubt.

Detectors that were trained on different pictures err in different ones. Of 18 monkeys and apes that
all other networks together take for people, BlazeFace (see ``modelbuild/models.toml``) gives 16 a
logit below -1, and of 1,200 faces 3.
"""

import numpy as np

from age_gender.networks.engine import Engine
from age_gender.vision.geometry import ChipSource, Float, Image, rotated_transforms

SIDE = 192
"""Side of the network's input in pixels."""
SCALES = (1.5, 2.2)
"""Sides of the chips in lengths of the box's longer side: with a little and with all of the head.
Alone, each misses some animals."""


class SecondDetector:
    """Looks at boxes again. Safe to share between threads."""

    def __init__(self, engine: Engine):
        """Wrap a loaded network.

        Args:
            engine: input ``[N, 192, 192, 3]``; output ``face`` ``[N, 1]``, a logit.
        """
        self._engine = engine

    def logits(self, image: Image, boxes: Float, angles: Float) -> Float:
        """How much each box looks like a face: about 1 for most faces, -3 for most animals.

        Args:
            image: uint8 ``[H, W, 3]``, RGB.
            boxes: ``[N, 4]``, pixels.
            angles: ``[N]``, rotation of the faces, radians, clockwise positive.

        Returns:
            float32 ``[N]``, means over `SCALES`.
        """
        source = ChipSource(image)
        total = np.zeros(len(boxes), np.float32)
        for scale in SCALES:
            transforms = rotated_transforms(boxes, angles, scale, SIDE)
            for start in range(0, len(boxes), self._engine.batch):
                part = slice(start, start + self._engine.batch)
                chips = source.cut(transforms[part], SIDE)
                total[part] += self._engine.run(chips)["face"][:, 0]
        return total / np.float32(len(SCALES))
