"""How each of our models is made: what is in ``recipes.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from training.data import DataError

RECIPES = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class HeadFit:
    """Fitting the head on a backbone that stays as it is.

    Attributes:
        epochs: passes over all faces.
        rate: learning rate at the start, falling to zero as a cosine.
    """

    epochs: int
    rate: float


@dataclass(frozen=True)
class Tuning:
    """Training the backbone and the head together.

    Attributes:
        size: side of the chips in pixels.
        scale: side of the chips in box lengths.
        frozen_blocks: how many of the first of the 13 blocks are not trained.
        epochs: passes over all faces.
        batch: faces in a step.
        rate: largest learning rate of the backbone.
        head_rate: of the head, in units of ``rate``: about 10 for a fresh head, 3 to 4 for one
            already fitted on the backbone as it is.
        decay: weight decay.
        damage: factor of the probabilities of damage (see `training.augment`).
        average: momentum of the averaged weights.
        flatness: weight of the distance to an even distribution within an age range.
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
    damage: float = 0.8
    average: float = 0.999
    flatness: float = 0.0
    seed: int = 3


@dataclass(frozen=True)
class Recipe:
    """From data to the committed weights of one model.

    Attributes:
        name: of the model.
        version: of the model.
        data: beginning of the names of the files that it learns from; empty: all.
        licence: of the weights.
        provenance: what they were made from, in words.
        size: side of the chips as served, pixels.
        head: how the first head is fitted, on the backbone as it came.
        tuning: how backbone and head are trained from there.
        refit: how the head is fitted again at the size that is served.
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
    """The recipe of a model.

    Raises:
        DataError: there is none of that name, or it is not what it should be.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    if name not in tables:
        raise DataError(f"no recipe is called {name}; there are {', '.join(tables)}")
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
    """Command-line options that say the same."""
    options = []
    for item in fields(values):
        options += [f"--{item.name.replace('_', '-')}", str(getattr(values, item.name))]
    return options
