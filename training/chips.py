"""Chips cut from pictures on the device, a whole batch at a time, as the service cuts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from training.device import column, normal, uniform

SHIFT, ZOOM, TILT = 0.04, 0.08, 4.0
"""Jitter of the box's centre (box sides), of its size's logarithm, and of the rotation (degrees):
as two detectors differ."""
NO_LANDMARKS = 0.2
"""Share of chips that are not rotated upright, as a detector without landmarks gives none."""
MAX_UNALIGNED = 0.7
"""Rotation in radians beyond which a chip is always rotated upright."""
OTHER_SCALE, SCALES = 0.15, (0.8, 1.3)
"""Share of chips cut at quite another scale, and its limits as factors of the usual one."""


@dataclass(frozen=True)
class Faces:
    """Where the faces of a batch are in their pictures.

    Attributes:
        pictures: uint8 ``[N, H, W, 3]``, RGB.
        boxes: float ``[N, 4]``, pixels.
        landmarks: float ``[N, 5, 2]``, pixels.
        rolls: float ``[N]``, radians, as `age_gender.vision.geometry.roll_angles` gives them.
    """

    pictures: Tensor
    boxes: Tensor
    landmarks: Tensor
    rolls: Tensor


def cut(faces: Faces, size: int, scale: float, jitter: bool) -> tuple[Tensor, Tensor]:
    """Cut one chip from each picture, as `age_gender.vision.geometry` does or somewhat beside it.

    Args:
        faces: of N pictures.
        size: side of the chips, pixels.
        scale: side of the chips in box lengths.
        jitter: whether to move, rotate, scale and mirror them at random.

    Returns:
        Chips float32 ``[N, 3, size, size]``, and the landmarks in them ``[N, 5, 2]`` in chip sides
        from the chip's centre, left still being left in the chip.
    """
    boxes, count = faces.boxes, len(faces.boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(1).clamp(min=1)
    sides, angles = longer * scale, faces.rolls
    sign = torch.ones(count, device=boxes.device)
    if jitter:
        centres = centres + torch.randn_like(centres) * SHIFT * longer[:, None]
        factor = torch.exp(normal(count, ZOOM, boxes))
        other = torch.rand(count, device=boxes.device) < OTHER_SCALE
        sides = sides * torch.where(other, uniform(count, *SCALES, boxes), factor)
        level = torch.rand(count, device=boxes.device) < NO_LANDMARKS
        angles = torch.where(
            level & (angles.abs() < MAX_UNALIGNED), torch.zeros_like(angles), angles
        )
        angles = angles + normal(count, math.radians(TILT), boxes)
        sign = torch.where(torch.rand(count, device=boxes.device) < 0.5, -sign, sign)
    cos, sin = torch.cos(angles), torch.sin(angles)
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size - 0.5
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    u = u * column(sign)[:, 0]
    x = centres[:, 0, None, None] + sides[:, None, None] * (
        cos[:, None, None] * u - sin[:, None, None] * v
    )
    y = centres[:, 1, None, None] + sides[:, None, None] * (
        sin[:, None, None] * u + cos[:, None, None] * v
    )
    height, width = faces.pictures.shape[1:3]
    grid = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], -1)
    source = faces.pictures.permute(0, 3, 1, 2).float()
    chips = F.grid_sample(source, grid, padding_mode="border", align_corners=False)

    offset = (faces.landmarks - centres[:, None]) / sides[:, None, None]
    a = (cos[:, None] * offset[..., 0] + sin[:, None] * offset[..., 1]) * sign[:, None]
    b = -sin[:, None] * offset[..., 0] + cos[:, None] * offset[..., 1]
    points = torch.stack([a, b], -1)
    swapped = points[:, [1, 0, 2, 4, 3]]
    return chips, torch.where((sign < 0)[:, None, None], swapped, points)
