"""Plots and tables of what ``benchmarks.tuning`` measured."""

from pathlib import Path
from typing import Any

from benchmarks.marks import fill
from benchmarks.report import table

SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
"""Thresholds in the tables."""
COLOURS = {"fast": "#d55e00", "accurate": "#0072b2"}
ASKED = {"default": "default", "half": "half of the face", "face": "as the face"}
"""What was asked for as `min_face`."""


def write(results: dict[str, Any], docs: Path) -> None:
    """Write the plots, and the measured parts of ``tuning.md``."""
    _plot_curves(results["photos"], docs / "img" / "tuning" / "precision-recall.png")
    _plot_sizes(results["crops"], docs / "img" / "tuning" / "recall-by-size.png")
    for name, render in PARTS.items():
        fill(docs / "tuning.md", name, render(results))


def by_threshold(results: dict[str, Any]) -> str:
    """Precision and recall on the labelled photos."""
    photos = results["photos"]
    curves = {
        name: {row["confidence"]: row for row in rows} for name, rows in photos["curves"].items()
    }
    head = ["`confidence`"]
    head += [f"`{name}`: {what}" for name in curves for what in ("recall", "precision", "false")]
    rows = [
        [
            threshold,
            *(
                cell
                for curve in curves.values()
                for cell in (
                    f"{curve[threshold]['recall']:.1%}",
                    f"{curve[threshold]['precision']:.1%}",
                    curve[threshold]["false"],
                )
            ),
        ]
        for threshold in SHOWN
    ]
    sides = ", ".join(map(str, photos["face_px"]))
    return (
        f"Photos: {photos['pictures']} with {photos['faces']} faces, each at face sizes of {sides} "
        f"pixels, and {photos['peopleless']} pictures without people.\n\n{table(head, rows)}"
    )


def by_size(results: dict[str, Any]) -> str:
    """Recall of the pasted faces."""
    crops = results["crops"]
    recalls = {
        (row["detector"], row["min_face"], row["face_px"]): row["recall"]["0.5"]
        for row in crops["sizes"]
    }
    columns = [(name, asked) for name in COLOURS for asked in ASKED]
    head = ["face, pixels", *(f"`{name}`: {ASKED[asked]}" for name, asked in columns)]
    rows = [
        [side, *(f"{recalls[(*column, side)]:.1%}" for column in columns)]
        for side in sorted({side for *_, side in recalls})
    ]
    return (
        f"Recall at `confidence` 0.5 of {crops['faces']} faces pasted onto pictures of 640x480, "
        f"for three values of `min_face`:\n\n{table(head, rows)}"
    )


def by_cost(results: dict[str, Any]) -> str:
    """CPU time of the detectors."""
    costs = results["costs"]
    milliseconds = {
        (row["min_face"], row["detector"], tuple(row["picture"])): row["cpu_ms"] for row in costs
    }
    columns = list(dict.fromkeys((row["detector"], tuple(row["picture"])) for row in costs))
    columns.sort(key=lambda column: list(COLOURS).index(column[0]))
    head = ["`min_face`", *(f"`{name}`, {w}x{h}" for name, (w, h) in columns)]
    asked = list(dict.fromkeys(row["min_face"] for row in costs))
    rows = [
        [min_face or "default", *(milliseconds[(min_face, *column)] for column in columns)]
        for min_face in asked
    ]
    return f"Milliseconds of CPU time that a detector takes, all threads:\n\n{table(head, rows)}"


PARTS = {"threshold": by_threshold, "size": by_size, "cost": by_cost}
"""Parts of ``docs/tuning.md`` by the name of their marks."""


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
    figure, axes = plt.subplots(1, len(ASKED), figsize=(11, 3.6), sharey=True)
    for axis, (asked, words) in zip(axes, ASKED.items(), strict=True):
        for name, colour in COLOURS.items():
            rows = [
                row for row in crops["sizes"] if (row["detector"], row["min_face"]) == (name, asked)
            ]
            for threshold, style in (("0.3", ":"), ("0.5", "-"), ("0.9", "--")):
                axis.plot(
                    [row["face_px"] for row in rows],
                    [row["recall"][threshold] for row in rows],
                    style,
                    color=colour,
                    label=f"{name}, confidence {threshold}",
                )
        axis.set(xlabel="face, pixels", title=f"min_face: {words}", ylim=(0, 1.02))
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
