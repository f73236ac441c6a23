"""The small detector in PyTorch.

Which layers there are, and how wide they are, follows from the weights, as in
`modelbuild.retinaface`, which serves the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from modelbuild.retinaface_layers import (
    BLOCKS,
    BRIGHTEST,
    CLIP,
    COLUMNS,
    MAPS,
    PATCH,
    STRIDE_2,
    stem_layers,
)
from modelbuild.weights import Weights


def patches(images: Tensor) -> Tensor:
    """Rearrange ``[N, H, W, 3]`` to ``[N, 48, H/4, W/4]`` in TensorFlow's order of channels."""
    n, height, width, channels = images.shape
    x = images.view(n, height // PATCH, PATCH, width // PATCH, PATCH, channels)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(n, height // PATCH, width // PATCH, -1)
    return x.permute(0, 3, 1, 2)  # channels last in memory


class Detector(nn.Module):  # type: ignore[misc] # PyTorch is optional: no types
    """The small detector.

    Attributes:
        watch: called with the name and the output ``[N, C, H, W]`` of each layer and sum.
    """

    def __init__(self, weights: Weights):
        """Take the weights.

        Args:
            weights: ``NAME/kernel`` ``[O, I, H, W]`` and ``NAME/bias`` ``[O]`` by layer.
        """
        super().__init__()
        self.watch: Callable[[str, Tensor], None] = lambda _name, _x: None
        self.layers = nn.ParameterDict(
            {name: nn.Parameter(torch.from_numpy(np.array(w))) for name, w in weights.items()}
        )

    def has(self, layer: str) -> bool:
        """Whether there is such a layer."""
        return f"{layer}/kernel" in self.layers

    def conv(self, name: str, x: Tensor, stride: int = 1, top: float | None = None) -> Tensor:
        """Convolve, add the bias, and clip to 0 and ``top`` unless that is None."""
        kernel, bias = self.layers[f"{name}/kernel"], self.layers[f"{name}/bias"]
        groups = kernel.shape[0] if kernel.shape[1] == 1 and x.shape[1] > 1 else 1
        if stride == 2:  # as TensorFlow pads
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel, bias, stride=2, groups=groups)
        else:
            x = F.conv2d(x, kernel, bias, padding=kernel.shape[2] // 2, groups=groups)
        if top is not None:
            x = F.relu(x) if top == float("inf") else F.hardtanh(x, 0.0, top)
        return self.seen(name, x)

    def seen(self, name: str, x: Tensor) -> Tensor:
        """Show a result to `watch`, and return it."""
        self.watch(name, x)
        return x

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Look at pictures.

        Args:
            images: uint8 ``[N, H, W, 3]``, RGB; H and W multiples of 32.

        Returns:
            Float32 ``logits`` ``[N, A]`` of a face, ``boxes`` ``[N, A, 4]``, ``landmarks``
            ``[N, A, 10]``, and the feature maps of `MAPS`, ``[N, C, H, W]``.
        """
        maps = self.features(images)
        return {**maps, **self.heads(self.pyramid(maps))}

    def features(self, images: Tensor, last: str = "c5") -> dict[str, Tensor]:
        """The feature maps of `MAPS` up to ``last``."""
        x = self.stem(images)
        maps = {}
        for number in BLOCKS:
            name = f"block_{number}"
            if not self.has(f"{name}_project"):  # the stem replaces it
                continue
            stride = 2 if number in STRIDE_2 else 1
            if self.has(f"{name}_fused"):
                y = self.conv(f"{name}_fused", x, stride, CLIP)
            else:
                y = self.conv(f"{name}_expand", x, 1, CLIP)
                y = self.conv(f"{name}_depthwise", y, stride, CLIP)
            y = self.conv(f"{name}_project", y)
            x = self.seen(f"{name}_add", x + y) if y.shape == x.shape else y
            maps.update({tap: x for tap, block in MAPS.items() if block == number})
            if last in maps:
                break
        return maps

    def stem(self, images: Tensor) -> Tensor:
        """The first layers, ``[N, C, H/4, W/4]``."""
        # The scale is taken out of the pixels so that all layers learn at a like rate.
        x = patches(images.to(self.layers["stem1/kernel"].dtype) / BRIGHTEST)
        for layer in stem_layers(self.layers):
            x = self.conv(layer, x, 1, CLIP)
        return x

    def pyramid(self, maps: Mapping[str, Tensor]) -> list[Tensor]:
        """Feature maps of the three strides, finest first, ``[N, 64, H, W]``."""
        top = float("inf")
        p5 = self.conv("FPN/ConvBN_2", maps["c5"], 1, top)
        p4 = self.conv("FPN/ConvBN_1", maps["c4"], 1, top)
        p3 = self.conv("FPN/ConvBN", maps["c3"], 1, top)
        p4 = self.seen("FPN/add", p4 + F.interpolate(p5, scale_factor=2.0))
        p4 = self.conv("FPN/ConvBN_3", p4, 1, top)
        p3 = self.seen("FPN/add_1", p3 + F.interpolate(p4, scale_factor=2.0))
        return [self.conv("FPN/ConvBN_4", p3, 1, top), p4, p5]

    def heads(self, pyramid: list[Tensor]) -> dict[str, Tensor]:
        """What is said of each anchor."""
        top = float("inf")
        answers: dict[str, list[Tensor]] = {name: [] for name in COLUMNS}
        for level, x in enumerate(pyramid):
            ssh = f"SSH_{level}/ConvBN"
            near = self.conv(ssh, x, 1, top)
            y = self.conv(f"{ssh}_1", x, 1, top)
            middle = self.conv(f"{ssh}_2", y, 1, top)
            y = self.conv(f"{ssh}_3", y, 1, top)
            context = torch.cat([near, middle, self.conv(f"{ssh}_4", y, 1, top)], 1)
            with torch.autocast("cpu", enabled=False):
                context = context.float()
                for name, columns in COLUMNS.items():
                    key = f"heads/{name}_{level}"
                    kernel, bias = self.layers[f"{key}/kernel"], self.layers[f"{key}/bias"]
                    y = F.conv2d(context, kernel, bias).permute(0, 2, 3, 1)
                    answers[name].append(y.reshape(len(x), -1, columns))
        joined = {name: torch.cat(parts, 1) for name, parts in answers.items()}
        joined["logits"] = joined["logits"][:, :, 0]
        return joined
