"""Trains the phases of a recipe, on a GPU or a CPU, and resumes where it was stopped.

::

    python -m training.train --name agn-v2 --prepared DIR --weights DIR --run DIR [--device cuda]

Needs nothing but PyTorch and NumPy: ``--prepared`` (see `training.prepare`) and ``--weights``, with
``faceres.npz`` (see `training.initial`), can be copied to a machine with a GPU.

Writes ``NAME.npz`` for each phase to ``--run``, ``NAME.checkpoint`` while it is trained, and
``log.csv`` with what the averaged weights get right of the validation part. The method:

* Chips are cut with jitter and damaged on the device (`training.chips`, `training.damage`), and
  normalisation is restored for training (`training.network`).
* A **teacher** learns from the labels of two thirds of the faces. Its answer to the other third has
  not seen their labels, wrong ones included (cross-fitting, Chernozhukov et al. 2018).
* The **student** sees the same damaged chip as the teachers and learns from the labels and from
  their answers (Hinton et al. 2015; Beyer et al., CVPR 2022), mostly from the one that has not seen
  the face's label. Labels that this one finds very unlikely count for less.
* Weights are averaged as they move (Polyak and Juditsky 1992).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelbuild.weights import Weights, load, save
from training.chips import cut
from training.damage import Damage
from training.data import DataError, Prepared, load_prepared, read_names, set_names
from training.device import faster_in_half
from training.faces import TrainingFaces, half_precision
from training.losses import (
    AGES,
    GENDER_WEIGHT,
    Lesson,
    Targets,
    age_loss,
    gender_loss,
    taught_loss,
    trust,
)
from training.metrics import summary
from training.network import AgeGender, Folded, blend
from training.recipes import Phase, Recipe, load_recipe
from training.sampling import FOLDS, sampling_weights, training_rows

MEASURED = 256
"""Chips on which the restored normalisation is measured."""
EVALUATIONS = 8
"""Times that a phase is evaluated on the validation part."""
SAVE_EVERY = 120.0
"""Seconds between checkpoints."""
AT_ONCE_ON_CPU = 64
"""Chips that are damaged at a time, twice as fast as 256, which no cache holds."""
MAX_GRADIENT = 5.0
TILT_FROM = 60
GROUP_MOMENTUM = 0.98
MIN_GROUP_WEIGHT, MAX_GROUP_WEIGHT = 0.6, 2.0
WARM_UP = 0.06
"""Share of the steps until the rate is at its peak."""


class Trainer:
    """Trains the phases of one recipe, one after the other."""

    def __init__(
        self,
        recipe: Recipe,
        data: Prepared,
        run: Path,
        weights: Sequence[Path],
        device: torch.device,
        left_out: Sequence[str] = (),
    ):
        """Copy the faces to the device.

        Args:
            recipe: what to train.
            data: the prepared faces.
            run: folder for the results.
            weights: folders of other weights.
            device: where to train.
            left_out: files that are better left out.

        Raises:
            DataError: no face is left.
        """
        labels, held_out = data.labels, data.validation
        rows = training_rows(
            labels, data.detected & ~held_out & ~data.leaked, recipe.data, left_out
        )
        if not len(rows):
            raise DataError(f"no face to train {recipe.name} on")
        validation = np.flatnonzero(held_out & data.detected)
        self._recipe, self.run, self._folders = recipe, run, [run, *weights]
        self._device = device
        self._labels = labels
        self._validation = validation
        self._rows = torch.from_numpy(rows).to(device)
        self._faces = TrainingFaces(data, [*rows.tolist(), *validation.tolist()], device)
        self._net = AgeGender().to(device, memory_format=self._layout)

    @property
    def _layout(self) -> torch.memory_format:
        """Three times as fast on a GPU; faster in half precision on a CPU."""
        half = faster_in_half(self._device)
        return torch.channels_last if half else torch.contiguous_format

    def train(self) -> Path:
        """Train every phase that has no result yet; return the path of the last one's."""
        self.run.mkdir(parents=True, exist_ok=True)
        for phase in self._recipe.phases:
            if (self.run / f"{phase.name}.npz").exists():
                say(f"{phase.name}: already done")
            else:
                self._train(phase)
        return self.run / f"{self._recipe.name}.npz"

    def _train(self, phase: Phase) -> None:
        state = _State(phase, self)
        checkpoint = self.run / f"{phase.name}.checkpoint"
        if checkpoint.exists():
            state.restore(checkpoint)
        else:
            self._evaluate(phase, state)
        saved = time.monotonic()
        while state.step < phase.steps:
            state.advance()
            if state.step % max(1, phase.steps // EVALUATIONS) == 0:
                self._evaluate(phase, state)
            if time.monotonic() - saved > SAVE_EVERY:
                state.save(checkpoint)
                saved = time.monotonic()
        save(state.result(), self.run / f"{phase.name}.npz")
        checkpoint.unlink(missing_ok=True)

    def _evaluate(self, phase: Phase, state: _State) -> None:
        """Log what the averaged weights get right of the validation part."""
        scores = self._scores(state.averaged())
        line = {"phase": phase.name, "step": state.step, "loss": round(state.loss, 4), **scores}
        path = self.run / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            if fresh:
                writer.writerow(line)
            writer.writerow(line.values())
        say(f"{phase.name}: step {state.step} of {phase.steps}, loss {state.loss:.3f}, {scores}")

    def _scores(self, weights: Weights) -> dict[str, float]:
        """Metrics of each set's validation part; see `training.metrics.summary`."""
        recipe, rows = self._recipe, self._validation
        where = torch.from_numpy(rows).to(self._device)
        ages, male = self._faces.predict(where, weights, recipe.size, recipe.scale)
        scores: dict[str, float] = {}
        names = set_names(self._labels.name[rows])
        for name in np.unique(names):
            some = np.flatnonzero(names == name)
            found = summary(ages.numpy()[some], male.numpy()[some], self._labels[rows[some]])
            scores |= {f"{name}{'.' if name else ''}{k}": round(v, 4) for k, v in found.items()}
        return scores

    def weights(self, name: str) -> Weights:
        """Read the weights of an earlier phase or other weights.

        Weights that are nowhere are replaced by the model's committed ones, or by the mean of
        the two FaceRes networks with a fresh head.

        Raises:
            DataError: there are none at all.
        """
        for wanted in dict.fromkeys((name, self._recipe.name, "faceres-mean")):
            for folder in self._folders:
                if (folder / f"{wanted}.npz").exists():
                    if wanted != name:
                        say(f"there are no weights {name}: those of {wanted} take their place")
                    return load(folder / f"{wanted}.npz")
        raise DataError(f"no weights {name}: run `python -m training.initial` and pass its folder")


class _State:
    """Everything that moves while one phase is trained."""

    def __init__(self, phase: Phase, trainer: Trainer):
        recipe, faces, device = trainer._recipe, trainer._faces, trainer._device
        torch.manual_seed(phase.seed)
        self._phase, self._recipe, self._faces = phase, recipe, faces
        self._device, self._layout, self._net = device, trainer._layout, trainer._net
        rows = trainer._rows
        if phase.fold >= 0:
            rows = rows[faces.fold[rows] != phase.fold]
        self._teachers = [
            Folded(trainer.weights(name)).to(device, memory_format=self._layout).eval()
            for name in phase.teachers
            if not phase.clear
        ]
        cross = len(self._teachers) == FOLDS
        parts = [rows[faces.fold[rows] == k] for k in range(FOLDS)] if cross else [rows]
        self._parts = [part for part in parts if len(part)]
        self._draws = [
            torch.from_numpy(sampling_weights(trainer._labels[part.cpu().numpy()], phase.old)).to(
                device, torch.float32
            )
            for part in self._parts
        ]
        some = rows[torch.randperm(len(rows))[:MEASURED].to(device)]
        plain, _ = cut(faces[some], recipe.size, recipe.scale, jitter=False)
        self._net.restore(trainer.weights(phase.start), plain.to(memory_format=self._layout))
        guesses = trainer.run / "guesses.npz"
        if guesses.exists():
            faces.guessed(load(guesses))
        faces.guess_ages(rows, trainer.weights("faceres"), recipe.size, recipe.scale)
        save(faces.guesses(), guesses)
        self._net.freeze(phase.frozen)
        self._targets = faces.targets(phase.flatness)
        self._clear = self._ask_once(trainer, rows) if phase.clear else None
        self._optimizer = _optimizer(self._net, phase, fused=device.type != "cpu")
        self._mean = [tensor.detach().clone() for tensor in self._net.moving()]
        self._difficulty = torch.full((int(faces.group.max()) + 1,), 0.25, device=device)
        self._damage = Damage(apart=phase.apart)
        self._half: Weights | None = None
        self.step = 0
        self.loss = float("nan")
        say(f"{phase.name}: {len(rows)} faces, {len(self._teachers)} teachers")

    def advance(self) -> None:
        """Train on one batch."""
        phase, done = self._phase, self.step / self._phase.steps
        for group in self._optimizer.param_groups:
            group["lr"] = group["factor"] * phase.rate * schedule(done)
        self._damage.share = 1 - (1 - phase.final_damage) * min(1, max(0, 3 * done - 2))
        part = self.step % len(self._parts)
        rows = self._parts[part]
        drawn = torch.multinomial(self._draws[part], min(phase.batch, len(rows)), replacement=True)
        batch = rows[drawn]
        self._net.train()
        with torch.no_grad():
            few = AT_ONCE_ON_CPU if self._device.type == "cpu" else len(batch)
            chips = torch.cat([self._seen(some) for some in batch.split(few)])
            chips = chips.contiguous(memory_format=self._layout)
            lesson = self._lesson(chips, part, batch)
        half = faster_in_half(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            ages, genders = self._net(chips)
        group = self._faces.group[batch]
        loss = self._loss(ages, genders, self._targets[batch], group, lesson)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), MAX_GRADIENT)
        self._optimizer.step()
        self.step += 1
        keep = min(phase.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self._mean, self._net.moving(), strict=True):
                mean.lerp_(now, 1 - keep)
        if self.step % 10 == 1 or self.step == phase.steps:  # reading it makes the device wait
            self.loss = float(loss.detach())
        if phase.blend and self._half is None and self.step * 2 >= phase.steps:
            self._half = self.averaged()

    def _seen(self, rows: Tensor) -> Tensor:
        """Chips of some faces, jittered and damaged, ``[M, 3, size, size]``."""
        chips, points = cut(self._faces[rows], self._recipe.size, self._recipe.scale, jitter=True)
        if self._device.type != "cpu":
            chips = chips.half()
        return self._damage(chips, points)

    def averaged(self) -> Weights:
        """The averaged weights, as they are served; the network is left as it is."""
        weights: Weights = self._net.averaged(self._mean)
        return weights

    def result(self) -> Weights:
        """The averaged weights, blended and tilted as the phase asks."""
        weights = self.averaged()
        if self._half is not None:
            weights = blend([weights, self._half], [1, 1])
        years = np.arange(len(weights["age_logits/1"]), dtype=np.float32)
        weights["age_logits/1"] += np.float32(self._phase.tilt) * np.maximum(years - TILT_FROM, 0)
        return weights

    def _ask_once(self, trainer: Trainer, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The teachers' mean answers to clear chips, ``[N, 101]`` and ``[N]``, of all N faces."""
        faces, recipe, count = self._faces, self._recipe, len(self._phase.teachers)
        file = trainer.run / f"{self._phase.name}.answers.npz"
        if file.exists():
            known = load(file)
            ages, male = (torch.from_numpy(known[name]) for name in ("ages", "male"))
            return ages.to(self._device), male.to(self._device)
        ages = torch.zeros(len(faces.low), AGES, device=self._device)
        male = torch.zeros(len(faces.low), device=self._device)
        for name in self._phase.teachers:
            weights = trainer.weights(name)
            found = faces.answers(rows, weights, recipe.size, recipe.scale, mirrored=True)
            ages[rows] += found[0].to(self._device) / count
            male[rows] += found[1].to(self._device) / count
        save({"ages": ages.cpu().numpy(), "male": male.cpu().numpy()}, file)
        return ages, male

    def _lesson(self, chips: Tensor, part: int, rows: Tensor) -> Lesson | None:
        """What the teachers say of a batch of faces: of these chips, or of clear ones."""
        if self._clear is not None:
            clear_ages, clear_male = (answers[rows] for answers in self._clear)
            return Lesson(clear_ages, clear_male, clear_ages, clear_male)
        if not self._teachers:
            return None
        own = self._phase.own
        if len(self._teachers) == FOLDS:
            other = (part + 1 + int(torch.randint(0, FOLDS - 1, ()))) % FOLDS
            teachers, shares = [self._teachers[part], self._teachers[other]], [own, 1 - own]
        else:
            teachers = self._teachers
            shares = [1 / len(teachers)] * len(teachers)
        answers = []
        with half_precision(self._device):
            for teacher in teachers:
                ages, genders = teacher(chips)
                answers.append((ages.softmax(1), genders.sigmoid()))
        ages = torch.stack([a * s for (a, _), s in zip(answers, shares, strict=True)]).sum(0)
        male = torch.stack([m * s for (_, m), s in zip(answers, shares, strict=True)]).sum(0)
        return Lesson(ages, male, *answers[0])

    def _loss(
        self,
        ages: Tensor,
        genders: Tensor,
        targets: Targets,
        group: Tensor,
        lesson: Lesson | None,
    ) -> Tensor:
        age = age_loss(ages, targets)
        gender = gender_loss(genders, targets.smoothed)
        weights = self._group_weights(gender.detach(), group)
        if lesson is None:
            return (age + GENDER_WEIGHT * weights * gender).mean()
        age_trust, gender_trust = trust(targets, lesson)
        by_label = age_trust * age + GENDER_WEIGHT * weights * gender_trust * gender
        by_teacher = taught_loss(ages, genders, lesson, weights)
        share = self._phase.distil
        return ((1 - share) * by_label + share * by_teacher).mean()

    def _group_weights(self, losses: Tensor, group: Tensor) -> Tensor:
        """Weights of the genders by how hard each group of race and gender is, ``[N]``."""
        difficulty = self._difficulty
        counts = torch.bincount(group, minlength=len(difficulty)).float()
        sums = torch.zeros_like(difficulty).index_add_(0, group, losses)
        fresh = torch.where(counts > 0, sums / counts.clamp(min=1), difficulty)
        difficulty.lerp_(fresh, 1 - GROUP_MOMENTUM)
        if len(difficulty) == 1:  # no races are known
            return torch.ones_like(losses)
        known = difficulty[1:].mean().clamp(min=1e-3)
        factor = (difficulty / known) ** self._phase.worst_groups
        factor[0] = 1.0
        return factor.clamp(MIN_GROUP_WEIGHT, MAX_GROUP_WEIGHT)[group]

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "step": self.step,
            "net": self._net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "mean": self._mean,
            "difficulty": self._difficulty,
            "half": {k: torch.from_numpy(v) for k, v in (self._half or {}).items()},
            "random": torch.get_rng_state(),
            "random_device": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        temporary = path.with_suffix(".new")
        torch.save(state, temporary)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self._device, weights_only=True)
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._mean, self._difficulty = state["step"], state["mean"], state["difficulty"]
        self._half = {k: v.cpu().numpy() for k, v in state["half"].items()} or None
        torch.set_rng_state(state["random"].cpu())
        if state["random_device"]:
            torch.cuda.set_rng_state_all([s.cpu() for s in state["random_device"]])
        say(f"{self._phase.name}: goes on at step {self.step}")


def schedule(done: float) -> float:
    """Learning rate, relative to the peak, after a share of the steps."""
    warm = min(1.0, done / WARM_UP + 0.02)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _optimizer(net: AgeGender, phase: Phase, *, fused: bool) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); the head has a rate of its own, norms do not decay."""
    body, norms, head = net.parameter_groups()
    groups = [
        {"params": body, "factor": 1.0, "weight_decay": phase.decay},
        {"params": norms, "factor": 1.0, "weight_decay": 0.0},
        {"params": head, "factor": phase.head, "weight_decay": phase.decay},
    ]
    return torch.optim.AdamW(groups, lr=phase.rate, betas=(0.9, 0.99), fused=fused)


def say(text: str) -> None:
    """Print with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train the phases of a recipe.")
    parser.add_argument("--name", required=True, help="recipe in recipes.toml")
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results")
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--without", nargs="*", default=[], help="data sets to leave out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    recipe = load_recipe(args.name)
    data = load_prepared(args.prepared)
    left_out = [*read_names(args.leave_out), *_files_of(data, args.without)]
    device = torch.device(args.device)
    torch.backends.cudnn.benchmark = True
    trainer = Trainer(recipe, data, args.run, args.weights, device, left_out)
    say(f"weights in {trainer.train()}")


def _files_of(data: Prepared, sets: Sequence[str]) -> list[str]:
    chosen: NDArray[np.bool_] = np.isin(set_names(data.labels.name), list(sets))
    return [str(name) for name in data.labels.name[chosen]]


if __name__ == "__main__":
    main()
