"""Margins of the age interval that hold for every age and data set, not only on average.

Conformalised quantiles (Romano et al., "Conformalized Quantile Regression", NeurIPS 2019) with a
quantile for each end and each band of predicted ages (Vovk's Mondrian predictors, 2003). The level
of a band's end is raised while a group of faces that falls short has most of its misses there, and
all levels are lowered in return until the coverage of all is the wanted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.attributes import Attributes
from age_gender.vision.model_spec import Calibration
from training.data import Labels

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]

EDGES = (1.5, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 68.0)
"""Predicted ages that separate the bands."""
FLOOR = 0.77
"""Coverage below which a group's levels are raised; 70 % is asked of it on other faces."""
MAX_LEVEL = 0.98
INFANT = 2
"""Last age of the range that almost every interval of an infant meets, so that it says nothing."""
MIN_GROUP = 15
"""Faces from which a group counts."""
MIN_CELL = 25
"""Faces that a band needs for margins of its own."""
ROUNDS = 150


def meets(intervals: Float, labels: Labels) -> Bools:
    """Whether each interval contains the age or, of a range of ages, meets it; bool ``[N]``.

    Args:
        intervals: ``[N, 2]``, years.
        labels: of the same faces; an age in whole years stands for the year that it lasts.
    """
    return np.asarray((intervals[:, 0] <= labels.high) & (intervals[:, 1] >= labels.low))


def _ages(labels: Labels) -> tuple[Float, Float]:
    """First and last age of each face; of infants within a range, one drawn from it."""
    infant = ~labels.exact & (labels.high <= INFANT)
    drawn = np.random.default_rng(0).integers(labels.low, labels.high + 1)
    return np.where(infant, drawn, labels.low), np.where(infant, drawn, labels.high)


@dataclass(frozen=True)
class _Cells:
    """Scores of the faces in each band, ascending, with their cumulative weights."""

    scores: list[list[Float]]
    weights: list[list[Float]]

    def margins(self, levels: Float) -> Float:
        """Weighted quantile of each band and end; ``[B, 2]`` like ``levels``."""
        result = np.zeros_like(levels)
        for band, end in np.ndindex(levels.shape):
            scores, weights = self.scores[band][end], self.weights[band][end]
            at = np.searchsorted(weights, levels[band, end] * weights[-1])
            result[band, end] = scores[min(int(at), len(scores) - 1)]
        return result


def fit_margins(
    bare: Attributes,
    labels: Labels,
    weights: Float,
    groups: Sequence[Bools],
    calibration: Calibration,
) -> Calibration:
    """Fit the margins.

    Args:
        bare: of N faces, with a calibration without margins.
        labels: of the same.
        weights: of the same, so that no data set outweighs the rest.
        groups: bool ``[N]`` each: faces whose coverage must not fall short, of any group.
        calibration: with the temperatures; its margins are replaced.
    """
    bands = np.digitize(bare.ages, EDGES)
    low, high = bare.intervals.T
    first, last = _ages(labels)
    scores = np.stack([low - last, first - high], axis=1)
    exact: Bools = np.equal(first, last)
    cells = _cells(scores, weights, bands)
    few = [(exact & (bands == band)).sum() < MIN_CELL for band in range(len(EDGES) + 1)]
    # Only exact ages justify an interval narrower than the network's own.
    least = np.where(few, 0.0, -np.inf)[:, None]
    large = [group for group in groups if group.sum() >= MIN_GROUP]
    bottom, top = 0.3, 0.95
    margins = np.zeros((len(EDGES) + 1, 2))
    for _ in range(10):
        base = (bottom + top) / 2
        margins = np.maximum(_raised(cells, scores, bands, large, base), least)
        held: Bools = np.all(scores <= margins[bands], axis=1)
        if float(np.average(held[exact], weights=weights[exact])) > calibration.coverage:
            top = base
        else:
            bottom = base
    return calibration.model_copy(
        update={
            "interval_margin": 0.0,
            "interval_edges": EDGES,
            "interval_margins": tuple(
                (round(float(below), 3), round(float(above), 3)) for below, above in margins
            ),
        }
    )


def _cells(scores: Float, weights: Float, bands: NDArray[np.intp]) -> _Cells:
    ordered: list[list[Float]] = []
    cumulative: list[list[Float]] = []
    for band in range(len(EDGES) + 1):
        rows = np.flatnonzero(bands == band)
        if len(rows) < MIN_CELL:  # borrow from the nearest bands
            rows = np.argsort(np.abs(bands - band), kind="stable")[:MIN_CELL]
        orders = [rows[np.argsort(scores[rows, end])] for end in (0, 1)]
        ordered.append([scores[order, end] for end, order in enumerate(orders)])
        cumulative.append([weights[order].cumsum() for order in orders])
    return _Cells(ordered, cumulative)


def _raised(
    cells: _Cells, scores: Float, bands: NDArray[np.intp], groups: Sequence[Bools], base: float
) -> Float:
    """Margins at level ``base`` of both ends, raised where a group falls short."""
    levels = np.full((len(EDGES) + 1, 2), (1 + base) / 2)
    margins = cells.margins(levels)
    for _ in range(ROUNDS):
        missed = scores > margins[bands]
        short = [group for group in groups if missed[group].any(axis=1).mean() > 1 - FLOOR]
        if not short:
            break
        for group in short:
            counts = np.stack(
                [
                    np.bincount(bands[group & missed[:, end]], minlength=len(levels))
                    for end in (0, 1)
                ],
                axis=1,
            )
            counts[levels >= MAX_LEVEL] = 0
            band, end = divmod(int(counts.argmax()), 2)
            levels[band, end] = min(levels[band, end] + 0.01, MAX_LEVEL)
        margins = cells.margins(levels)
    return margins
