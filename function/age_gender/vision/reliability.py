"""Whether a face's age and gender can be relied on, and if not, why.

Qualities are compared with limits, small classifiers of the network's features look for what hides
a face, and two logistic models predict the probability of a large error. `training.reliability`
fits all of them; they are part of the model's specification.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes
from age_gender.vision.face import Reason
from age_gender.vision.geometry import Float
from age_gender.vision.model_spec import Reliability, Risk
from age_gender.vision.quality import Quality

REASONS: tuple[Reason, ...] = get_args(Reason)


def assess_reliability(
    attributes: Attributes,
    qualities: Sequence[Quality],
    confidences: Float,
    limits: Reliability,
) -> tuple[list[Quality], list[tuple[Reason, ...]]]:
    """Find the reasons against relying on each face's attributes.

    Args:
        attributes: of N faces.
        qualities: of the same.
        confidences: ``[N]``, of their detections, 0-1.
        limits: the model's.

    Returns:
        The qualities, with what the embedding adds to them, and the reasons of each face.
    """
    heads = head_probabilities(attributes.embedding, limits)
    if "covered" in heads:
        qualities = [
            replace(quality, covered=p)
            for quality, p in zip(qualities, heads["covered"].tolist(), strict=True)
        ]
    applies: dict[Reason, NDArray[np.bool_]] = {
        name: heads[name] >= head.limit for name, head in limits.heads.items() if name in heads
    }
    values = features(attributes, qualities)
    if limits.age_risk:
        applies["age-uncertain"] = uncertain(values, attributes.ages, limits.age_risk)
    if limits.gender_risk:
        applies["gender-uncertain"] = uncertain(values, attributes.ages, limits.gender_risk)
    found: list[set[Reason]] = [set(quality_reasons(quality, limits)) for quality in qualities]
    for i, reasons in enumerate(found):
        reasons |= {name for name, holds in applies.items() if holds[i]}
        if confidences[i] < limits.min_confidence:
            reasons.add("not-a-face")
    ordered = [tuple(name for name in REASONS if name in reasons) for reasons in found]
    return list(qualities), ordered


def quality_reasons(quality: Quality, limits: Reliability) -> Iterator[Reason]:
    """Yield the reasons that the limits of quality give for one face."""
    if (
        abs(quality.yaw or 0.0) > limits.max_yaw
        or abs(quality.yaw_degrees or 0.0) > limits.max_yaw_degrees
        or abs(quality.pitch_degrees or 0.0) > limits.max_pitch_degrees
    ):
        yield "turned"
    if (
        quality.sharpness < limits.min_sharpness
        or quality.sharpness_along < limits.min_sharpness_along
    ):
        yield "blurred"
    if (
        quality.brightness < limits.min_brightness
        or quality.contrast < limits.min_contrast
        or quality.noise > limits.max_noise * max(quality.contrast, 0.01)
    ):
        yield "dark"
    if quality.burnt_out > limits.max_burnt_out:
        yield "overexposed"
    if quality.size < limits.min_size:
        yield "small"
    if quality.outside > limits.max_outside:
        yield "cut-off"


def head_probabilities(
    embedding: Float | None, limits: Reliability
) -> Mapping[Reason, NDArray[np.float32]]:
    """Probabilities of each head's reason, ``[N]``; none without an embedding ``[N, E]``."""
    if embedding is None:
        return {}
    return {name: _logistic(head.logits(embedding)) for name, head in limits.heads.items()}


def features(attributes: Attributes, qualities: Sequence[Quality]) -> dict[str, Float]:
    """Features of the risk models, about 0 to 1 each; float32 ``[N]``.

    Args:
        attributes: of N faces.
        qualities: of the same.
    """

    def of(name: str) -> Float:
        return np.array([getattr(quality, name) or 0.0 for quality in qualities], np.float32)

    p = np.clip(np.maximum(attributes.male, 1 - attributes.male), 0.5, 1 - 1e-4)
    ages = np.maximum(attributes.ages, 0)
    covered = np.clip(of("covered"), 1e-3, 1 - 1e-3)
    return {
        "spread": np.log1p(attributes.spread) / 3,
        "relative_spread": np.log1p(attributes.spread / (ages + 5)),
        "gender": np.log(p / (1 - p)) / 5,
        "gender_doubt": 1 - p,
        "age": ages / 100,
        "child": np.maximum(1 - ages / 15, 0),
        "sharpness": np.log(np.clip(of("sharpness_along"), 0.3, 0.7) / 0.7),
        "brightness": np.minimum(of("brightness"), 0.5),
        "contrast": np.minimum(of("contrast"), 0.6),
        "burnt_out": np.minimum(of("burnt_out"), 0.5),
        "noise": np.minimum(of("noise"), 0.1) * 10,
        "yaw": np.abs(of("yaw_degrees")) / 90,
        "pitch": np.abs(of("pitch_degrees")) / 90,
        "covered": np.log(covered / (1 - covered)) / 7,
    }


def risk(values: Mapping[str, Float], model: Risk) -> Float:
    """Probability of a large error, float32 ``[N]``."""
    return _logistic(model.logits(values))


def uncertain(values: Mapping[str, Float], ages: Float, model: Risk) -> NDArray[np.bool_]:
    """Whether the risk is too high, bool ``[N]``.

    Args:
        values: from `features`.
        ages: ``[N]``, predicted.
        model: the risk's.
    """
    return np.asarray(risk(values, model) >= model.limits_at(ages))


def _logistic(logit: Float) -> Float:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))), np.float32)
