"""How far the small detector's answers are from the large one's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from modelbuild.retinaface_layers import MAPS

SURE = 8.0
"""Logits beyond this are as good as this: the probability no longer changes."""
SEEN = 0.02
"""Probability from which an anchor's logit has to agree."""
WHERE = 0.05
"""Probability from which boxes and landmarks have to agree."""


def difference(said: Mapping[str, Tensor], taught: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compare the answers, each part as a scalar.

    Args:
        said: as from `training.detector.network.Detector`.
        taught: the same of the large detector, feature maps included.
    """
    logits, wanted = said["logits"], taught["logits"]
    face = torch.sigmoid(wanted)
    with torch.no_grad():
        entropy = F.binary_cross_entropy_with_logits(wanted, face, reduction="none")
        seen = torch.maximum(face, torch.sigmoid(logits))
        close = (seen > SEEN).float()
        where = face * (face > WHERE)
    count = face.sum().clamp(min=1)
    surprise = F.binary_cross_entropy_with_logits(logits, face, reduction="none") - entropy
    off = F.smooth_l1_loss(
        logits.clamp(-SURE, SURE), wanted.clamp(-SURE, SURE), reduction="none", beta=0.5
    )
    parts = {
        "class": surprise.sum() / count,
        "logit": (off * close).sum() / close.sum().clamp(min=1),
    }
    for name in ("boxes", "landmarks"):
        error = F.smooth_l1_loss(said[name], taught[name], reduction="none", beta=0.2).mean(2)
        parts[name] = (error * where).sum() / where.sum().clamp(min=1)
    for name in MAPS:
        parts[name] = feature_difference(said[name], taught[name])
    return parts


def feature_difference(map_: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference, relative to each channel's variance, as a scalar."""
    wanted = wanted.float()
    scale = wanted.var((0, 2, 3), keepdim=True) + 1e-3
    return ((map_.float() - wanted) ** 2 / scale).mean()
