"""Plots for the docs: calibration, error by face size, learning curve."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl

from training.data import AGE_BANDS

mpl.use("Agg")
import matplotlib.pyplot as plt

WIDTH, HEIGHT, DPI = 9.0, 3.6, 110
_EMPTY = {"mae": [float("nan")], "gender": [float("nan")]}
EXACT, RANGED = "exact ages", "age ranges"


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


def calibration(metrics: dict[str, Any], path: Path) -> None:
    """Plot the calibration of the gender and the coverage of the interval by age.

    Args:
        metrics: of one model, from ``python -m training.evaluate``.
        path: of the PNG.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT))
    left.plot([0.5, 1], [0.5, 1], color="0.7", linewidth=1)
    for name, part in metrics["sets"].items():
        curve = part["gender_calibration"]
        left.plot(
            curve["predicted"],
            curve["correct"],
            marker="o",
            label=f"{name}, ECE {curve['ece']:.3f}",
        )
    left.set(xlabel="predicted probability of the gender", ylabel="share correct")
    left.legend()
    right.axhline(0.8, color="0.7", linewidth=1)
    right.set(xlabel="true age", ylabel="coverage of the 80 % interval", ylim=(0.4, 1))
    right.set_xticks(range(len(AGE_BANDS)), AGE_BANDS, rotation=45)
    exact = {n: p["by_age"] for n, p in metrics["sets"].items() if "coverage" in p["all"]}
    for i, (name, bands) in enumerate(exact.items()):
        shares = {AGE_BANDS.index(band): g["coverage"] for band, g in bands.items()}
        middles = [s[0] for s in shares.values()]
        around = [[s[0] - s[1] for s in shares.values()], [s[2] - s[0] for s in shares.values()]]
        places = [band + 0.15 * (i - (len(exact) - 1) / 2) for band in shares]
        right.errorbar(places, middles, around, fmt="o", capsize=3, label=name)
    if exact:
        right.legend()
    _save(figure, path)


def error_by_size(metrics: dict[str, Any], path: Path) -> None:
    """Plot the age error and the share of wrong genders by face size.

    Args:
        metrics: see `calibration`.
        path: of the PNG.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT))
    sizes = max((list(groups) for groups in metrics["by_size"].values()), key=len)
    positions = range(len(sizes))
    for name, by_size in metrics["by_size"].items():
        groups = {size: by_size.get(size, _EMPTY) for size in sizes}
        if name == EXACT:
            left.plot(positions, [groups[s]["mae"][0] for s in sizes], marker="o")
            left.set_xticks(positions, sizes, rotation=45)
        right.plot(
            positions, [100 - groups[s]["gender"][0] * 100 for s in sizes], marker="o", label=name
        )
        right.set_xticks(positions, sizes, rotation=45)
    left.set(ylabel="MAE, years", xlabel="face size", ylim=(0, None))
    right.set(ylabel="wrong gender, %", xlabel="face size", ylim=(0, None))
    right.legend()
    _save(figure, path)


def learning_curve(log: Path, path: Path) -> None:
    """Plot what the averaged weights got right of the validation part in the course of training.

    Args:
        log: ``log.csv`` of `training.train`; phases are separated by lines.
        path: of the PNG.
    """
    with log.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    starts = [i for i, row in enumerate(rows) if i and row["phase"] != rows[i - 1]["phase"]]
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT))
    shown = (
        (("mae",), 1, "MAE, years"),
        (("bucket", "gender_exact", "gender_ranged"), 100, "% correct"),
    )
    for axis, (measures, factor, label) in zip(axes, shown, strict=True):
        for column in rows[0]:
            data_set, _, measure = column.rpartition(".")
            if measure in measures:
                values = [float(row[column]) * factor for row in rows]
                name = f"{data_set} {measure.split('_')[0]}".strip()
                axis.plot(range(1, len(rows) + 1), values, marker=".", label=name)
        for start in starts:
            axis.axvline(start + 0.5, color="0.8", linewidth=1)
        axis.set(xlabel="evaluations, phase by phase", ylabel=label)
        axis.legend(fontsize="small")
    _save(figure, path)
