"""RetinaFace's weights are made cheaper to run, with the same results."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from modelbuild.errors import ModelBuildError
from modelbuild.retinaface import layer_of, ranges
from modelbuild.retinaface_weights import (
    CLIP,
    FIRST,
    FOURTH,
    HALF,
    SECOND,
    THIRD,
    Weights,
    always_zero,
    for_pixels,
    simplified,
)

Array = NDArray[np.float32]


def layers(dead: int = 3) -> Weights:
    """The first four layers, with some channels that are always 0."""
    rng = np.random.default_rng(0)
    shapes = {
        FIRST: (8, 3, 3, 3),
        SECOND: (8, 1, 3, 3),
        THIRD: (4, 8, 1, 1),
        FOURTH: (6, 4, 1, 1),
    }
    weights = {}
    for layer, shape in shapes.items():
        weights[f"{layer}/kernel"] = rng.normal(0, 0.4, shape).astype(np.float32)
        weights[f"{layer}/bias"] = rng.normal(0.5, 0.4, shape[0]).astype(np.float32)
    weights[f"{FIRST}/kernel"][:dead] *= 0.01
    weights[f"{FIRST}/bias"][:dead] = -1
    weights[f"{SECOND}/bias"][:dead] = [-0.1, -0.2, 0.3][:dead]
    return weights


def run(weights: Weights, pixels: Array, upto: str) -> Array:
    """The output of a layer for pixels ``[1, H, W, 3]``."""
    x: Any = pixels
    for layer in (FIRST, SECOND, THIRD, FOURTH):
        if f"{layer}/kernel" not in weights:
            continue
        kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
        if layer == SECOND:
            x = tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), [1, 1, 1, 1], "SAME")
        else:
            x = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), 2 if layer == FIRST else 1, "SAME")
        x = x + bias
        if layer != THIRD:
            x = tf.clip_by_value(x, 0, CLIP)
        if layer == upto:
            break
    return np.asarray(x)


def pixels() -> Array:
    return np.random.default_rng(1).uniform(0, 255, (1, 16, 24, 3)).astype(np.float32)


def test_only_channels_that_are_always_0_are_left_out() -> None:
    weights = layers()
    # The third is 0 in the first layer, but what follows makes it 0.3.
    assert always_zero(weights).tolist() == [True, True] + [False] * 6
    seen = run(weights, pixels() / HALF - 1, SECOND)
    assert not seen[..., :2].any()
    assert seen[..., 2].any()


def test_the_results_stay_the_same() -> None:
    weights = layers()
    changed = simplified(weights)
    assert changed[f"{FIRST}/kernel"].shape[0] == 6
    assert f"{THIRD}/kernel" not in changed
    scaled = pixels() / np.float32(HALF) - 1
    np.testing.assert_allclose(
        run(changed, scaled, FOURTH), run(weights, scaled, FOURTH), rtol=1e-4, atol=1e-5
    )


def test_pixels_need_no_scaling_but_at_the_far_borders() -> None:
    weights = layers()
    before = run(weights, pixels() / np.float32(HALF) - 1, FIRST)
    after = run(for_pixels(weights), pixels(), FIRST)
    np.testing.assert_allclose(after[:, :-1, :-1], before[:, :-1, :-1], rtol=1e-4, atol=1e-4)
    assert np.abs(after[:, -1] - before[:, -1]).max() > 1e-3


TENSORS = (
    "Conv1/Relu6;Conv1/BiasAdd",
    "block_1_project/BiasAdd;block_1_project/Conv2D",
    "FPN_ConvBN_2/BiasAdd",
    "FPN_ConvBN_2/LeakyRelu",
    "FPN_ConvBN_3/BiasAdd",
    "FPN_add/concat",
    "FPN_add/DepthToSpace",
    "FPN_add/add",
    "SSH_0_ConvBN/BiasAdd",
    "heads_boxes_0/BiasAdd",
    "answers_9/concat_2",
)
LIMITS = {
    "block_1_project": (-3, 5),
    "FPN/ConvBN_2": (-2, 4),
    "FPN/ConvBN_3": (-1, 1),
    "FPN/add": (-7, 9),
}


def test_ranges_follow_from_those_of_the_layers() -> None:
    assert layer_of(TENSORS[1]) == "block_1_project"
    assert ranges(TENSORS, LIMITS) == {
        TENSORS[0]: (0, 6),
        TENSORS[1]: (-3, 5),
        "FPN_ConvBN_2/BiasAdd": (-2, 4),
        "FPN_ConvBN_2/LeakyRelu": (-0.2, 4),
        "FPN_ConvBN_3/BiasAdd": (-1, 1),
        # Copies of the coarser map, before the sum.
        "FPN_add/concat": (-0.2, 4),
        "FPN_add/DepthToSpace": (-0.2, 4),
        "FPN_add/add": (-7, 9),
    }


def test_a_missing_range_and_one_without_a_layer_end_the_build() -> None:
    with pytest.raises(ModelBuildError, match="no range is known of block_2_add/add"):
        ranges([*TENSORS, "block_2_add/add"], LIMITS)
    with pytest.raises(ModelBuildError, match="there are no layers block_9_add"):
        ranges(TENSORS, LIMITS | {"block_9_add": (0, 1)})
