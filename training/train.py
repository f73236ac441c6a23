"""Trains an age and gender model, and resumes where it was stopped.

::

    python -m training.train --prepared DIR --faceres DIR --run DIR [--data fairface]

The command for a whole model is ``python -m training.steps``.

Writes ``log.csv`` (one line per epoch), ``checkpoint.npz`` and ``weights.npz`` (averaged weights,
after every epoch) to ``--run``. ``KERAS_BACKEND`` selects the backend.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from modelbuild import agn
from modelbuild.faceres import midpoint
from training.batches import TrainingBatches, plain_chips
from training.data import Prepared, load_prepared
from training.losses import AgeLoss, GenderLoss
from training.metrics import summary
from training.recipes import Tuning

GENDER_WEIGHT = 2.0
"""Of the gender loss, relative to the age loss."""
AVERAGE_EVERY = 4
"""Steps between updates of the averaged weights."""
SAVE_EVERY = 300
"""Steps between checkpoints, in addition to one after each epoch."""

Arrays = list[NDArray[np.float32]]


class GroupedAdamW(keras.optimizers.AdamW):  # type: ignore[misc] # Keras has no types
    """AdamW (Loshchilov and Hutter 2019) with a higher learning rate for the head.

    A rate that suits a fresh head would destroy the features of a trained backbone.
    """

    def __init__(self, rate: Any, *, head_rate: float, **rest: Any):
        """Configure AdamW; ``head_rate`` is the head's learning rate in units of ``rate``."""
        super().__init__(rate, **rest)
        self._head_rate = head_rate

    def build(self, variables: list[Any]) -> None:
        """Record which variables belong to the head."""
        super().build(variables)
        self._rates = [
            self._head_rate if set(agn.HEAD) & set(variable.path.split("/")) else 1.0
            for variable in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)


class ExponentialMovingAverage:
    """Exponential moving average of weights (Polyak and Juditsky 1992).

    The momentum ramps up to its final value, so the first weights are soon forgotten.
    """

    def __init__(self, weights: Arrays, momentum: float):
        self.weights = [w.copy() for w in weights]
        self._momentum = momentum

    def update(self, weights: Arrays, steps: int, step: int) -> None:
        """Add the weights of step number ``step``, ``steps`` after the last update."""
        momentum = min(self._momentum, (1 + step) / (10 + step))
        keep = np.float32(momentum**steps)
        for mean, weight in zip(self.weights, weights, strict=True):
            mean *= keep
            mean += (1 - keep) * weight


class Run:
    """A training run in a folder."""

    def __init__(self, folder: Path, model: keras.Model, recipe: Tuning, steps: int):
        """Compile the model and restore the checkpoint, if there is one.

        Args:
            folder: of the run; made if missing.
            model: from `modelbuild.agn.build`.
            recipe: hyperparameters.
            steps: of the whole run.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint = folder / "checkpoint.npz"
        self.model = model
        warm_up = min(300, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            recipe.rate * 0.01,
            max(1, steps - warm_up),
            alpha=0.02,
            warmup_target=recipe.rate,
            warmup_steps=max(1, warm_up),
        )
        self._optimizer = GroupedAdamW(
            schedule,
            head_rate=recipe.head_rate,
            weight_decay=recipe.decay,
            global_clipnorm=5.0,
        )
        self._optimizer.build(model.trainable_variables)
        model.compile(
            self._optimizer,
            loss={"age": AgeLoss(recipe.flatness), "gender": GenderLoss()},
            loss_weights={"age": 1.0, "gender": GENDER_WEIGHT},
            jit_compile=False,
        )
        self.average = ExponentialMovingAverage(model.get_weights(), recipe.average)
        self.step = 0
        if self._checkpoint.exists():
            self._restore()

    def save(self) -> None:
        """Write a checkpoint."""
        arrays: dict[str, Any] = {"step": np.array(self.step)}
        arrays |= {f"model/{i}": w for i, w in enumerate(self.model.get_weights())}
        arrays |= {f"average/{i}": w for i, w in enumerate(self.average.weights)}
        for i, variable in enumerate(self._optimizer.variables):
            arrays[f"optimizer/{i}"] = keras.ops.convert_to_numpy(variable.value)
        temporary = self._checkpoint.with_suffix(".new.npz")
        np.savez(temporary, **arrays)
        temporary.replace(self._checkpoint)

    def _restore(self) -> None:
        with np.load(self._checkpoint) as arrays:
            count = len(self.model.get_weights())
            self.step = int(arrays["step"])
            self.model.set_weights([arrays[f"model/{i}"] for i in range(count)])
            self.average.weights = [arrays[f"average/{i}"] for i in range(count)]
            for i, variable in enumerate(self._optimizer.variables):
                variable.assign(arrays[f"optimizer/{i}"])


def training_rows(data: Prepared, prefix: str) -> NDArray[np.intp]:
    """Indices ``[M]`` of the training images: with a face, not in the validation part, no copy."""
    use = data.detected & ~data.validation & ~data.leaked & has_prefix(data, prefix)
    return np.flatnonzero(use)


def validation_rows(data: Prepared) -> NDArray[np.intp]:
    """Indices ``[M]`` of the validation images with a detected face."""
    return np.flatnonzero(data.detected & data.validation)


def has_prefix(data: Prepared, prefix: str) -> NDArray[np.bool_]:
    """Whether each image's file name starts with ``prefix``, ``[N]``."""
    return np.asarray(np.char.startswith(data.labels.name, prefix))


def predict(
    model: keras.Model, chips: NDArray[np.uint8], batch: int = 64
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predict age distributions ``[N, K]`` and probabilities of male ``[N]``."""
    serve = agn.serving(model)
    ages, male = [], []
    for start in range(0, len(chips), batch):
        outputs = serve(chips[start : start + batch].astype(np.float32))
        ages.append(keras.ops.convert_to_numpy(outputs["age"]))
        male.append(keras.ops.convert_to_numpy(outputs["gender"])[:, 0])
    return np.concatenate(ages), np.concatenate(male)


def train(data: Prepared, model: keras.Model, recipe: Tuning, folder: Path, prefix: str) -> None:
    """Train and write the results to ``folder``; resume if it has a checkpoint.

    Args:
        data: all images.
        model: with its initial weights.
        recipe: hyperparameters.
        folder: of the run.
        prefix: of the file names to train on; empty: all.
    """
    rows = training_rows(data, prefix)
    batches = TrainingBatches(
        data,
        rows,
        size=recipe.size,
        scale=recipe.scale,
        batch=recipe.batch,
        degradation=recipe.degradation,
        seed=recipe.seed,
    )
    steps = round(batches.per_epoch * recipe.epochs)
    run = Run(folder, model, recipe, steps)
    held_out = validation_rows(data)
    chips = plain_chips(data, held_out, size=recipe.size, scale=recipe.scale)
    print(f"{len(rows)} training images, {len(held_out)} held out, {steps} steps", flush=True)
    start = time.monotonic()
    for batch in batches.stream(run.step):
        if run.step >= steps:
            break
        losses = model.train_on_batch(
            batch.chips,
            {"age": batch.ages, "gender": batch.male},
            sample_weight={"age": batch.weights, "gender": batch.weights},
            return_dict=True,
        )
        run.step += 1
        if run.step % AVERAGE_EVERY == 0:
            run.average.update(model.get_weights(), AVERAGE_EVERY, run.step)
        if run.step % 100 == 0:
            minutes = (time.monotonic() - start) / 60
            print(f"{run.step} {minutes:.1f} min {_rounded(losses)}", flush=True)
        if run.step % SAVE_EVERY == 0:
            run.save()
        if run.step % batches.per_epoch == 0 or run.step == steps:
            current = model.get_weights()
            model.set_weights(run.average.weights)
            # Before the checkpoint, after which a finished run is not continued.
            agn.save(agn.weights_of(model), folder / "weights.npz")
            distribution, male = predict(model, chips)
            model.set_weights(current)
            run.save()
            ages = distribution @ np.arange(distribution.shape[1])
            scores = summary(ages, male, data.labels[held_out])
            _log(folder / "log.csv", {"step": run.step, "loss": losses["loss"], **scores})
            print(f"validation {_rounded(scores)}", flush=True)
            model.reset_metrics()


def _rounded(values: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in values.items()}


def _log(path: Path, values: dict[str, Any]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        if fresh:
            writer.writerow(values)
        writer.writerow(_rounded(values).values())


def main() -> None:
    """Run the command line."""
    default = Tuning()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prepared", type=Path, required=True, help="from training.prepare")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--faceres", type=Path, help="folder with faceres and faceres-deep")
    source.add_argument("--start", type=Path, help="weights.npz of another run")
    parser.add_argument("--data", default="", help="only files whose names start with this")
    parser.add_argument("--precision", default="mixed_bfloat16", help="Keras dtype policy")
    for name, value in vars(default).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    recipe = Tuning(**{name: getattr(args, name) for name in vars(default)})
    cv2.setNumThreads(1)  # batches already use threads
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(args.precision)
    weights = midpoint(args.faceres) if args.faceres else None
    model = agn.build(recipe.size, weights, recipe.frozen_blocks)
    if args.start:
        agn.set_weights(model, agn.load(args.start))
    train(load_prepared(args.prepared), model, recipe, args.run, args.data)


if __name__ == "__main__":
    main()
