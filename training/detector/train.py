"""Trains the small detector on lessons: ``python -m training.detector.train``.

First the fresh layers alone learn to return the large detector's finest feature map, then all of
it learns to give its answers. If stopped, it resumes at its last checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelbuild.retinaface_layers import MAPS
from modelbuild.weights import Weights, load
from training.detector import arrays
from training.detector.initial import Shape, initial
from training.detector.losses import difference, feature_difference
from training.detector.match import ANCHORS, matched
from training.detector.network import Detector
from training.detector.rounding import limits, rounded_first

PARTS = {
    "class": 1.0, "logit": 0.5, "boxes": 2.0, "landmarks": 4.0, "c3": 0.5, "c4": 0.5, "c5": 0.5,
}  # fmt: skip
"""Weights of the parts of the loss."""
EVERY = 50
"""Steps between two lines of the log and between two checkpoints."""
MATCHED = 64
"""Batches to spread the scores on, and to measure ranges."""
ROUNDED = 160
"""Pictures of these to round the first layers on."""
A_LESSON = 16
"""Batches from a file before another one is read."""


@dataclass(frozen=True)
class Plan:
    """How long the training is, and at what rates.

    Attributes:
        first: steps in which only the fresh layers learn.
        steps: after that.
        batch: pictures in a step.
        first_rate: largest rate of the first steps.
        rate: largest rate after that, of the fresh layers; the others learn at `slower` of it.
        slower: see `rate`.
        minutes: after the first steps, at most.
        average: share that the averaged weights keep at each step.
    """

    first: int = 4000
    steps: int = 17_000
    batch: int = 16
    first_rate: float = 3e-3
    rate: float = 1.2e-3
    slower: float = 0.1
    minutes: float = 600.0
    average: float = 0.998


Batch = dict[str, Tensor]


def batches(folder: Path, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of the lessons in a folder in random order, without end.

    Args:
        folder: with files of `training.detector.lessons`, which may change meanwhile.
        size: pictures in a batch.
        rng: chooses.
    """
    while True:
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise SystemExit(f"there are no lessons in {folder}")
        for index in rng.permutation(len(files)):
            with np.load(files[index]) as arrays:
                lesson = {name: arrays[name] for name in arrays.files}
            order = rng.permutation(len(lesson["images"]))
            for start in range(0, min(size * A_LESSON, len(order) - size + 1), size):
                part = order[start : start + size]
                yield {name: _tensor(name, array[part]) for name, array in lesson.items()}


def _tensor(name: str, array: NDArray[np.generic]) -> Tensor:
    tensor = torch.from_numpy(array)
    if name == "images":
        return tensor
    return tensor.permute(0, 3, 1, 2) if name in MAPS else tensor.float()


def rate_at(step: int, progress: float) -> float:
    """Share of the largest rate: a short rise, then the fall of a cosine.

    As in Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.

    Args:
        step: since the start.
        progress: 0 to 1.
    """
    return min(1.0, (step + 1) / 100) * (0.505 + 0.495 * math.cos(math.pi * min(progress, 1)))


class Trainer:
    """The state of a run, which a checkpoint holds."""

    def __init__(self, weights: Weights, plan: Plan, fresh: tuple[str, ...]):
        """Start with first weights; names of fresh layers start with one of `fresh`."""
        self.plan = plan
        self.net = Detector(weights).to(memory_format=torch.channels_last)
        named = list(self.net.layers.items())
        new = [p for name, p in named if name.startswith(fresh)]
        old = [p for name, p in named if not name.startswith(fresh)]
        self.optimizer = torch.optim.AdamW(
            [{"params": new, "share": 1.0}, {"params": old, "share": plan.slower}],
            weight_decay=1e-4,
            betas=(0.9, 0.99),
        )
        self.averaged = {name: p.detach().clone() for name, p in named}
        self.step = -plan.first
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """How much of the time after the first steps is over, 0 to 1."""
        return max(self.step / self.plan.steps, self.seconds / 60 / self.plan.minutes, 0.0)

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step and return the parts of the loss."""
        start = time.monotonic()
        plan, first = self.plan, self.step < 0
        if first:
            rate = plan.first_rate * rate_at(self.step + plan.first, 1 + self.step / plan.first)
        else:
            rate = plan.rate * rate_at(self.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        with torch.autocast("cpu", torch.bfloat16):
            if first:
                finest = self.net.features(batch["images"], "c3")["c3"]
                parts = {"c3": feature_difference(finest, batch["c3"])}
            else:
                parts = difference(self.net(batch["images"]), batch)
        loss = sum((PARTS[name] * part for name, part in parts.items()), torch.zeros(()))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.net.layers.values()), 5.0)
        if torch.isfinite(loss):
            self.optimizer.step()
        keep = min(plan.average, 1 - 1 / (10 + max(0, self.step + plan.first)))
        with torch.no_grad():
            for name, value in self.net.layers.items():
                self.averaged[name].lerp_(value, 1 - keep)
        self.step += 1
        if not first:
            self.seconds += time.monotonic() - start
        return {name: float(part.detach()) for name, part in parts.items()}

    def weights(self) -> Weights:
        """The averaged weights."""
        return {name: value.numpy().copy() for name, value in self.averaged.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "step": self.step,
            "seconds": self.seconds,
            "plan": asdict(self.plan),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged, self.step = state["averaged"], state["step"]
        self.seconds = state["seconds"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--large", type=Path, required=True, help="weights of the large detector")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    plan = Plan(**{name: getattr(options, name) for name in asdict(Plan())})
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    options.run.mkdir(parents=True, exist_ok=True)
    shape = Shape()
    stream = batches(options.lessons, plan.batch, rng)
    start = options.run / "initial.npz"
    if not start.is_file():
        some = [next(stream) for _ in range(3)]
        images, c3 = (torch.cat([batch[name] for batch in some]) for name in ("images", "c3"))
        arrays.write(start, initial(load(options.large), shape, images, c3.float(), rng))
    trainer = Trainer(load(start), plan, shape.fresh)
    checkpoint = options.run / "checkpoint.pt"
    if checkpoint.is_file():
        trainer.load(checkpoint)
    log = options.run / "log.csv"
    begun, seen = time.monotonic(), []
    for batch in stream:
        if trainer.progress >= 1:
            break
        seen.append(trainer.learn(batch))
        if trainer.step % EVERY == 0:
            means = {name: float(np.mean([s[name] for s in seen if name in s] or [math.nan]))
                     for name in PARTS}  # fmt: skip
            seen.clear()
            _note(log, {"step": trainer.step, "seconds": time.monotonic() - begun, **means})
            trainer.save(checkpoint)
            arrays.write(options.run / "weights.npz", trainer.weights())
    arrays.write(
        options.run / "final.npz",
        prepared(trainer.weights(), [next(stream) for _ in range(MATCHED)]),
    )


def prepared(weights: Weights, lessons: Sequence[Batch]) -> Weights:
    """Trained weights with scores like the large detector's, ready for int8."""
    images = torch.cat([batch["images"] for batch in lessons])
    ready: Weights = rounded_first(stretched(weights, lessons), images[:ROUNDED])
    ready |= limits(ready, images)
    return ready


@torch.no_grad()  # type: ignore[untyped-decorator]
def stretched(weights: Weights, lessons: Sequence[Batch]) -> Weights:
    """Weights whose scores spread as the large detector's do."""
    net = Detector(weights)
    said, taught = [], []
    for batch in lessons:
        answers = net(batch["images"])
        ends = np.cumsum([ANCHORS * answers[tap][0, 0].numel() for tap in MAPS])[:-1]
        said.append(np.split(answers["logits"].numpy(), ends, 1))
        taught.append(np.split(batch["logits"].numpy(), ends, 1))
    together = [[np.concatenate(level) for level in zip(*all_, strict=True)]
                for all_ in (said, taught)]  # fmt: skip
    return matched(weights, *together)


def _note(path: Path, row: Mapping[str, float]) -> None:
    exists = path.is_file()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if not exists:
            writer.writerow(row)
        writer.writerow([f"{value:.5g}" for value in row.values()])


if __name__ == "__main__":
    main()
