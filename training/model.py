"""The network: FaceRes's MobileNet-v1 with a head of our own, and its weights as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from modelbuild.faceres import BLOCKS, Layers, build_faceres
from training.data import OLDEST

HEAD_UNITS = 512
DROPOUT = 0.2
HEAD = ("hidden", "age_logits", "gender_logit")
"""Layers that do not come from FaceRes."""


def build(size: int, faceres: Layers | None = None, frozen_blocks: int = 0) -> keras.Model:
    """The network as it is trained: it gives logits.

    Args:
        size: side of the chips, pixels.
        faceres: weights to start the backbone from; None leaves random ones.
        frozen_blocks: how many of the first of the 13 blocks (and the convolution before them)
            are not trained.

    Returns:
        Model from ``chips`` ``[N, S, S, 3]`` (RGB, 0-255) to the dict ``age`` ``[N, 101]``
        (logits of the ages 0 to 100) and ``gender`` ``[N, 1]`` (logit of male).
    """
    source = build_faceres(faceres, size)
    embedding = source.get_layer("embedding").output
    x = keras.layers.Dropout(DROPOUT, name="dropout")(embedding)
    x = keras.layers.Dense(HEAD_UNITS, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(DROPOUT, name="dropout_hidden")(x)
    outputs = {
        "age": keras.layers.Dense(OLDEST + 1, name="age_logits", dtype="float32")(x),
        "gender": keras.layers.Dense(1, name="gender_logit", dtype="float32")(x),
    }
    model = keras.Model(source.inputs[0], outputs, name="age_gender")
    for name in frozen_layers(frozen_blocks):
        model.get_layer(name).trainable = False
    return model


def frozen_layers(blocks: int) -> list[str]:
    """Names of the layers with weights up to and with block number ``blocks``; 0: none."""
    if not 0 <= blocks <= len(BLOCKS):
        raise ValueError(f"there are {len(BLOCKS)} blocks, not {blocks}")
    pairs = [(f"conv_dw_{i}", f"conv_pw_{i}") for i in range(1, blocks + 1)]
    return ["conv1", *(name for pair in pairs for name in pair)] if blocks else []


def serving(model: keras.Model) -> Any:
    """The function that the service runs: as the model, but with probabilities.

    Args:
        model: as `build` gives it.

    Returns:
        Function from ``chips`` to the dict ``age`` (softmax) and ``gender`` (sigmoid).
    """

    def serve(chips: Any) -> dict[str, Any]:
        logits = model(chips, training=False)
        return {"age": ops.softmax(logits["age"]), "gender": ops.sigmoid(logits["gender"])}

    return serve


def weights_of(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Weights by ``layer/index``."""
    return {
        f"{layer.name}/{i}": np.asarray(array, np.float32)
        for layer in model.layers
        for i, array in enumerate(layer.get_weights())
        if layer.weights
    }


def set_weights(model: keras.Model, weights: dict[str, NDArray[np.floating]]) -> None:
    """Put weights as from `weights_of` into a model of the same architecture.

    Raises:
        KeyError: one is missing.
    """
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{i}"] for i in range(len(layer.weights))])


def rounded(weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Weights as a network in mixed bfloat16 precision uses them.

    The head was fitted to what these give; with the unrounded ones the network is another one.

    Args:
        weights: as from `weights_of`, of a network that `build` made under that policy.
    """
    exact = ("age_logits/", "gender_logit/")  # these layers compute in float32
    return {
        name: array if name.startswith(exact) else array.astype(bfloat16).astype(np.float32)
        for name, array in weights.items()
    }


def save(weights: dict[str, NDArray[np.float32]], path: Path) -> None:
    """Write weights as float16, compressed.

    Raises:
        ValueError: a weight is too large for float16.
    """
    halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in weights.items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise ValueError(f"weight {name} does not fit float16")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new.npz")  # what is there is taken for complete
    np.savez_compressed(temporary, **halves)
    temporary.replace(path)


def load(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read what `save` wrote, as float32."""
    with np.load(path) as arrays:
        return {name: array.astype(np.float32) for name, array in arrays.items()}
