"""Names and numbers of the face detector's layers, for building it and for training it.

Without TensorFlow, which the training does without.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import count, takewhile

BLOCKS = range(1, 16)
"""Numbers of the blocks, as MobileNetV2 counts them."""
STRIDE_2 = (1, 3, 6, 13)
MAPS = {"c3": 5, "c4": 12, "c5": 15}
"""Blocks whose outputs, at strides 8, 16 and 32, the pyramid is made of."""
COLUMNS = {"boxes": 4, "landmarks": 10, "logits": 1}
"""Numbers that are said of each anchor."""
PATCH = 4
"""Side of the squares that are one sample of the first convolution, pixels."""
CLIP = 6.0
"""Upper limit of activations in the backbone (ReLU6)."""
BRIGHTEST = 255.0
"""Of a pixel."""


def stem_layers(weights: Container[str]) -> list[str]:
    """Names of the first convolutions, at stride 4, in order.

    Args:
        weights: names of weights, ``LAYER/kernel``; the published network's have none.
    """
    names = (f"stem{number}" for number in count(1))
    return list(takewhile(lambda name: f"{name}/kernel" in weights, names))
