"""Plots for the docs: calibration, error by face size, learning curve."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl

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
    bands = metrics["sets"].get(EXACT, {}).get("by_age", {})
    shares = [g["coverage"] for g in bands.values()]
    if shares:
        middles = [s[0] for s in shares]
        around = [[s[0] - s[1] for s in shares], [s[2] - s[0] for s in shares]]
        right.axhline(0.8, color="0.7", linewidth=1)
        right.errorbar(range(len(bands)), middles, around, fmt="o", capsize=3)
        right.set(xlabel="true age", ylabel="coverage of the 80 % interval", ylim=(0.5, 1))
        right.set_xticks(range(len(bands)), list(bands), rotation=45)
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


def learning_curve(logs: list[Path], path: Path) -> None:
    """Plot the validation metrics after each epoch of consecutive training runs.

    Args:
        logs: ``log.csv`` of each run, in order.
        path: of the PNG.
    """
    rows: list[dict[str, str]] = []
    starts = []
    for log in logs:
        starts.append(len(rows))
        with log.open(newline="", encoding="utf-8") as lines:
            rows.extend(csv.DictReader(lines))
    epochs = range(1, len(rows) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT))
    for name, label in (("mae", "MAE, all ages"), ("mae_21_60", "MAE, 21 to 60")):
        if name in rows[0]:
            left.plot(epochs, [float(r[name]) for r in rows], marker=".", label=label)
    left.set(xlabel="epoch", ylabel="years")
    left.legend()
    for name, label in (
        ("bucket", "age bucket"),
        ("gender_exact", "gender, exact ages"),
        ("gender_ranged", "gender, age ranges"),
    ):
        if name in rows[0]:
            right.plot(epochs, [float(r[name]) * 100 for r in rows], marker=".", label=label)
    right.set(xlabel="epoch", ylabel="% correct")
    right.legend()
    for axis in (left, right):
        for start in starts[1:]:
            axis.axvline(start + 0.5, color="0.8", linewidth=1)
    _save(figure, path)
