"""Ranges of the face detector's int8 activations come with its weights."""

import numpy as np
import pytest

from modelbuild.errors import ModelBuildError
from modelbuild.retinaface import INPUT, layer_of, ranges

TENSORS = (
    "patches/SpaceToDepth",
    "stem1/Relu6;stem1/BiasAdd",
    "block_1_project/BiasAdd;block_1_project/Conv2D",
    "FPN_ConvBN_2/Relu;FPN_ConvBN_2/BiasAdd",
    "FPN_add/concat",
    "FPN_add/DepthToSpace",
    "FPN_add/add",
    "SSH_0_ConvBN/Relu",
    "SSH_0_ConvBN_2/Relu",
    "SSH_0_ConvBN_4/Relu",
    "SSH_0/concat",
    "heads_boxes_0/BiasAdd",
    "answers_9/concat_2",
)
LIMITS = {
    "stem1": (0, 6),
    "block_1_project": (-3, 5),
    "FPN/ConvBN_2": (0, 4),
    "FPN/add": (0, 9),
    "SSH_0/ConvBN": (0, 2),
    "SSH_0/ConvBN_2": (0, 8),
    "SSH_0/ConvBN_4": (0, 3),
}
WEIGHTS = {f"limits/{name}": np.array(limits, np.float32) for name, limits in LIMITS.items()}


def test_ranges_are_those_of_the_layers() -> None:
    assert layer_of(TENSORS[2]) == "block_1_project"
    assert ranges(TENSORS, WEIGHTS) == {
        INPUT: (0, 255),
        TENSORS[0]: (0, 255),
        TENSORS[1]: (0, 6),
        TENSORS[2]: (-3, 5),
        TENSORS[3]: (0, 4),
        # Copies of the coarser map, before the sum.
        "FPN_add/concat": (0, 4),
        "FPN_add/DepthToSpace": (0, 4),
        "FPN_add/add": (0, 9),
        "SSH_0_ConvBN/Relu": (0, 2),
        "SSH_0_ConvBN_2/Relu": (0, 8),
        "SSH_0_ConvBN_4/Relu": (0, 3),
        "SSH_0/concat": (0, 8),
    }


def test_a_missing_range_and_one_without_a_layer_end_the_build() -> None:
    with pytest.raises(ModelBuildError, match="no range is known of block_2_add"):
        ranges([*TENSORS, "block_2_add/add"], WEIGHTS)
    more = WEIGHTS | {"limits/block_9_add": np.array([0, 1], np.float32)}
    with pytest.raises(ModelBuildError, match="there are no layers block_9_add"):
        ranges(TENSORS, more)
