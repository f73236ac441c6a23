"""Recipes of our models, from ``recipes.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from training.data import DataError

RECIPES = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class HeadFit:
    """Fitting the head on a frozen backbone.

    Attributes:
        epochs: passes over all faces.
        rate: initial learning rate, decaying to zero along a cosine.
    """

    epochs: int
    rate: float


@dataclass(frozen=True)
class Tuning:
    """Training the backbone and the head together.

    Attributes:
        size: side of the chips in pixels.
        scale: side of the chips in box lengths.
        frozen_blocks: number of leading blocks, of 13, that are not trained.
        epochs: passes over all faces.
        batch: faces per step.
        rate: peak learning rate of the backbone.
        head_rate: learning rate of the head, in units of ``rate``: about 10 for a fresh head, 3 to
            4 for one already fitted on the frozen backbone.
        decay: weight decay.
        degradation: factor of the probabilities of degradation (see `training.augment`).
        average: momentum of the averaged weights.
        flatness: weight of the divergence from a uniform distribution within an age range.
        seed: of order, augmentation and fresh weights.
    """

    size: int = 192
    scale: float = 1.25
    frozen_blocks: int = 6
    epochs: float = 7.0
    batch: int = 64
    rate: float = 1.2e-4
    head_rate: float = 4.0
    decay: float = 0.02
    degradation: float = 0.8
    average: float = 0.999
    flatness: float = 0.0
    seed: int = 3


@dataclass(frozen=True)
class Recipe:
    """How one model is made, from data to committed weights.

    Attributes:
        name: of the model.
        version: of the model.
        data: prefix of the names of its training files; empty: all.
        licence: of the weights.
        provenance: data and weights they were made from, in words.
        size: side of the chips as served, pixels.
        head: fitting the first head, on the original backbone.
        tuning: training backbone and head from there.
        refit: fitting the head again at the served size.
    """

    name: str
    version: str
    data: str
    licence: str
    provenance: str
    size: int
    head: HeadFit
    refit: HeadFit
    tuning: Tuning = field(default_factory=Tuning)


def load_recipe(name: str, path: Path = RECIPES) -> Recipe:
    """Load the recipe of a model.

    Raises:
        DataError: it does not exist or is invalid.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    if name not in tables:
        raise DataError(f"unknown recipe: {name}; known: {', '.join(tables)}")
    table: dict[str, Any] = dict(tables[name])
    parts = {"head": HeadFit, "refit": HeadFit, "tuning": Tuning}
    try:
        for part, kind in parts.items():
            if part in table:
                table[part] = kind(**table[part])
        return Recipe(name=name, **table)
    except TypeError as error:
        raise DataError(f"{path.name}: {name}: {error}") from error


def as_options(values: HeadFit | Tuning) -> list[str]:
    """Return the same values as command-line options."""
    options = []
    for item in fields(values):
        options += [f"--{item.name.replace('_', '-')}", str(getattr(values, item.name))]
    return options
