"""The network in PyTorch, with batch normalisation restored for training and folded away again.

The weights that are served (see `modelbuild.agn`) have no normalisation: it was folded into the
convolutions. Such a network is hard to train with large steps. `AgeGender.restore` measures what
each convolution returns for real chips and puts a normalisation (Ioffe and Szegedy, ICML 2015)
behind it that changes nothing at first; `AgeGender.layers` folds it away again, so that what is
served stays the same network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from modelbuild.weights import Weights

MEAN_RGB = (131.125, 103.875, 91.5)
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Output channels and stride of the 13 depthwise-separable blocks, as in `modelbuild.faceres`."""
AGES, HIDDEN, DROPOUT = 101, 512, 0.2
EPSILON = 1e-3
FEW = 4
"""Chips that go through frozen layers at a time: what they return stays in the cache."""


class Step(nn.Module):  # type: ignore[misc] # PyTorch is optional: no types
    """A convolution, what normalises it, and ReLU6."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, groups: int):
        super().__init__()
        self.side, self.stride, self.groups = side, stride, groups
        self.weight = nn.Parameter(torch.zeros(outputs, inputs // groups, side, side))
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=0.03)
        self.still = False
        """Whether the norm keeps its statistics instead of taking those of each batch."""

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution alone, padded as Keras's "same" does: more at the right and bottom."""
        return self._convolved(x, self.weight, None)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias of a convolution that does what both do with the norm's statistics."""
        norm = self.norm
        factor = norm.weight / (norm.running_var + EPSILON).sqrt()
        return self.weight * factor.view(-1, 1, 1, 1), norm.bias - norm.running_mean * factor

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` to ``[N, C', H', W']``."""
        y = self._convolved(x, *self.folded()) if self.still else self.norm(self.convolve(x))
        return F.hardtanh(y, 0.0, 6.0)

    def _convolved(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        if self.stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
            return F.conv2d(x, kernel, bias, stride=2, groups=self.groups)
        return F.conv2d(x, kernel, bias, padding=self.side // 2, groups=self.groups)


def step_names() -> list[str]:
    """Names of the convolutions in order."""
    pairs = [f"conv_{kind}_{i}" for i in range(1, len(BLOCKS) + 1) for kind in ("dw", "pw")]
    return ["conv1", *pairs]


class AgeGender(nn.Module):  # type: ignore[misc]
    """See the module's docstring; from chips to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1))
        steps = [Step(3, 32, 3, 2, 1)]
        width = 32
        for outputs, stride in BLOCKS:
            steps += [Step(width, width, 3, stride, width), Step(width, outputs, 1, 1, 1)]
            width = outputs
        self.steps = nn.ModuleList(steps)
        self.frozen = 0
        self.hidden = nn.Linear(width, HIDDEN)
        self.age = nn.Linear(HIDDEN, AGES)
        self.gender = nn.Linear(HIDDEN, 1)

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of ages and of male.

        Args:
            chips: ``[N, 3, S, S]``, RGB, 0-255, S even at every stride.

        Returns:
            ``[N, 101]`` and ``[N]``, float32.
        """
        x = chips - self.mean
        if self.frozen:
            with torch.no_grad():
                x = torch.cat([self._start(part) for part in x.split(FEW)])
        for step in self.steps[self.frozen :]:
            x = step(x)
        x = F.dropout(x.mean((2, 3)), DROPOUT, self.training)
        x = F.dropout(F.relu(self.hidden(x)), DROPOUT, self.training)
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return self.age(x), self.gender(x)[:, 0]

    def _start(self, x: Tensor) -> Tensor:
        for step in self.steps[: self.frozen]:
            x = step(x)
        return x

    def freeze(self, count: int) -> None:
        """Keep the first convolutions as they are, and the statistics of all norms.

        The first layers take most of the time, and what they see is alike for all faces.

        Args:
            count: of convolutions; 0 keeps nothing.
        """
        self.frozen = count
        for number, step in enumerate(self.steps):
            step.still = count > 0
            step.requires_grad_(number >= count)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def restore(self, layers: Weights, chips: Tensor) -> None:
        """Take weights without normalisation and put one in that changes nothing on these chips.

        Args:
            layers: by ``layer/index``, as from `modelbuild.weights.load`; a missing head starts
                afresh.
            chips: ``[N, 3, S, S]``, undamaged ones on the network's device.
        """
        x = chips.float() - self.mean
        for name, step in zip(step_names(), self.steps, strict=True):
            kernel, bias = (torch.from_numpy(layers[f"{name}/{i}"]).to(x.device) for i in (0, 1))
            axes = (2, 3, 0, 1) if "_dw_" in name else (3, 2, 0, 1)
            step.weight.copy_(kernel.permute(*axes))
            y = step.convolve(x)
            mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
            step.norm.running_mean.copy_(mean)
            step.norm.running_var.copy_(variance)
            step.norm.weight.copy_((variance + EPSILON).sqrt())
            step.norm.bias.copy_(mean + bias)
            x = (y + bias.view(1, -1, 1, 1)).clamp_(0, 6)
        for name, dense in self._dense():
            if f"{name}/0" in layers:
                dense.weight.copy_(torch.from_numpy(layers[f"{name}/0"].T))
                dense.bias.copy_(torch.from_numpy(layers[f"{name}/1"]))
            else:
                dense.reset_parameters()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def layers(self) -> Weights:
        """Weights with the normalisation folded into them; float32, by ``layer/index``."""
        found: dict[str, Tensor] = {}
        for name, step in zip(step_names(), self.steps, strict=True):
            kernel, bias = step.folded()
            axes = (2, 3, 0, 1) if "_dw_" in name else (2, 3, 1, 0)
            found[f"{name}/0"], found[f"{name}/1"] = kernel.permute(*axes), bias
        for name, dense in self._dense():
            found[f"{name}/0"], found[f"{name}/1"] = dense.weight.T, dense.bias
        return {name: array.float().cpu().numpy().copy() for name, array in found.items()}

    def moving(self) -> list[Tensor]:
        """Parameters and running statistics, all float32."""
        statistics = [b for b in self.buffers() if b.is_floating_point() and b.ndim == 1]
        return [*self.parameters(), *statistics]

    def parameter_groups(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Parameters of the convolutions, of the normalisation, of the head."""
        steps = list(self.steps.parameters())
        head = [p for name, p in self.named_parameters() if not name.startswith("steps")]
        return [p for p in steps if p.ndim > 1], [p for p in steps if p.ndim == 1], head

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def averaged(self, mean: Sequence[Tensor]) -> Weights:
        """Fold other values of `moving`; the network is left as it is."""
        kept = [tensor.detach().clone() for tensor in self.moving()]
        for here, there in zip(self.moving(), mean, strict=True):
            here.copy_(there)
        weights: Weights = self.layers()
        for here, there in zip(self.moving(), kept, strict=True):
            here.copy_(there)
        return weights

    def _dense(self) -> list[tuple[str, nn.Linear]]:
        return [("hidden", self.hidden), ("age_logits", self.age), ("gender_logit", self.gender)]


class Folded(nn.Module):  # type: ignore[misc]
    """The network as it is served, without normalisation: for teachers and for judging."""

    def __init__(self, layers: Weights):
        """Take weights as from `AgeGender.layers`."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1))
        for name, array in layers.items():
            tensor = torch.from_numpy(np.asarray(array, np.float32))
            if tensor.ndim == 4:
                tensor = tensor.permute(*((2, 3, 0, 1) if "_dw_" in name else (3, 2, 0, 1)))
            elif tensor.ndim == 2:
                tensor = tensor.T
            self.register_buffer(name.replace("/", "__"), tensor.contiguous())

    def embed(self, chips: Tensor) -> Tensor:
        """Features ``[N, 1024]`` of chips ``[N, 3, S, S]``."""
        x = chips - self.mean
        strides = [2, *(s for _, stride in BLOCKS for s in (stride, 1))]
        for name, stride in zip(step_names(), strides, strict=True):
            weight, bias = getattr(self, f"{name}__0"), getattr(self, f"{name}__1")
            groups = weight.shape[0] if "_dw_" in name else 1
            if stride == 2:
                x = F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, stride=2, groups=groups)
            else:
                x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
            x = F.hardtanh(x, 0.0, 6.0, inplace=True)
        return x.mean((2, 3))

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as `AgeGender` gives them."""
        x = self.embed(chips)
        x = F.relu(F.linear(x, self.hidden__0, self.hidden__1)).float()
        with torch.autocast(x.device.type, enabled=False):
            age = F.linear(x, self.age_logits__0, self.age_logits__1)
            gender = F.linear(x, self.gender_logit__0, self.gender_logit__1)
        return age, gender[:, 0]

    def faceres_ages(self, chips: Tensor) -> Tensor:
        """Distribution ``[N, 100]`` over the ages 1 to 100, with the weights of FaceRes."""
        x = F.relu(F.linear(self.embed(chips), self.feats__0, self.feats__1))
        return F.linear(x, self.age__0, self.age__1).float().softmax(1)


def blend(parts: Sequence[Weights], shares: Sequence[float]) -> Weights:
    """Weighted mean of several networks' weights (Wortsman et al., "Model soups", ICML 2022)."""
    total = sum(shares)
    return {
        name: np.asarray(
            sum(p[name] * (s / total) for p, s in zip(parts, shares, strict=True)), np.float32
        )
        for name in parts[0]
    }
