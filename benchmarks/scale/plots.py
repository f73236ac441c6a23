"""Plots of the simulated bursts."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.plots import COLOURS
from benchmarks.scale.scenarios import Run, quantile


def draw(
    bursts: dict[str, Run], floods: dict[str, list[tuple[float, float]]], folder: Path
) -> None:
    """Write all plots.

    Args:
        bursts: by name.
        floods: publication and delay of each upload, in seconds, by name.
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _draw_bursts(bursts, folder / "burst.png")
    _draw_floods(floods, folder / "flood.png")


def _draw_bursts(bursts: dict[str, Run], path: Path) -> None:
    figure, axes = plt.subplots(4, 1, figsize=(7, 9), sharex=True, layout="constrained")
    arrivals = next(iter(bursts.values())).arrivals
    axes[0].plot(arrivals, color="black")
    axes[0].set(ylabel="requests/s")
    for (name, run), colour in zip(bursts.items(), COLOURS, strict=False):
        samples = [s for s in run.service.samples if s.second < len(arrivals)]
        seconds = [s.second for s in samples]
        axes[1].plot(seconds, [s.ready for s in samples], color=colour, label=name)
        axes[2].plot(seconds, [s.pending for s in samples], color=colour)
        slow = _p95_by_second(run)
        axes[3].plot(list(slow), list(slow.values()), color=colour)
    axes[1].set(ylabel="instances")
    figure.legend(fontsize=8, loc="outside upper center", ncols=3)
    axes[2].set(ylabel="pending")
    axes[3].set(ylabel="p95, ms", xlabel="seconds", yscale="log")
    _finish(figure, axes, path)


def _draw_floods(floods: dict[str, list[tuple[float, float]]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (name, uploads), colour in zip(floods.items(), COLOURS, strict=False):
        done = sorted(published + delay for published, delay in uploads)
        axes.plot([0, *done], range(len(done) + 1), color=colour, label=name)
    axes.set(xlabel="seconds after the first upload", ylabel="uploads annotated")
    axes.legend(fontsize=8)
    _finish(figure, [axes], path)


def _p95_by_second(run: Run) -> dict[int, float]:
    by_second: dict[int, list[float]] = defaultdict(list)
    for answer in run.service.answers:
        if answer.status == 200:
            by_second[int(answer.arrived)].append(answer.seconds)
    return {s: 1000 * quantile(sorted(v), 0.95) for s, v in sorted(by_second.items())}


def _finish(figure: Any, axes: Iterable[Any], path: Path) -> None:
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
