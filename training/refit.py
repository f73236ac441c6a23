"""Fits a trained network's head again, on chips of the served size without degradation.

Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019: train at a lower
resolution, which is cheaper, then fit the last layers at the higher one. The backbone is frozen, so
its output is computed once and used for all epochs::

    python -m training.refit --prepared DIR --start RUN/weights.npz --size 224 --out W.npz

It also fits the first head, on the original backbone (``--faceres``), before training: a fresh head
would distort the backbone's features (Kumar et al., "Fine-Tuning can Distort Pretrained Features
and Underperform Out-of-Distribution", ICLR 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from modelbuild import agn
from modelbuild.faceres import midpoint
from training.batches import balancing_weights, plain_chips
from training.data import Labels, load_prepared
from training.losses import AgeLoss, GenderLoss
from training.metrics import summary
from training.train import GENDER_WEIGHT, training_rows, validation_rows

CHUNK = 512
"""Chips in memory at a time."""

Features = NDArray[np.float16]


def head_of(model: keras.Model) -> keras.Model:
    """Model of the layers after the backbone, from ``[N, 1024]``; shares the weights."""
    embedding = keras.Input(model.get_layer("embedding").output.shape[1:], name="features")
    x = model.get_layer("dropout")(embedding)
    x = model.get_layer("dropout_hidden")(model.get_layer("hidden")(x))
    outputs = {
        "age": model.get_layer("age_logits")(x),
        "gender": model.get_layer("gender_logit")(x),
    }
    return keras.Model(embedding, outputs)


def fit_head(
    head: keras.Model,
    features: Features,
    labels: Labels,
    *,
    epochs: int,
    rate: float,
    flatness: float = 0.0,
    batch: int = 256,
) -> None:
    """Train the head.

    Args:
        head: from `head_of`; its weights change.
        features: ``[N, 1024]``.
        labels: of the same N faces.
        epochs: passes over all.
        rate: initial learning rate, decaying to zero along a cosine.
        flatness: see `AgeLoss`.
        batch: faces per step.
    """
    steps = len(features) // batch * epochs
    head.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(rate, steps), weight_decay=0.02
        ),
        loss={"age": AgeLoss(flatness), "gender": GenderLoss()},
        loss_weights={"age": 1.0, "gender": GENDER_WEIGHT},
        jit_compile=False,
    )
    weights = balancing_weights(labels)
    targets: dict[str, Any] = {
        "age": np.stack([labels.low, labels.high], axis=1).astype(np.float32),
        "gender": labels.male[:, None].astype(np.float32),
    }
    head.fit(
        features.astype(np.float32),
        targets,
        sample_weight={"age": weights, "gender": weights},
        batch_size=batch,
        epochs=epochs,
        verbose=2,
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the head at the served size.")
    parser.add_argument("--prepared", type=Path, required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--start", type=Path, help="weights.npz of a run")
    source.add_argument("--faceres", type=Path, help="folder with faceres and faceres-deep")
    parser.add_argument("--out", type=Path, required=True, help="weights to write")
    parser.add_argument("--data", default="", help="only files whose names start with this")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--scale", type=float, default=1.25)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--flatness", type=float, default=0.0)
    parser.add_argument("--precision", default="mixed_bfloat16", help="Keras dtype policy")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(args.precision)
    data = load_prepared(args.prepared)
    model = agn.build(args.size, midpoint(args.faceres) if args.faceres else None)
    if args.start:
        agn.set_weights(model, agn.load(args.start))
    backbone = keras.Model(model.inputs, model.get_layer("embedding").output)

    def features_of(rows: NDArray[np.intp], jitter: bool) -> Features:
        rng = np.random.default_rng(1)
        parts = []
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            chips = plain_chips(
                data, part, size=args.size, scale=args.scale, rng=rng if jitter else None
            )
            features = backbone.predict(chips.astype(np.float32), batch_size=32, verbose=0)
            parts.append(np.asarray(features, np.float16))
        return np.concatenate(parts)

    held_out = validation_rows(data)
    held_out_features = features_of(held_out, jitter=False).astype(np.float32)
    head = head_of(model)

    def report(when: str) -> None:
        logits = head.predict(held_out_features, batch_size=256, verbose=0)
        ages = keras.ops.convert_to_numpy(keras.ops.softmax(logits["age"]))
        scores = summary(
            ages @ np.arange(ages.shape[1]), logits["gender"][:, 0] + 0.5, data.labels[held_out]
        )
        print(when, {name: round(value, 4) for name, value in scores.items()}, flush=True)

    report("before")
    rows = training_rows(data, args.data)
    fit_head(
        head,
        features_of(rows, jitter=True),
        data.labels[rows],
        epochs=args.epochs,
        rate=args.rate,
        flatness=args.flatness,
    )
    report("after")
    weights = agn.weights_of(model)
    if args.precision == "mixed_bfloat16":
        weights = agn.rounded(weights)
    agn.save(weights, args.out)


if __name__ == "__main__":
    main()
