"""Recipes of our models, from ``recipes.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data import DataError

RECIPES = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class Phase:
    """One run of training.

    Attributes:
        name: of the resulting weights.
        start: weights to start from: an earlier phase, a committed model, or ``faceres``.
        steps: number of batches.
        rate: peak learning rate; a warm-up, then half a cosine.
        seed: of order, jitter, damage and fresh weights.
        batch: faces in a batch.
        fold: of the three parts of the faces, the one left out; -1: none.
        teachers: earlier phases that teach. Of three, number i was trained without part i.
        distil: share of the teachers in the loss.
        own: of three teachers, the share of the one that has not seen the face's label.
        old: factor of the sampling weight of people of 70 and more; half as strong from 60.
        flatness: weight of the distribution within age ranges.
        head: learning rate of the head, in units of ``rate``.
        decay: weight decay.
        average: momentum of the averaged weights.
        worst_groups: exponent with which a group's loss weighs its genders (group DRO, Sagawa et
            al., ICLR 2020); 0: all alike.
        final_damage: factor of the shares of damaged chips at the end; it falls in the last third.
        blend: whether the result is the mean of the averaged weights at the end and half-way.
        frozen: convolutions from the first on that stay as they are, and with them the statistics
            of all norms; 0: none. Three to four times as fast on a CPU.
        clear: whether the teachers are asked once, of the undamaged chip and its mirror image,
            instead of what the student sees.
        apart: share of chips of which only the face is kept, see `training.covers.surroundings`.
        tilt: added to the logit of each year of age over 60, in nats a year, against ages of old
            people that are too low because they are rare in the data.
    """

    name: str
    start: str
    steps: int
    rate: float
    seed: int
    batch: int = 384
    fold: int = -1
    teachers: tuple[str, ...] = ()
    distil: float = 0.6
    own: float = 0.6
    old: float = 1.3
    flatness: float = 0.2
    head: float = 2.0
    decay: float = 0.03
    average: float = 0.997
    worst_groups: float = 1.0
    final_damage: float = 0.4
    blend: bool = False
    tilt: float = 0.0
    frozen: int = 0
    clear: bool = False
    apart: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How one model is made, from data to committed weights.

    Attributes:
        name: of the model; the last phase has the same.
        version: of the model.
        data: sets it is trained on, the first folder in the names of their files; empty: all.
        licence: of the weights.
        provenance: data and weights they were made from, in words.
        phases: in order.
        size: side of the chips, in training and as served, pixels.
        scale: side of the chips in box lengths.
    """

    name: str
    version: str
    data: tuple[str, ...]
    licence: str
    provenance: str
    phases: tuple[Phase, ...]
    size: int = 224
    scale: float = 1.25


def recipe_names(path: Path = RECIPES) -> list[str]:
    """Names of all recipes."""
    return list(tomllib.loads(path.read_text(encoding="utf-8")))


def load_recipe(name: str, path: Path = RECIPES) -> Recipe:
    """Load the recipe of a model.

    Raises:
        DataError: it does not exist or is invalid.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    if name not in tables:
        raise DataError(f"unknown recipe: {name}; known: {', '.join(tables)}")
    table: dict[str, Any] = dict(tables[name])
    try:
        table["phases"] = tuple(_phase(phase) for phase in table["phases"])
        table["data"] = tuple(table["data"])
        recipe = Recipe(name=name, **table)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path.name}: {name}: {error}") from error
    if not recipe.phases or recipe.phases[-1].name != name:
        raise DataError(f"{path.name}: {name}: the last phase must be called {name}")
    return recipe


def _phase(table: Mapping[str, Any]) -> Phase:
    return Phase(**{**table, "teachers": tuple(table.get("teachers", ()))})
