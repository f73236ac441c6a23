"""Small helpers for batches of chips on a device: random numbers, constants, coordinates.

Chips are ``[N, 3, S, S]``, RGB, 0-255 in a floating type, everywhere in `training.chips`,
`training.damage` and `training.covers`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on the device, sent there once: sending makes the device wait."""
    return torch.tensor(values, device=device, dtype=torch.float32)


def uniform(count: int, low: float, high: float, like: Tensor) -> Tensor:
    """Evenly distributed between two numbers, ``[N]``."""
    return torch.rand(count, device=like.device) * (high - low) + low


def normal(count: int, spread: float, like: Tensor) -> Tensor:
    """Normally distributed around 0, ``[N]``."""
    return torch.randn(count, device=like.device) * spread


def column(values: Tensor) -> Tensor:
    """``[N]`` to ``[N, 1, 1, 1]``."""
    return values.view(-1, 1, 1, 1)


def grid(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the chip's pixels in chip sides from its centre, ``[1, 1, S, S]`` each."""
    steps = (torch.arange(size, device=like.device) + 0.5) / size - 0.5
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    return u[None, None], v[None, None]


def colours(count: int, like: Tensor) -> Tensor:
    """Random colours ``[N, 3, 1, 1]``, many of them greyish."""
    grey = torch.rand(count, 1, device=like.device)
    spread = torch.rand(count, 1, device=like.device) ** 2
    colour = grey + (torch.rand(count, 3, device=like.device) - 0.5) * spread
    return (colour.clamp(0, 1) * 255).to(like.dtype)[:, :, None, None]


def faster_in_half(device: torch.device) -> bool:
    """Whether half precision is faster: on a GPU, and on a CPU that multiplies it itself (AMX)."""
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("amx_bf16", False))
