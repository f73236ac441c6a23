"""A small network becomes int8, its input as well."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from modelbuild.errors import ModelBuildError
from modelbuild.export import export
from modelbuild.quantise import computed, quantise, rearrange_in_int8, take_int8

SIDE = 8
PIXELS = (0.0, 255.0)
INPUT = "serving_default_image:0"


def network(image: Any) -> dict[str, Any]:
    """Enlarges by moving channels, which the quantiser leaves in float32."""
    rng = np.random.default_rng(0)
    with tf.name_scope("first"):
        x = tf.nn.relu6(tf.nn.conv2d(image, rng.normal(0, 0.01, (3, 3, 3, 16)), 1, "SAME"))
    with tf.name_scope("larger"):
        x = tf.nn.depth_to_space(x, 2)
    with tf.name_scope("second"):
        x = tf.nn.relu6(tf.nn.conv2d(x, rng.normal(0, 0.5, (3, 3, 4, 8)), 2, "SAME"))
    with tf.name_scope("answer"):
        return {"mean": tf.reduce_mean(x, (1, 2))}


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    spec = tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32, name="image")
    export(network, spec, tmp_path, "small", float16=False)
    model = tmp_path / "small.tflite"
    ranges = dict.fromkeys(computed(model), (0.0, 6.0))
    quantise(model, {**ranges, INPUT: PIXELS}, [r"answer.*", r"\w*PartitionedCall:\d"])
    return model


def image() -> Any:
    return np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.uint8)


def mean(model: Path) -> Any:
    return LiteRTEngine(model, CpuShares(1)).run(image())["mean"]


def operations(model: Path) -> list[str]:
    return [d["op_name"] for d in Interpreter(str(model))._get_ops_details()]


def test_neither_moving_nor_the_input_needs_a_conversion(quantised: Path) -> None:
    expected = network(tf.constant(image(), tf.float32))["mean"].numpy()
    before = mean(quantised)
    np.testing.assert_allclose(before, expected, atol=0.05)
    conversions = operations(quantised).count("QUANTIZE")
    rearrange_in_int8(quantised)
    np.testing.assert_array_equal(mean(quantised), before)
    assert operations(quantised).count("QUANTIZE") == conversions - 1
    take_int8(quantised)
    np.testing.assert_array_equal(mean(quantised), before)
    assert "QUANTIZE" not in operations(quantised)


def test_an_input_without_a_conversion_ends_the_build(quantised: Path) -> None:
    take_int8(quantised)
    with pytest.raises(ModelBuildError, match="its input is not converted to int8"):
        take_int8(quantised)


def test_another_scale_of_the_input_ends_the_build(tmp_path: Path) -> None:
    spec = tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32, name="image")
    export(network, spec, tmp_path, "small", float16=False)
    model = tmp_path / "small.tflite"
    ranges = dict.fromkeys(computed(model), (0.0, 6.0))
    quantise(model, {**ranges, INPUT: (-1.0, 1.0)}, [r"answer.*", r"\w*PartitionedCall:\d"])
    with pytest.raises(ModelBuildError, match="its input is not pixels of 0 to 255"):
        take_int8(model)
