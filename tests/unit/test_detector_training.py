"""The face detector: what it learns from, how it is made, and what it finds."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Image
from benchmarks import detectors
from benchmarks.detection import Labelled, counted, of_photos
from modelbuild.retinaface import Network
from modelbuild.weights import Weights
from tests.unit.models import model
from training.detector import sources
from training.detector.gptq import rounded
from training.detector.match import matched, stretch
from training.detector.narrow import narrow, narrowed
from training.detector.patches import FIRST, SECOND, on_patches
from training.detector.pictures import MARGIN, SIDE, picture
from training.scenes import Subject

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch is not installed: pip install torch==2.13.0 to test the training",
)


def material() -> sources.Sources:
    rng = np.random.default_rng(0)
    faces = [rng.integers(0, 256, (160, 160, 3), dtype=np.uint8) for _ in range(3)]
    others = [rng.integers(0, 256, (90, 140, 3), dtype=np.uint8) for _ in range(2)]
    return sources.Sources(faces, others)


# What it learns from


def test_pictures_are_varied_and_the_same_again_with_the_same_seed() -> None:
    made = [picture(material(), np.random.default_rng(seed)) for seed in range(24)]
    assert all(image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 for image in made)
    assert len({image.tobytes() for image in made}) == len(made)
    np.testing.assert_array_equal(made[5], picture(material(), np.random.default_rng(5)))
    # Some have the black border that the service leaves, and some do not.
    assert 0 < sum(not image[:, :MARGIN].any() for image in made) < len(made)


def test_files_are_held_out_by_content(tmp_path: Path) -> None:
    paths = []
    for number in range(96):
        image = np.full((70, 80, 3), number, np.uint8)
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[7].read_bytes())
    assert sources.is_held_out(copy) == sources.is_held_out(paths[7])
    both = [
        {image[0, 0, 0] for image in sources.chosen(paths, 96, np.random.default_rng(0), **part)}
        for part in ({"held_out": False}, {"held_out": True})
    ]
    assert both[0] | both[1] == set(range(96))
    assert not both[0] & both[1]
    assert 0 < len(both[1]) < 20


def test_what_is_no_picture_or_too_small_is_left_out(tmp_path: Path) -> None:
    text, small = tmp_path / "text.png", tmp_path / "small.png"
    text.write_text("no picture")
    cv2.imwrite(str(small), np.zeros((20, 200, 3), np.uint8))
    assert sources.read(text) is None
    assert sources.read(small) is None


def test_animals_that_must_not_be_learnt_from_are_left_out(tmp_path: Path) -> None:
    table = tmp_path / "animals.csv"
    table.write_text("file,kind,licence\na.png,cat,MIT\nb.png,cat,research only\n")
    assert [path.name for path in sources.other_files([], table)] == ["a.png"]


# How it is narrowed


def numbered(rng: np.random.Generator, name: str, *shape: int) -> Weights:
    """A layer with random weights, whose biases are the numbers of its channels."""
    kernel = rng.normal(size=shape).astype(np.float32)
    return {f"{name}/kernel": kernel, f"{name}/bias": np.arange(shape[0], dtype=np.float32)}


def test_channels_that_others_replace_are_removed_without_loss() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(500, 6))
    # The last three inputs are mixtures of the others.
    inputs = np.hstack([base, base @ rng.normal(size=(6, 3)), np.ones((500, 1))])
    layer = rng.normal(size=(4, 10))
    chosen, fitted = narrowed(inputs.T @ inputs / 500, layer, 6)
    assert len(chosen) == 6
    kept = [*chosen, 9]  # the constant stays
    error = inputs[:, kept] @ fitted.T - inputs @ layer.T
    assert np.abs(error).max() < 0.02 * np.abs(inputs @ layer.T).max()


def test_a_block_keeps_the_channels_of_all_its_layers() -> None:
    rng = np.random.default_rng(1)
    weights = {
        **numbered(rng, "b_expand", 8, 3, 1, 1),
        **numbered(rng, "b_depthwise", 8, 1, 3, 3),
        **numbered(rng, "b_project", 2, 8, 1, 1),
    }
    seen = rng.normal(size=(200, 8)).astype(np.float32)
    seen[:, 3] = 0  # never active
    narrow(weights, ["b_expand", "b_depthwise", "b_project"], seen, 4)
    kept = weights["b_expand/bias"]
    np.testing.assert_array_equal(kept, weights["b_depthwise/bias"])
    assert 3 not in kept
    assert weights["b_project/kernel"].shape == (2, 4, 1, 1)


def test_a_channel_is_removed_with_all_that_a_kernel_sees_of_it() -> None:
    rng = np.random.default_rng(2)
    weights = {**numbered(rng, "first", 5, 3, 3, 3), **numbered(rng, "last", 2, 5, 3, 3)}
    seen = rng.normal(size=(2000, 5, 9)).astype(np.float32)
    seen[:, 3] = seen[:, 1, ::-1] - 2 * seen[:, 4]  # all of it is in two others
    before = np.einsum("nck,ock->no", seen, weights["last/kernel"].reshape(2, 5, 9))
    before += weights["last/bias"]
    narrow(weights, ["first", "last"], seen.reshape(len(seen), -1), 4)
    kept = weights["first/bias"].astype(int)
    assert {0, 2} < set(kept)
    assert len(kept) == 4
    assert weights["last/kernel"].shape == (2, 4, 3, 3)
    after = np.einsum("nck,ock->no", seen[:, kept], weights["last/kernel"].reshape(2, 4, 9))
    np.testing.assert_allclose(after + weights["last/bias"], before, atol=0.01 * before.std())


@needs_torch
def test_the_last_layer_of_the_stem_loses_what_the_next_does_not_need() -> None:
    import torch

    from training.detector.slim import slim

    rng = np.random.default_rng(4)
    weights: Weights = {
        "stem1/kernel": rng.normal(0, 0.2, (6, 48, 3, 3)).astype(np.float32),
        "stem1/bias": rng.normal(1, 0.2, 6).astype(np.float32),
        "stem2/kernel": rng.normal(0, 0.2, (8, 6, 3, 3)).astype(np.float32),
        "stem2/bias": np.array([1, 1, 1, -100, 1, 1, 1, 1], np.float32),  # one is never active
        "block_3_fused/kernel": rng.normal(size=(4, 8, 3, 3)).astype(np.float32),
        "block_3_fused/bias": np.zeros(4, np.float32),
    }
    before = {name: array.copy() for name, array in weights.items()}
    images = torch.from_numpy(rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    slim(weights, images, 7)
    kept = [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(weights["stem2/kernel"], before["stem2/kernel"][kept])
    np.testing.assert_array_equal(weights["stem1/kernel"], before["stem1/kernel"])
    np.testing.assert_allclose(
        weights["block_3_fused/kernel"], before["block_3_fused/kernel"][:, kept], atol=0.02
    )


def test_rounded_weights_make_up_for_each_other() -> None:
    rng = np.random.default_rng(3)
    # Like neighbouring pixels, whose differences a layer looks at.
    seen = rng.normal(5, 1, (4000, 1)) + rng.normal(0, 0.1, (4000, 27))
    inputs = np.hstack([seen, np.ones((4000, 1))])
    layer = rng.normal(size=(4, 28))
    layer[:, :-1] -= layer[:, :-1].mean(axis=1, keepdims=True)
    steps = np.abs(layer[:, :-1]).max(axis=1) / 127
    plain = layer.copy()
    plain[:, :-1] = np.round(layer[:, :-1] / steps[:, None]) * steps[:, None]
    found = rounded(layer, inputs.T @ inputs / len(inputs))
    levels = found[:, :-1] / steps[:, None]
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-6)
    np.testing.assert_allclose(np.abs(levels).max(axis=1), 127)
    errors = [np.abs(inputs @ (other - layer).T).mean() for other in (plain, found)]
    assert errors[1] < errors[0] / 3


def test_the_first_layers_work_on_squares_of_pixels_with_the_same_results() -> None:
    rng = np.random.default_rng(0)
    large: Weights = {
        f"{FIRST}/kernel": rng.normal(0, 0.5, (5, 3, 3, 3)).astype(np.float32),
        f"{FIRST}/bias": rng.normal(0, 0.5, 5).astype(np.float32),
        f"{SECOND}/kernel": rng.normal(0, 0.5, (5, 1, 3, 3)).astype(np.float32),
        f"{SECOND}/bias": rng.normal(0, 0.5, 5).astype(np.float32),
    }
    image = rng.random((1, 24, 32, 3)).astype(np.float32)
    x = tf.nn.conv2d(image, large[f"{FIRST}/kernel"].transpose(2, 3, 1, 0), 2, "SAME")
    x = tf.nn.relu6(x + large[f"{FIRST}/bias"])
    x = tf.nn.depthwise_conv2d(
        x, large[f"{SECOND}/kernel"].transpose(2, 3, 0, 1), [1, 1, 1, 1], "SAME"
    )
    expected = tf.nn.space_to_depth(tf.nn.relu6(x + large[f"{SECOND}/bias"]), 2).numpy()
    found = Network(on_patches(large)).first_layers(image).numpy()
    assert found.std() > 0.1
    # Padding differs at the far borders.
    np.testing.assert_allclose(found[:, :-1, :-1], expected[:, :-1, :-1], atol=1e-5)


# How it learns


@needs_torch
def test_no_difference_from_the_same_answers() -> None:
    import torch

    from training.detector.losses import difference

    rng = torch.Generator().manual_seed(0)
    said = {
        "logits": torch.randn(2, 9, generator=rng) * 4,
        "boxes": torch.randn(2, 9, 4, generator=rng),
        "landmarks": torch.randn(2, 9, 10, generator=rng),
        **{name: torch.randn(2, 5, 3, 3, generator=rng) for name in ("c3", "c4", "c5")},
    }
    assert all(
        float(part) == pytest.approx(0, abs=1e-6) for part in difference(said, said).values()
    )
    for name in said:
        worse = difference({**said, name: said[name] + 1}, said)
        assert sum(float(part) for part in worse.values()) > 0.01, name


def test_scores_get_the_spread_of_others() -> None:
    rng = np.random.default_rng(0)
    taught = rng.normal(-3, 3, 4000).astype(np.float32)
    said = rng.permutation((taught - 0.4) / 1.2)
    slope, shift = stretch(said, taught)
    assert slope == pytest.approx(1.2, abs=0.02)
    assert shift == pytest.approx(0.4, abs=0.05)
    assert stretch(said[:20], taught[:20]) == (1.0, 0.0)  # too few to know


def test_only_the_scores_of_the_right_anchors_are_stretched() -> None:
    rng = np.random.default_rng(1)
    weights = {
        f"heads/logits_{level}/{part}": np.ones((2, 1, 1, 1) if part == "kernel" else 2, np.float32)
        for level in range(3)
        for part in ("kernel", "bias")
    }
    taught = [rng.normal(0, 3, (4, 400)).astype(np.float32) for _ in range(3)]
    said = [level.copy() for level in taught]
    said[1][:, 1::2] /= 2  # the second kind of anchor at the second stride
    changed = matched(weights, said, taught)
    for name, values in changed.items():
        expected = [1, 2] if "logits_1" in name else [1, 1]
        np.testing.assert_allclose(values.ravel(), expected, atol=0.05, err_msg=name)


# How it is compared


def subject() -> Subject:
    image = np.full((120, 120, 3), 60, np.uint8)
    image[30:90, 40:80] = 250
    return Subject(image, np.array([40, 30, 80, 90], np.float32), np.zeros((5, 2), np.float32))


def bright(image: Image) -> Detections:
    """A detector that finds the bright rectangles."""
    mask = (image.min(axis=2) > 150).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, area in stats[1:] if area > 30])
    return Detections(boxes.reshape(-1, 4).astype(np.float32), np.ones(len(boxes), np.float32))


@pytest.mark.parametrize("side", [20, 60, 200])
def test_pasted_faces_are_where_they_are_said_to_be(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = np.zeros((detectors.HEIGHT, detectors.WIDTH, 3), np.uint8)
    monkeypatch.setattr(detectors, "ground", lambda *_: dark.copy())
    rng = np.random.default_rng(0)
    pictures = list(detectors.pasted([subject()] * 5, [], side, 0.0, rng))
    assert sum(len(p.boxes) for p in pictures) == 5
    counts = counted(bright, pictures)
    assert counts == {"faces": 5, "found": 5, "false": 0}


def test_missed_and_false_faces_are_counted() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[10:30, 10:30] = 255
    boxes: NDArray[np.float32] = np.array([[60, 60, 80, 80]], np.float32)
    counts = counted(bright, [Labelled(image, boxes)])
    assert counts == {"faces": 1, "found": 0, "false": 1}


# What it has become


@pytest.mark.parametrize("side", [16, 24, 60])
def test_it_finds_the_faces_of_photos(side: int) -> None:
    detector = detectors.detector(model("retinaface.tflite"))
    counts = counted(lambda image: detector.detect(image, 0.5, 0.5, side), of_photos(side))
    assert counts["faces"] == 27
    assert counts["found"] >= 26
    assert counts["false"] <= 1


def test_all_but_its_heads_is_int8() -> None:
    interpreter = Interpreter(
        model_path=str(model("retinaface.tflite")),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    operations = [d["op_name"] for d in interpreter._get_ops_details()]
    assert "QUANTIZE" not in operations
    assert operations.count("DEQUANTIZE") == 3  # for the heads of each level
    assert interpreter.get_input_details()[0]["dtype"] is np.int8
