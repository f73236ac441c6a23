"""What covers faces, or what is around them, on chips: masks, dark glasses, hats, other hair."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from training.device import colours, column, constant, grid, uniform


def _along(x: Tensor, y: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along unit vectors ``[N, 2]`` and, clockwise, across them."""
    dx, dy = column(direction[:, 0]), column(direction[:, 1])
    return x * dx + y * dy, y * dx - x * dy


def _face_plane(chips: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the pixels in the face: across from its middle, down from the eyes.

    The unit is the distance from the eyes to the mouth. Where the face is turned aside, the nose
    and the mouth say where the middle is.

    Returns:
        ``[N, 1, S, S]`` both.
    """
    u, v = grid(chips.shape[-1], chips)
    eyes = points[:, :2].mean(1)
    mouth = points[:, 3:].mean(1)
    down = mouth - eyes
    length = down.norm(dim=1).clamp(min=0.05)
    down = down / length[:, None]
    middle = (eyes + mouth) / 2 * 0.6 + points[:, 2] * 0.4
    x, y = u - column(middle[:, 0]), v - column(middle[:, 1])
    along, to_left = _along(x, y, down)
    offset = ((middle - eyes) * down).sum(1) / length
    return -to_left / column(length), along / column(length) + column(offset)


def _painted(chips: Tensor, cover: Tensor, colour: Tensor, opacity: Tensor) -> Tensor:
    """Paint over ``[N, 1, S, S]`` with the picture's light kept in part."""
    light = F.avg_pool2d(chips.float().mean(1, keepdim=True), 31, 1, 15, count_include_pad=False)
    shade = (0.6 + 0.4 * light / 128).clamp(0.35, 1.25).to(chips.dtype)
    alpha = (cover * opacity).to(chips.dtype)
    return (chips * (1 - alpha) + (colour * shade).clamp(0, 255) * alpha).clamp(0, 255)


_MASKS = (
    235, 238, 240, 165, 200, 222, 130, 175, 205, 28, 28, 32, 150, 190, 175, 200, 205, 210,
)  # fmt: skip
"""Colours of the usual masks, RGB one after the other."""


def mask(chips: Tensor, points: Tensor) -> Tensor:
    """A surgical or cloth mask over mouth and nose, its bands to the ears, sometimes a pattern.

    Args:
        chips: ``[N, 3, S, S]``.
        points: ``[N, 5, 2]``, landmarks as `training.chips.cut` gives them.

    Returns:
        ``[N, 3, S, S]``.
    """
    count = len(chips)
    p, q = _face_plane(chips, points)
    top = column(uniform(count, 0.25, 0.65, chips))
    bottom = column(uniform(count, 1.55, 2.1, chips))
    half = column(uniform(count, 0.7, 1.05, chips))
    drop = column(uniform(count, 0.05, 0.5, chips))
    narrow = column(uniform(count, 0.2, 0.6, chips))
    below = q - (top + drop * p.abs() ** 1.5)
    above = bottom - 0.25 * p**2 - q
    beside = half - narrow * ((q - 1.1).clamp(min=0)) - p.abs()
    edge = torch.minimum(torch.minimum(below, above), beside)
    cover = torch.sigmoid(edge * 45)
    reach = (p.abs() > half - 0.05) & (p.abs() < half + 0.7)
    for height in (0.75, 1.35):
        line = q - height + (p.abs() - half) * (height - 0.55)
        band = ((line.abs() < 0.035) & reach).float()
        cover = torch.maximum(cover, band * 0.9)
    usual = constant(_MASKS, chips.device).view(-1, 3).to(chips.dtype)
    pick = usual[torch.randint(0, len(usual), (count,), device=chips.device)][:, :, None, None]
    free = column(torch.rand(count, device=chips.device) < 0.4)
    colour = torch.where(free, colours(count, chips), pick)
    folds = 1 + 0.06 * torch.sin(q * column(uniform(count, 10, 25, chips)))
    pattern = column(torch.rand(count, device=chips.device) < 0.15)
    dots = 1 + 0.5 * torch.sin(p * 30) * torch.sin(q * 30)
    colour = colour * torch.where(pattern, dots, folds).to(chips.dtype)
    return _painted(chips, cover, colour, column(uniform(count, 0.94, 1.0, chips)))


def dark_glasses(chips: Tensor, points: Tensor) -> Tensor:
    """Two dark lenses over the eyes and a bridge.

    Args:
        chips: ``[N, 3, S, S]``.
        points: ``[N, 5, 2]``, landmarks as `training.chips.cut` gives them.

    Returns:
        ``[N, 3, S, S]``.
    """
    count = len(chips)
    u, v = grid(chips.shape[-1], chips)
    between = points[:, 1] - points[:, 0]
    down = (points[:, 3:].mean(1) - points[:, :2].mean(1)).norm(dim=1).clamp(min=0.05)
    direction = F.normalize(torch.stack([down, torch.zeros_like(down)], 1) * 0.3 + between, dim=1)
    width = (0.42 * between.norm(dim=1)).clamp(min=0) + 0.08 * down
    wide = width * uniform(count, 0.8, 1.1, chips)
    high = down * uniform(count, 0.24, 0.42, chips)
    power = column(uniform(count, 2.0, 5.0, chips))
    low = column(down * uniform(count, 0.0, 0.12, chips))
    cover = torch.zeros(1, device=chips.device)
    for side in (0, 1):
        x, y = u - column(points[:, side, 0]), v - column(points[:, side, 1]) - low
        a, b = _along(x, y, direction)
        ring = (a.abs() / column(wide)) ** power + (b.abs() / column(high)) ** power
        cover = torch.maximum(cover, torch.sigmoid((1 - ring) * 12))
    middle = points[:, :2].mean(1)
    x, y = u - column(middle[:, 0]), v - column(middle[:, 1])
    a, b = _along(x, y, direction)
    half = column(between.norm(dim=1)) / 2
    bridge = ((a.abs() < half) & (b.abs() < column(down) * 0.05)).float()
    cover = torch.maximum(cover, bridge)
    colour = colours(count, chips) * 0.22
    return _painted(chips, cover, colour, column(uniform(count, 0.7, 1.0, chips)))


def hat(chips: Tensor, points: Tensor) -> Tensor:
    """Something over the forehead and the hair: a hat, a cap, a scarf.

    Args:
        chips: ``[N, 3, S, S]``.
        points: ``[N, 5, 2]``, landmarks as `training.chips.cut` gives them.

    Returns:
        ``[N, 3, S, S]``.
    """
    count = len(chips)
    p, q = _face_plane(chips, points)
    brow = column(uniform(count, -0.85, -0.3, chips))
    bend = column(uniform(count, -0.25, 0.35, chips))
    cover = torch.sigmoid((brow + bend * p**2 - q) * 40)
    hood = column((torch.rand(count, device=chips.device) < 0.3).float())
    half = column(uniform(count, 0.85, 1.15, chips))
    aside = torch.sigmoid((p.abs() - half - 0.1 * (q - 0.3) ** 2) * 40) * hood
    colour = colours(count, chips)
    weave = 1 + 0.08 * torch.sin(p * 40) * torch.sin(q * 40)
    shadow = torch.sigmoid((brow + 0.25 + bend * p**2 - q) * 12) * 0.25
    chips = chips * (1 - shadow).to(chips.dtype)
    colour = colour * weave.to(chips.dtype)
    return _painted(
        chips, torch.maximum(cover, aside), colour, column(uniform(count, 0.95, 1.0, chips))
    )


def surroundings(chips: Tensor, points: Tensor) -> Tensor:
    """Replace all but the face: by the next chip's, by one colour, or by its own, blurred.

    Hair and clothes tell much of age and gender, and sometimes wrongly: curls made a young woman
    57 years old, and 30 without them.

    Args:
        chips: ``[N, 3, S, S]``.
        points: ``[N, 5, 2]``, landmarks as `training.chips.cut` gives them.

    Returns:
        ``[N, 3, S, S]``.
    """
    count = len(chips)
    p, q = _face_plane(chips, points)
    across = column(uniform(count, 0.85, 1.25, chips))
    along = column(uniform(count, 1.05, 1.5, chips))
    ring = ((p / across) ** 2 + ((q - 0.4) / along) ** 2).sqrt()
    inside = torch.sigmoid((1 - ring) * column(uniform(count, 8, 40, chips))).to(chips.dtype)
    few = F.interpolate(chips.float(), size=(7, 7), mode="bilinear", antialias=True)
    blurred = F.interpolate(few, size=chips.shape[-2:], mode="bicubic").to(chips.dtype)
    kind = column(torch.randint(0, 3, (count,), device=chips.device))
    plain = torch.where(kind == 1, blurred, colours(count, chips))
    outside = torch.where(kind == 0, chips.roll(1, 0), plain)
    return chips * inside + outside.clamp(0, 255) * (1 - inside)
