"""Plots and tables of the results of ``benchmarks.tuning``."""

from pathlib import Path
from typing import Any

from benchmarks.markers import write_section
from benchmarks.report import table

SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
"""Thresholds in the tables."""
COLUMNS = ("recall", "precision", "false positives")
COLOURS = {"fast": "#d55e00", "accurate": "#0072b2"}
MIN_FACE = {"default": "default", "half": "half the face", "face": "the face"}
"""Values of `min_face` and their names in the tables."""


def write(results: dict[str, Any], docs: Path) -> None:
    """Write the plots and the measured sections of ``tuning.md``."""
    _plot_curves(results["photos"], docs / "img" / "tuning" / "precision-recall.png")
    _plot_sizes(results["crops"], docs / "img" / "tuning" / "recall-by-size.png")
    for name, render in PARTS.items():
        write_section(docs / "tuning.md", name, render(results))


def by_threshold(results: dict[str, Any]) -> str:
    """Table of precision and recall on the labelled photos."""
    photos = results["photos"]
    curves = {
        name: {row["confidence"]: row for row in rows} for name, rows in photos["curves"].items()
    }
    head = ["`confidence`"]
    head += [f"`{name}`: {column}" for name in curves for column in COLUMNS]
    rows = [
        [
            threshold,
            *(
                cell
                for curve in curves.values()
                for cell in (
                    f"{curve[threshold]['recall']:.1%}",
                    f"{curve[threshold]['precision']:.1%}",
                    curve[threshold]["false_positives"],
                )
            ),
        ]
        for threshold in SHOWN
    ]
    sides = ", ".join(map(str, photos["face_px"]))
    return (
        f"{photos['images']} photos with {photos['faces']} faces, each at face sizes of {sides} "
        f"pixels, and {photos['without_people']} images without people.\n\n{table(head, rows)}"
    )


def by_size(results: dict[str, Any]) -> str:
    """Table of the recall of pasted faces."""
    crops = results["crops"]
    recalls = {
        (row["detector"], row["min_face"], row["face_px"]): row["recall"]["0.5"]
        for row in crops["sizes"]
    }
    columns = [(name, choice) for name in COLOURS for choice in MIN_FACE]
    head = ["face, pixels", *(f"`{name}`: {MIN_FACE[choice]}" for name, choice in columns)]
    rows = [
        [side, *(f"{recalls[(*column, side)]:.1%}" for column in columns)]
        for side in sorted({side for *_, side in recalls})
    ]
    return (
        f"Recall at `confidence` 0.5 of {crops['faces']} faces pasted onto images of 640x480, for "
        f"three values of `min_face`:\n\n{table(head, rows)}"
    )


def by_cost(results: dict[str, Any]) -> str:
    """Table of the CPU time of the detectors."""
    costs = results["costs"]
    milliseconds = {
        (row["min_face"], row["detector"], tuple(row["size"])): row["cpu_ms"] for row in costs
    }
    columns = list(dict.fromkeys((row["detector"], tuple(row["size"])) for row in costs))
    columns.sort(key=lambda column: list(COLOURS).index(column[0]))
    head = ["`min_face`", *(f"`{name}`, {w}x{h}" for name, (w, h) in columns)]
    choices = list(dict.fromkeys(row["min_face"] for row in costs))
    rows = [
        [min_face or "default", *(milliseconds[(min_face, *column)] for column in columns)]
        for min_face in choices
    ]
    return f"CPU time of the detectors, all threads, milliseconds:\n\n{table(head, rows)}"


PARTS = {"threshold": by_threshold, "size": by_size, "cost": by_cost}
"""Sections of ``docs/tuning.md`` by marker name."""


def _plot_curves(photos: dict[str, Any], path: Path) -> None:
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, rows in photos["curves"].items():
        recalls = [row["recall"] for row in rows]
        precisions = [row["precision"] for row in rows]
        left.plot(recalls, precisions, marker=".", color=COLOURS[name], label=name)
        for row in rows:
            if row["confidence"] == 0.5:
                left.plot(row["recall"], row["precision"], marker="o", color=COLOURS[name])
        thresholds = [row["confidence"] for row in rows]
        right.plot(thresholds, recalls, color=COLOURS[name], label=f"{name}, recall")
        right.plot(thresholds, precisions, "--", color=COLOURS[name], label=f"{name}, precision")
    left.set(xlabel="recall", ylabel="precision", title="large dot: confidence 0.5")
    right.set(xlabel="confidence")
    for axis in (left, right):
        axis.legend()
        axis.grid(alpha=0.3)
    _save(figure, path)


def _plot_sizes(crops: dict[str, Any], path: Path) -> None:
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(MIN_FACE), figsize=(11, 3.6), sharey=True)
    for axis, (choice, title) in zip(axes, MIN_FACE.items(), strict=True):
        for name, colour in COLOURS.items():
            rows = [
                row
                for row in crops["sizes"]
                if (row["detector"], row["min_face"]) == (name, choice)
            ]
            for threshold, style in (("0.3", ":"), ("0.5", "-"), ("0.9", "--")):
                axis.plot(
                    [row["face_px"] for row in rows],
                    [row["recall"][threshold] for row in rows],
                    style,
                    color=colour,
                    label=f"{name}, confidence {threshold}",
                )
        axis.set(xlabel="face, pixels", title=f"min_face: {title}", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("recall")
    axes[0].legend(loc="lower right", fontsize=7)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    _pyplot().close(figure)
