"""Losses for ages known to the year or only as a range, for noisy genders, and for teachers.

All take and return tensors on one device; N is the number of faces, ages are the years 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

AGES = 101
SPREAD_AT_BIRTH, SPREAD_PER_YEAR, MAX_SPREAD = 0.6, 0.06, 3.0
"""Standard deviation, in years, of the target distribution around an exact age."""
DISTANCE_WEIGHT = 0.2
"""Per year between the expected age and the label, in nats."""
GENDER_WEIGHT = 2.0
"""Of the gender loss, relative to the age loss."""
SMOOTHING, CHILD_SMOOTHING, INFANT_SMOOTHING = 0.05, 0.12, 0.25
"""Share of gender labels assumed to be random: in general, up to 9 years, up to 2: no one can tell
children's well, so the network should be less certain."""
MIN_TRUST, DOUBTED, NEAR = 0.3, 0.25, 6
"""A label to which the teacher that has not seen it gives less than `DOUBTED` counts for less, down
to `MIN_TRUST`; an age is given what lies within `NEAR` years of it."""


@dataclass(frozen=True)
class Targets:
    """What N faces are to be learned as.

    Attributes:
        low: ``[N]``, lowest age in years.
        high: ``[N]``, highest age.
        distribution: ``[N, 101]``, of ages, rows sum to 1.
        hint: ``[N]``, weight of the distribution where the age is a range.
        male: bool ``[N]``.
        smoothed: ``[N]``, probability of male to learn.
    """

    low: Tensor
    high: Tensor
    distribution: Tensor
    hint: Tensor
    male: Tensor
    smoothed: Tensor

    def __getitem__(self, rows: Tensor) -> Targets:
        return Targets(
            self.low[rows],
            self.high[rows],
            self.distribution[rows],
            self.hint[rows],
            self.male[rows],
            self.smoothed[rows],
        )


def _years(like: Tensor) -> Tensor:
    return torch.arange(float(AGES), device=like.device)[None]


def age_targets(
    low: Tensor, high: Tensor, guess: Tensor, spread: Tensor, flatness: float
) -> tuple[Tensor, Tensor]:
    """Make the distributions over ages to learn, and what part of each is only a hint.

    An exact age becomes a narrow Gaussian over years (label distribution learning, Gao et al.,
    IJCAI 2018). In a range the hint is a Gaussian around a guess, cut off at the range's ends:
    without any exact ages, nothing else would determine the place within a range.

    Args:
        low: ``[N]``, lowest age.
        high: ``[N]``, highest age.
        guess: ``[N]``, likely age within the range, years.
        spread: ``[N]``, standard deviation of the guess, years.
        flatness: weight of the hint.

    Returns:
        ``[N, 101]``, rows sum to 1, and ``[N]``: 1 for exact ages, else ``flatness``.
    """
    years = _years(low)
    low, high = (a.float()[:, None].clamp(max=AGES - 1) for a in (low, high))
    exact = low == high
    around = (SPREAD_AT_BIRTH + SPREAD_PER_YEAR * low).clamp(max=MAX_SPREAD)
    width = torch.where(exact, around, spread[:, None])
    middle = torch.where(exact, low, guess[:, None])
    logits = -0.5 * ((years - middle) / width) ** 2
    outside = ~exact & ((years < low) | (years > high))
    return logits.masked_fill(outside, -1e9).softmax(1), torch.where(exact[:, 0], 1.0, flatness)


def smoothed_genders(male: Tensor, high: Tensor) -> Tensor:
    """Probability of male to learn (label smoothing, Szegedy et al. 2016).

    Args:
        male: bool ``[N]``.
        high: ``[N]``, highest age.

    Returns:
        ``[N]``.
    """
    share = torch.full(male.shape, SMOOTHING, device=male.device)
    share = torch.where(high <= 9, CHILD_SMOOTHING, share)
    share = torch.where(high <= 2, INFANT_SMOOTHING, share)
    return male.float() * (1 - share) + share / 2


def age_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Distribution learning for exact ages, censored likelihood for ranges, and a distance.

    A range contributes ``-log P(low <= age <= high)`` (interval censoring, Turnbull 1976) and, with
    the hint's weight, the divergence from the target distribution within it. Both add the distance
    in years from the expected age to the label, which the mean absolute error measures.

    Args:
        logits: ``[N, 101]``.
        targets: of the same faces.

    Returns:
        ``[N]``, nats.
    """
    years = _years(logits)
    low, high = (a.float().clamp(max=AGES - 1) for a in (targets.low, targets.high))
    log_p = logits.log_softmax(1)
    goal = targets.distribution
    divergence = (goal * (goal.clamp(min=1e-9).log() - log_p)).sum(1)
    outside = (years < low[:, None]) | (years > high[:, None])
    log_inside = log_p.masked_fill(outside, -1e9).logsumexp(1)
    # Within the range: the divergence without what the range itself costs.
    censored = -log_inside + targets.hint * (divergence + log_inside)
    expected = (log_p.exp() * years).sum(1)
    distance = F.relu(low - expected) + F.relu(expected - high)
    return torch.where(low == high, divergence, censored) + DISTANCE_WEIGHT * distance


def gender_loss(logits: Tensor, probability: Tensor) -> Tensor:
    """Binary cross-entropy.

    Args:
        logits: ``[N]``, of male.
        probability: ``[N]``, of male, to learn.

    Returns:
        ``[N]``, nats.
    """
    return F.softplus(logits) - probability * logits


@dataclass(frozen=True)
class Lesson:
    """What teachers answer for the same N damaged chips.

    Attributes:
        ages: ``[N, 101]``, their mixed distribution.
        male: ``[N]``, their mixed probability of male.
        unseen_ages: ``[N, 101]``, of the teacher that has not seen these faces' labels.
        unseen_male: ``[N]``, likewise.
    """

    ages: Tensor
    male: Tensor
    unseen_ages: Tensor
    unseen_male: Tensor


def trust(targets: Targets, lesson: Lesson) -> tuple[Tensor, Tensor]:
    """How much each label of age and of gender counts, ``[N]`` both."""
    years = _years(lesson.ages)
    likely = torch.where(targets.male, lesson.unseen_male, 1 - lesson.unseen_male)
    low, high = targets.low[:, None], targets.high[:, None]
    near = (years >= low - NEAR) & (years <= high + NEAR)
    shares = ((lesson.unseen_ages * near).sum(1), likely)
    age, gender = (MIN_TRUST + (1 - MIN_TRUST) * (s / DOUBTED).clamp(max=1) for s in shares)
    return age, gender


def taught_loss(ages: Tensor, genders: Tensor, lesson: Lesson, weights: Tensor) -> Tensor:
    """Loss against the teachers (Hinton et al. 2015), ``[N]``, nats.

    Args:
        ages: ``[N, 101]``, logits.
        genders: ``[N]``, logits of male.
        lesson: the teachers' answers.
        weights: ``[N]``, of the gender.
    """
    log_p = ages.log_softmax(1)
    divergence = (lesson.ages * (lesson.ages.clamp(min=1e-9).log() - log_p)).sum(1)
    gap = ((log_p.exp() - lesson.ages) * _years(ages)).sum(1).abs()
    gender = gender_loss(genders, lesson.male)
    return divergence + 0.5 * DISTANCE_WEIGHT * gap + GENDER_WEIGHT * weights * gender
