"""What a kernel sees of feature maps, to fit its layer again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name


def seen(maps: Tensor, side: int, each: int, stride: int = 1) -> NDArray[np.float32]:
    """Take random positions, the same ones each time.

    Args:
        maps: ``[N, C, H, W]``.
        side: of the kernel.
        each: positions of a map.
        stride: 1 or 2, of the convolution.

    Returns:
        The kernel's inputs there, ``[N * each, C * side * side]``.
    """
    around = side // 2
    border = (0, 1, 0, 1) if stride == 2 else (around, around, around, around)  # as TensorFlow pads
    order = torch.Generator().manual_seed(0)
    rows = []
    for one in maps.split(1):
        inputs = F.unfold(F.pad(one, border), side, stride=stride)[0]
        rows.append(inputs[:, torch.randperm(inputs.shape[1], generator=order)[:each]].T)
    taken: NDArray[np.float32] = torch.cat(rows).numpy()
    return taken
