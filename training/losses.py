"""Losses for ages known to the year or only as a range, and for noisy gender labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

SPREAD_AT_BIRTH = 0.6
SPREAD_PER_YEAR = 0.06
MAX_SPREAD = 3.0
"""Standard deviation, in years, of the target distribution around an exact age."""
DISTANCE_WEIGHT = 0.2
"""Per year between the expected age and the label, in nats."""
SMOOTHING = 0.05
"""Share of gender labels assumed to be random."""


@keras.saving.register_keras_serializable("training")
class AgeLoss(keras.losses.Loss):  # type: ignore[misc] # Keras has no types
    """Distribution learning for exact ages, censored likelihood for ranges, and a distance.

    An exact age becomes a narrow Gaussian over years (label distribution learning, Gao et al.,
    "Age Estimation Using Expectation of Label Distribution Learning", IJCAI 2018), compared by
    Kullback-Leibler divergence. A range contributes ``-log P(low <= age <= high)`` (interval
    censoring, Turnbull 1976). Both add the distance in years from the expected age to the label,
    which the mean absolute error measures.

    Without any exact ages, nothing determines the place within a range, and the network puts its
    ages at the ends. ``flatness`` weighs the divergence from a uniform distribution within the
    range (maximum entropy, Jaynes 1957).
    """

    def __init__(self, flatness: float = 0.0, **rest: Any):
        """Configure the loss.

        Args:
            flatness: weight of that divergence.
            **rest: arguments of every Keras loss.
        """
        super().__init__(**rest)
        self.flatness = flatness

    def get_config(self) -> dict[str, Any]:
        """Arguments, for saving."""
        return {**super().get_config(), "flatness": self.flatness}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each face.

        Args:
            y_true: ``[N, 2]``, lowest and highest age in whole years.
            y_pred: ``[N, K]``, logits of the ages 0 to K - 1.

        Returns:
            ``[N]``, nats.
        """
        count = y_pred.shape[-1]
        years = ops.arange(count, dtype="float32")[None, :]
        low = ops.minimum(ops.cast(y_true[:, :1], "float32"), count - 1.0)
        high = ops.minimum(ops.cast(y_true[:, 1:], "float32"), count - 1.0)
        log_p = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)

        spread = ops.minimum(SPREAD_AT_BIRTH + SPREAD_PER_YEAR * low, MAX_SPREAD)
        log_target = ops.log_softmax(-0.5 * ops.square((years - low) / spread), axis=-1)
        divergence = ops.sum(ops.exp(log_target) * (log_target - log_p), axis=-1)

        outside = ops.logical_or(years < low, years > high)
        log_inside = ops.logsumexp(ops.where(outside, -1e9, log_p), axis=-1)
        share = ops.cast(ops.logical_not(outside), "float32") / (high - low + 1)
        unevenness = log_inside - ops.sum(share * log_p, axis=-1) - ops.log(high - low + 1)[:, 0]
        censored = self.flatness * unevenness - log_inside

        expected = ops.sum(ops.exp(log_p) * years, axis=-1)
        distance = ops.relu(low[:, 0] - expected) + ops.relu(expected - high[:, 0])

        likelihood = ops.where(low[:, 0] == high[:, 0], divergence, censored)
        return likelihood + DISTANCE_WEIGHT * distance


@keras.saving.register_keras_serializable("training")
class GenderLoss(keras.losses.Loss):  # type: ignore[misc] # Keras has no types
    """Binary cross-entropy with label smoothing (Szegedy et al. 2016)."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each face.

        Args:
            y_true: ``[N, 1]``, 1 for male.
            y_pred: ``[N, 1]``, logit of male.

        Returns:
            ``[N]``, nats.
        """
        target = ops.cast(y_true, "float32") * (1 - SMOOTHING) + SMOOTHING / 2
        logit = ops.cast(y_pred, "float32")
        return ops.mean(ops.softplus(logit) - target * logit, axis=-1)
