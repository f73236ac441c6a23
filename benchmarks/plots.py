"""Plots of the results."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's palette, safe for colour-blind readers; the first two are ours.
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00")


def draw(results: dict[str, Any], folder: Path) -> None:
    """Write all plots."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = {
        "faces.png": _by_faces,
        "size.png": _by_size,
        "throughput.png": _throughput,
        "memory.png": _memory,
        "start.png": _start,
    }
    for name, plot in plots.items():
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        plot(axes, results)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / name, dpi=110)
        plt.close(figure)


def _measured(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in results["peers"] if "images" in row]


def _by_faces(axes: Any, results: dict[str, Any]) -> None:
    for row, colour in zip(_measured(results), COLOURS, strict=False):
        images = [p for p in row["images"] if (p["width"], p["height"]) == (640, 480)]
        axes.plot(
            [p["people"] for p in images],
            [p["median"] for p in images],
            "o-",
            label=row["name"],
            color=colour,
        )
    axes.set(xlabel="faces (640x480)", ylabel="ms, median", yscale="log")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _by_size(axes: Any, results: dict[str, Any]) -> None:
    for row, colour in zip(_measured(results), COLOURS, strict=False):
        images = sorted((p for p in row["images"] if p["people"] == 1), key=lambda p: p["width"])
        axes.plot(
            [p["width"] * p["height"] / 1e6 for p in images],
            [p["median"] for p in images],
            "o-",
            label=row["name"],
            color=colour,
        )
    axes.set(xlabel="megapixels (one face)", ylabel="ms, median", xscale="log", yscale="log")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _throughput(axes: Any, results: dict[str, Any]) -> None:
    throughput = results["throughput"]
    axes.plot(
        [row["clients"] for row in throughput["rows"]],
        [row["images_per_second"] for row in throughput["rows"]],
        "o-",
        label="all CPUs",
        color=COLOURS[0],
    )
    axes.axhline(throughput["one_cpu"], ls="--", color=COLOURS[2], label="one CPU")
    axes.set(xlabel="concurrent clients", ylabel="images/s", ylim=(0, None))
    axes.legend()


def _memory(axes: Any, results: dict[str, Any]) -> None:
    samples = results["memory"]["samples"]
    requests = [sample["requests"] for sample in samples]
    for key, label, colour in (
        ("pss_mib", "server, proportional (PSS)", COLOURS[0]),
        ("worker_rss_mib", "worker, resident (RSS)", COLOURS[2]),
    ):
        axes.plot(requests, [sample[key] for sample in samples], "o-", label=label, color=colour)
    axes.set(xlabel="mixed requests", ylabel="MiB", ylim=(0, None))
    axes.legend()


def _start(axes: Any, results: dict[str, Any]) -> None:
    starts = results["cold_start"]
    names = list(starts)
    axes.barh(names, [starts[name]["median_s"] for name in names], color=COLOURS[0])
    axes.invert_yaxis()
    axes.set(xlabel="seconds from exec to the first prediction, median")
