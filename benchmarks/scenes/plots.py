"""Plots of the results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.scenes.cases import OUTSIDE, SIZES, TURNS
from benchmarks.scenes.material import SETS
from benchmarks.scenes.pictures import BORDERS
from benchmarks.tuning_report import COLOURS

Results = dict[str, Any]
Row = dict[str, Any]

LINES = {"before": ":", "now": "-"}


def draw(results: Results, folder: Path) -> None:
    """Write all plots.

    Args:
        results: of the measurement.
        folder: for the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in {
        "scenes-size.png": _by_size,
        "scenes-turn.png": _by_turn,
        "scenes-border.png": _by_border,
        "scenes-risk.png": _by_share_kept,
    }.items():
        figure = plot(results)
        figure.savefig(folder / name, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _by_size(results: Results) -> Any:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    rows = [row for row in results["rows"] if row["part"] == "size"]
    for axis, title, count in zip(
        axes,
        ("face found", "duplicates a picture", "false faces a picture"),
        (_share("found", "faces"), _share("duplicates", "faces"), _share("elsewhere", "faces")),
        strict=True,
    ):
        _lines(axis, results, rows, SIZES, count)
        axis.set(xscale="log", xlabel="height of the face, % of the picture's", title=title)
        axis.set_ylim(-0.05, max(1.05, axis.get_ylim()[1]))
        ticks = (1, 3, 10, 30, 100)
        axis.set_xticks(ticks, labels=map(str, ticks))
    axes[0].legend(fontsize=8)
    return figure


def _by_turn(results: Results) -> Any:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
    found = [row for row in results["rows"] if row["part"] == "turn"]
    for axis, title, rows, count in zip(
        axes,
        ("found", "same gender, age within 8 years", "not the same, but reliable"),
        (found, results["turns"], results["turns"]),
        (_share("found", "faces"), _share("same", "faces"), _share("wrong", "faces")),
        strict=True,
    ):
        full = [row | {"value": "360"} for row in rows if row["value"] == "0"]
        _lines(axis, results, [*rows, *full], (*TURNS, 360), count)
        axis.set(xlabel="turn, degrees", title=title, ylim=(-0.03, 1.03), xticks=range(0, 361, 90))
    axes[0].legend(fontsize=8)
    return figure


def _by_border(results: Results) -> Any:
    figure, axes = plt.subplots(
        2, len(BORDERS), figsize=(11, 5.5), layout="constrained", sharex=True, sharey=True
    )
    for column, border in zip(axes.T, BORDERS, strict=True):
        rows = [row for row in results["rows"] if row["part"] == border]
        for axis, count in zip(
            column, (_share("found", "faces"), _share("reliable", "found")), strict=True
        ):
            _lines(axis, results, rows, OUTSIDE, count)
            axis.axvline(0, color="0.8", linewidth=1, zorder=0)
        column[0].set(title=border, ylim=(-0.03, 1.03))
        column[1].set(xlabel="% of the face outside")
    axes[0, 0].set_ylabel("found")
    axes[1, 0].set_ylabel("of these reliable")
    axes[0, 0].legend(fontsize=8)
    return figure


def _by_share_kept(results: Results) -> Any:
    figure, axes = plt.subplots(2, len(SETS), figsize=(11, 6), layout="constrained", sharex=True)
    for column, name in zip(axes.T, SETS, strict=True):
        for row in results["labelled"]:
            if row["value"] != name:
                continue
            colour = COLOURS[row["detector"]]
            kept = row["reliable"]["faces"]
            share = kept / max(1, kept + row["left_out"]["faces"])
            for axis, error in zip(column, ("years", "genders"), strict=True):
                scale = 100 if error == "genders" else 1
                curve = row[f"{error}_curve"]
                axis.plot(
                    [x for x, _ in curve],
                    [scale * y for _, y in curve],
                    LINES[row["service"]],
                    color=colour,
                    label=f"{row['detector']}, {row['service']}",
                )
                if kept:
                    mark = "o" if row["service"] == "now" else "x"
                    axis.plot(share, scale * row["reliable"][error], mark, color=colour)
        column[0].set(title=name, ylim=(0, None))
        column[1].set(xlabel="share of faces kept", ylim=(0, None))
    axes[0, 0].set_ylabel("years off, by width of the interval")
    axes[1, 0].set_ylabel("gender wrong, %, by its probability")
    axes[0, 0].legend(fontsize=8)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    return figure


def _share(counted: str, of: str) -> Callable[[Row], float | None]:
    return lambda row: row[counted] / row[of] if row[of] else None


def _lines(
    axis: Any,
    results: Results,
    rows: Sequence[Row],
    values: Sequence[int],
    count: Callable[[Row], float | None],
) -> None:
    by_key = {(row["detector"], row["service"], row["value"]): row for row in rows}
    for detector in ("accurate", "fast"):
        for service in results["services"]:
            mine = [(v, by_key.get((detector, service, str(v)))) for v in values]
            points = [(v, count(row)) for v, row in mine if row is not None]
            known = [(v, y) for v, y in points if y is not None]
            axis.plot(
                [v for v, _ in known],
                [y for _, y in known],
                LINES[service],
                marker=".",
                color=COLOURS[detector],
                label=f"{detector}, {service}",
            )
    axis.grid(alpha=0.3)
