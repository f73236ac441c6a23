"""The prepared faces on the device that trains: pictures, geometry, labels as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelbuild.weights import Weights
from training.chips import Faces, cut
from training.data import Prepared
from training.device import faster_in_half
from training.losses import AGES, Targets, age_targets, smoothed_genders
from training.network import Folded
from training.sampling import folds, groups

FACERES_SHARE = 0.75
"""Share of FaceRes's age, beside the range's middle, in the hint of where in a range an age is."""
OLDEST_MEAN, OLDEST_SPREAD, OLDEST_STRETCH, OLDEST_FACERES = 77.0, 7.0, 1.5, 76.0
"""Hint within a range without upper end: mean, spread, and by how much FaceRes's ages, whose mean
is the last number, are stretched."""
OPEN_END = 100
"""Highest age of such a range, at least."""
AT_ONCE, AT_ONCE_ON_CPU = 512, 8
"""Faces in one run without gradients. Few stay in a processor's cache."""


class TrainingFaces:
    """N faces on the device, in the order of `Prepared`.

    Attributes:
        device: where the tensors are.
        fold: int ``[N]``, part of cross-fitting.
        group: int ``[N]``, see `training.sampling.groups`.
        low: float ``[N]``, lowest age.
        high: float ``[N]``, highest age.
        male: bool ``[N]``.
    """

    def __init__(self, data: Prepared, rows: Sequence[int], device: torch.device):
        """Copy what training reads; the pictures too where the device has memory of its own.

        Args:
            data: the prepared faces.
            rows: those that will be used.
            device: where to train.
        """
        self.device = device
        self._images = data.images
        self._on_device: Tensor | None = None
        if device.type != "cpu":
            whole = torch.zeros(data.images.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(rows), AT_ONCE):
                some = np.sort(np.asarray(rows[start : start + AT_ONCE]))
                whole[torch.from_numpy(some).to(device)] = self._tensor(data.images[some])
            self._on_device = whole
        labels = data.labels
        self._boxes, self._landmarks = self._tensor(data.boxes), self._tensor(data.landmarks)
        self._rolls = self._tensor(data.rolls)
        self.fold = self._tensor(folds([str(name) for name in labels.name]))
        self.group = self._tensor(groups(labels))
        self.low = self._tensor(labels.low).float()
        self.high = self._tensor(labels.high).float()
        self.male = self._tensor(labels.male)
        self._guess = (self.low + self.high) / 2
        self._guess_spread = (self.high - self.low).clamp(min=1)
        self._guessed = torch.zeros_like(self.male)

    def __getitem__(self, rows: Tensor) -> Faces:
        """Pictures and geometry of some rows."""
        if self._on_device is None:
            pictures = self._tensor(self._images[rows.numpy()])
        else:
            pictures = self._on_device[rows]
        return Faces(pictures, self._boxes[rows], self._landmarks[rows], self._rolls[rows])

    def targets(self, flatness: float) -> Targets:
        """What all N are to be learned as; ``flatness`` weighs the hints within ranges."""
        distribution, hint = age_targets(
            self.low, self.high, self._guess, self._guess_spread, flatness
        )
        smoothed = smoothed_genders(self.male, self.high)
        return Targets(self.low, self.high, distribution, hint, self.male, smoothed)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def guess_ages(self, rows: Tensor, faceres: Weights, size: int, scale: float) -> None:
        """Let FaceRes, which has seen none of the labels, hint where in their ranges the ages are.

        Its mean age within the range is taken in part; of a range without upper end it only gives
        the order.

        Args:
            rows: to look at; those with exact ages and those seen before are skipped.
            faceres: weights of FaceRes.
            size: side of the chips, pixels.
            scale: side of the chips in box lengths.
        """
        rows = rows[(self.low[rows] != self.high[rows]) & ~self._guessed[rows]]
        net = self._served(faceres)
        years = torch.arange(1.0, 101.0, device=self.device)[None]
        for some in rows.split(self._at_once):
            chips = self._chips(some, size, scale)
            with half_precision(self.device):
                p = net.faceres_ages(chips)
            low, high = self.low[some][:, None], self.high[some][:, None]
            inside = (p + 1e-6) * ((years >= low) & (years <= high))
            expected = (inside * years).sum(1) / inside.sum(1)
            open_ended = high[:, 0] >= OPEN_END
            middle = (low + high)[:, 0] / 2
            self._guess[some] = torch.where(
                open_ended,
                OLDEST_MEAN + OLDEST_STRETCH * (expected - OLDEST_FACERES),
                FACERES_SHARE * expected + (1 - FACERES_SHARE) * middle,
            )
            width = ((high - low)[:, 0] * 0.4).clamp(min=1)
            self._guess_spread[some] = torch.where(open_ended, OLDEST_SPREAD, width)
        self._guessed[rows] = True

    def guesses(self) -> Weights:
        """What `guess_ages` has found, to be kept: arrays by name."""
        named = {"guess": self._guess, "spread": self._guess_spread, "known": self._guessed.float()}
        return {name: tensor.cpu().numpy() for name, tensor in named.items()}

    def guessed(self, found: Weights) -> None:
        """Take what an earlier run found for the same faces, from `guesses`."""
        kept = {name: torch.from_numpy(array).to(self.device) for name, array in found.items()}
        self._guess, self._guess_spread = kept["guess"], kept["spread"]
        self._guessed = kept["known"] > 0

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def answers(
        self, rows: Tensor, weights: Weights, size: int, scale: float, *, mirrored: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What a network says of chips cut as served.

        Args:
            rows: ``[M]``.
            weights: of our network.
            size: side of the chips, pixels.
            scale: side of the chips in box lengths.
            mirrored: whether to take the mean with those of mirror images.

        Returns:
            Distributions over ages ``[M, 101]``, and probabilities of male ``[M]``.
        """
        net = self._served(weights)
        ages, males = [torch.zeros(0, AGES)], [torch.zeros(0)]
        for some in rows.split(self._at_once):
            chips = self._chips(some, size, scale).round_()
            views = [chips, chips.flip(3)] if mirrored else [chips]
            with half_precision(self.device):
                answers = [net(view) for view in views]
            ages.append(sum(age.float().softmax(1) for age, _ in answers).cpu() / len(views))
            males.append(sum(male.float().sigmoid() for _, male in answers).cpu() / len(views))
        return torch.cat(ages), torch.cat(males)

    def predict(
        self, rows: Tensor, weights: Weights, size: int, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Expected ages in years and probabilities of male, see `answers`; ``[M]`` both."""
        ages, male = self.answers(rows, weights, size, scale)
        return ages @ torch.arange(float(AGES)), male

    @property
    def _at_once(self) -> int:
        return AT_ONCE_ON_CPU if self.device.type == "cpu" else AT_ONCE

    def _served(self, weights: Weights) -> Folded:
        net = Folded(weights).to(self.device, memory_format=torch.channels_last)
        served: Folded = net.eval()
        return served

    def _chips(self, rows: Tensor, size: int, scale: float) -> Tensor:
        """Chips cut as served, ``[M, 3, size, size]``."""
        chips, _ = cut(self[rows], size, scale, jitter=False)
        return chips.contiguous(memory_format=torch.channels_last)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)


def half_precision(device: torch.device) -> torch.autocast:
    """Compute in half precision, on a CPU only where that is faster."""
    kind = torch.bfloat16 if device.type == "cpu" else torch.float16
    return torch.autocast(device.type, kind, enabled=faster_in_half(device))
