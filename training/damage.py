"""Chips degraded on the device as photos are: covered, badly lit, coarse, blurred, compressed.

Each kind takes its own random run of consecutive rows: batches are in random order, so a run is a
random sample, and no rows need to be gathered.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from training.covers import dark_glasses, hat, mask, surroundings
from training.device import colours, column, constant, grid, normal, uniform

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""


class Damage:
    """Degrades batches of chips; see the module."""

    def __init__(self, share: float = 1.0, apart: float = 0.0):
        """Settle how much.

        Args:
            share: factor of the shares of chips that get each kind.
            apart: share of chips of which only the face is kept.
        """
        self.share = share
        self.apart = apart

    def _run(self, count: int, share: float) -> slice:
        """A random run of rows that makes up ``share`` of ``count``, times the general factor."""
        wanted = count * share * self.share
        length = int(wanted) + int(torch.rand(()).item() < wanted - int(wanted))
        start = int(torch.randint(0, count - length + 1, ()).item())
        return slice(start, start + length)

    def __call__(self, chips: Tensor, points: Tensor) -> Tensor:
        """Damage a batch in place.

        Shapes differ from batch to batch, so that cuDNN would measure them again and again.

        Args:
            chips: ``[N, 3, S, S]``.
            points: ``[N, 5, 2]`` as `cut` gives them.

        Returns:
            The same chips.
        """
        with torch.backends.cudnn.flags(enabled=False):
            return self._damaged(chips, points)

    def _damaged(self, chips: Tensor, points: Tensor) -> Tensor:
        count = len(chips)
        covers = ((surroundings, self.apart), (mask, 0.06), (dark_glasses, 0.05), (hat, 0.05))
        for cover, share in covers:
            run = self._run(count, share)
            if run.stop > run.start:
                chips[run] = cover(chips[run], points[run])
        chips = _relit(chips, self.share)
        run = self._run(count, 0.12)
        chips[run] = _lit_from_aside(chips[run])
        for _ in range(3):
            run = self._run(count, 0.05)
            if run.stop > run.start:
                chips[run] = _coarse(chips[run], math.exp(_number(math.log(20), math.log(110))))
        for _ in range(3):
            run = self._run(count, 0.035)
            if run.stop > run.start:
                chips[run] = _blurred(chips[run], _number(0.5, 3.0))
        for _ in range(2):
            run = self._run(count, 0.02)
            if run.stop > run.start:
                chips[run] = _moved(chips[run], _number(4, 20), _number(0, math.pi))
        run = self._run(count, 0.12)
        chips[run] = _noisy(chips[run])
        run = self._run(count, 0.18)
        if run.stop > run.start:
            chips[run] = _compressed(chips[run])
        run = self._run(count, 0.12)
        if run.stop > run.start:
            chips[run] = _erased(chips[run])
        return chips.clamp_(0, 255)


def _number(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _relit(chips: Tensor, share: float) -> Tensor:
    """Gamma, then contrast, exposure, colour temperature and saturation in one matrix."""
    count = len(chips)
    strong = torch.rand(count, device=chips.device) < 0.25 * share
    wide = torch.where(strong, 2.5, 1.0)
    gamma = torch.exp(normal(count, 0.15, chips) * wide).clamp(0.4, 2.5)
    chips = (chips.clamp(min=0.5) * (1 / 255)).pow_(column(gamma).to(chips.dtype))
    gain = torch.exp(normal(count, 0.15, chips) * wide).clamp(0.35, 2.2)
    warmth = normal(count, 0.07, chips) * wide
    tint = torch.stack([warmth, normal(count, 0.025, chips), -warmth], 1)
    saturation = uniform(count, 0.6, 1.4, chips)
    saturation = torch.where(
        torch.rand(count, device=chips.device) < 0.07, torch.zeros_like(saturation), saturation
    )
    luma = constant(LUMA, chips.device).expand(3, 3)
    eye = torch.eye(3, device=chips.device)
    matrix = saturation[:, None, None] * eye + (1 - saturation)[:, None, None] * luma
    coloured = (saturation > 0)[:, None].float()
    matrix = matrix * (gain[:, None] * torch.exp(tint * coloured))[:, :, None]
    # Contrast turns around a middle that dark and bright pictures do not share.
    middle = uniform(count, 0.3, 0.5, chips)
    shift = (middle - middle * gain) + normal(count, 0.05, chips) * wide
    shift = shift[:, None, None].expand(-1, 3, 1) * 255
    flat = chips.flatten(2)
    relit = torch.baddbmm(shift.to(chips.dtype), (matrix * 255).to(chips.dtype), flat)
    return relit.view_as(chips).clamp_(0, 255)


def _lit_from_aside(chips: Tensor) -> Tensor:
    """A slope of light over the chip, or a face dark before a bright surrounding."""
    count, size = len(chips), chips.shape[-1]
    u, v = grid(size, chips)
    direction = uniform(count, 0, 2 * math.pi, chips)
    slope = column(torch.cos(direction)) * u + column(torch.sin(direction)) * v
    strength = column(uniform(count, 0.4, 1.6, chips))
    aside = torch.exp(slope * strength - 0.15 * strength)
    ring = (u**2 + v**2).sqrt()
    dark = column(uniform(count, 0.2, 0.6, chips))
    behind = dark + (1.5 - dark) * torch.sigmoid((ring - 0.48) * 14)
    from_behind = column(torch.rand(count, device=chips.device) < 0.4)
    return (chips * torch.where(from_behind, behind, aside).to(chips.dtype)).clamp_(0, 255)


def _coarse(chips: Tensor, side: float) -> Tensor:
    """As if the face had been ``side`` pixels large."""
    size, few = chips.shape[-1], round(side)
    small = F.interpolate(chips.float(), size=(few, few), mode="bilinear", antialias=True)
    return F.interpolate(small, size=(size, size), mode="bilinear").to(chips.dtype)


def _blurred(chips: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    steps = torch.arange(-reach, reach + 1, device=chips.device, dtype=torch.float32)
    line = torch.exp(-0.5 * (steps / sigma) ** 2)
    line = (line / line.sum()).to(chips.dtype).expand(3, 1, -1)
    x = F.pad(chips, (reach,) * 4, mode="replicate")
    x = F.conv2d(x, line[:, :, None], groups=3)
    return F.conv2d(x, line[:, :, :, None], groups=3)


def _moved(chips: Tensor, length: float, angle: float) -> Tensor:
    """Motion blur along a straight line."""
    reach = math.ceil(length / 2)
    steps = torch.arange(-reach, reach + 1, device=chips.device, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    kernel = (1 - across.abs()).clamp(min=0) * (along.abs() <= length / 2)
    kernel = (kernel / kernel.sum()).to(chips.dtype).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(chips, (reach,) * 4, mode="replicate"), kernel, groups=3)


def _noisy(chips: Tensor) -> Tensor:
    """Noise of a sensor, alike in all colours for half of the chips."""
    count = len(chips)
    spread = column(torch.exp(uniform(count, math.log(2), math.log(22), chips)))
    noise = torch.randn_like(chips)
    alike = column(torch.rand(count, device=chips.device) < 0.5)
    noise = torch.where(alike, noise[:, :1], noise)
    return (chips + noise * spread.to(chips.dtype)).clamp_(0, 255)


_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Example quantisation table of ITU-T T.81 (JPEG), annex K."""


def _cosines(like: Tensor) -> Tensor:
    k = torch.arange(8, device=like.device, dtype=torch.float32)
    table = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    table[0] /= math.sqrt(2)
    return table


def _compressed(chips: Tensor) -> Tensor:
    """What JPEG does: 8 x 8 cosine transforms rounded to a table, colour at half the resolution."""
    count, _, size, _ = chips.shape
    x = chips.float()
    y = x[:, 0] * LUMA[0] + x[:, 1] * LUMA[1] + x[:, 2] * LUMA[2]
    cb, cr = (x[:, 2] - y) / 1.772, (x[:, 0] - y) / 1.402
    quality = uniform(count, 8, 85, chips)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = constant(_LUMINANCE, chips.device).view(8, 8)
    colour = torch.clamp(table * 1.5, max=99)

    def rounded(plane: Tensor, steps: Tensor) -> Tensor:
        side = plane.shape[-1] // 8
        blocks = plane.view(count, side, 8, side, 8).transpose(2, 3)
        c = _cosines(plane)
        steps = (scale[:, None, None] * steps).clamp(min=1)[:, None, None]
        inner = torch.round(c @ blocks @ c.T / steps) * steps
        return (c.T @ inner @ c).transpose(2, 3).reshape(count, side * 8, side * 8)

    y = rounded(y - 128, table) + 128
    half = F.avg_pool2d(torch.stack([cb, cr], 1), 2)
    half = torch.stack([rounded(half[:, i].contiguous(), colour) for i in (0, 1)], 1)
    cb, cr = F.interpolate(half, size=(size, size), mode="bilinear").unbind(1)
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    green = (y - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.stack([red, green, blue], 1).to(chips.dtype).clamp_(0, 255)


def _erased(chips: Tensor) -> Tensor:
    """One rectangle in one colour (Zhong et al., "Random Erasing", AAAI 2020)."""
    count, size = len(chips), chips.shape[-1]
    u, v = grid(size, chips)
    area = uniform(count, 0.02, 0.15, chips)
    aspect = torch.exp(uniform(count, -0.7, 0.7, chips))
    width, height = torch.sqrt(area * aspect) / 2, torch.sqrt(area / aspect) / 2
    x, y = uniform(count, -0.5, 0.5, chips), uniform(count, -0.5, 0.5, chips)
    inside = ((u - column(x)).abs() < column(width)) & ((v - column(y)).abs() < column(height))
    colour = colours(count, chips)
    return torch.where(inside, colour, chips)
