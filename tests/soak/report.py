"""Figures of the soak: percentiles, memory growth, plot, and the text in the documentation."""

import re
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.report import table

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
PLOT = ROOT / "docs" / "img" / "soak.png"
MARKS = "<!-- soak: begin -->", "<!-- soak: end -->"

SLICES = 60
"""Number of time slices in the plot."""
EARLY, LATE = (0.1, 0.3), (0.75, 0.92)
"""Ranges of progress whose memory is compared: after the warm-up, before the worker is killed."""

Times = list[tuple[float, float, str]]


def latency(times: Times) -> dict[str, dict[str, float]]:
    """Percentiles of the latency by detector, milliseconds."""
    rows = {}
    for detector in sorted({detector for *_, detector in times}):
        values = [ms for _, ms, of in times if of == detector]
        rows[detector] = {
            "count": len(values),
            **{f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 95, 99)},
            "max": round(max(values), 1),
        }
    return rows


def timeline(times: Times) -> list[dict[str, float]]:
    """Percentiles by time slice, both detectors together."""
    if not times:
        return []
    width = max(since for since, *_ in times) / SLICES + 1e-9
    slices: list[list[float]] = [[] for _ in range(SLICES + 1)]
    for since, ms, _ in times:
        slices[int(since / width)].append(ms)
    return [
        {
            "seconds": round((index + 0.5) * width, 1),
            "p50": round(float(np.percentile(values, 50)), 1),
            "p99": round(float(np.percentile(values, 99)), 1),
        }
        for index, values in enumerate(slices)
        if values
    ]


def memory_growth(samples: list[dict[str, float]], done: int) -> dict[str, float]:
    """Median memory after the warm-up and near the end, and its growth."""

    def median(start: float, end: float) -> float:
        inside = [s["pss_mib"] for s in samples if start <= s["done"] / done <= end]
        return statistics.median(inside) if inside else float("nan")

    early, late = median(*EARLY), median(*LATE)
    return {
        "early_mib": round(early, 1),
        "late_mib": round(late, 1),
        "max_mib": max((s["pss_mib"] for s in samples), default=float("nan")),
        "growth_percent": round((late / early - 1) * 100, 1),
    }


def summary(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    memory, machine = results["memory"], results["machine"]
    lines = [
        f"{results['done']:,} requests ({results['good']:,} good, {results['hostile']:,} hostile), "
        f"{results['clients']} clients, {results['seconds'] / 60:.0f} minutes, on "
        f"{machine['cores']} cores of an {machine['cpu']}; load average before the run "
        f"{machine['load_before']}.",
        "",
        f"- Wrong answers: {len(results['wrong'])}. Connections broken without a fault: "
        f"{results['broken']}. Rejected with 429 and retried: {results['rejected']}.",
        f"- Memory (PSS of all processes): {memory['early_mib']} MiB after the warm-up, "
        f"{memory['late_mib']} MiB near the end ({memory['growth_percent']:+} %), "
        f"{memory['max_mib']} MiB at the peak.",
        "",
        table(
            ("detector", "answers", "p50, ms", "p95, ms", "p99, ms", "max, ms"),
            ((name, *row.values()) for name, row in results["latency_ms"].items()),
        ),
        "",
        table(
            ("fault", "start, s", "end, s", "failed attempts, all correct when retried"),
            (
                (event["name"], event["start"], event["end"], _failed(results, event["name"]))
                for event in results["faults"]
            ),
        ),
    ]
    return "\n".join(lines)


def _failed(results: dict[str, Any], name: str) -> str:
    failures = [
        f"{count} x {key.partition(': ')[2]}"
        for key, count in results["failed"].items()
        if key.startswith(name)
    ]
    return ", ".join(failures) or "none"


def write(results: dict[str, Any]) -> None:
    """Draw the plot, and write the figures between their marks in the documentation."""
    plot(results, PLOT)
    page = PAGE.read_text(encoding="utf-8")
    begin, end = MARKS
    figures = f"{begin}\n\n{summary(results)}\n\n{end}"
    updated = re.sub(
        f"{re.escape(begin)}.*{re.escape(end)}", lambda _: figures, page, count=1, flags=re.DOTALL
    )
    PAGE.write_text(updated, encoding="utf-8")


def plot(results: dict[str, Any], path: Path) -> None:
    """Plot memory and latency over time, with the faults.

    Args:
        results: of one run.
        path: of the PNG.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), sharex=True)
    samples, slices = results["samples"], results["timeline"]
    above.plot([s["seconds"] / 60 for s in samples], [s["pss_mib"] for s in samples])
    above.set(ylabel="memory (PSS), MiB", ylim=(0, None))
    for name in ("p50", "p99"):
        below.plot([s["seconds"] / 60 for s in slices], [s[name] for s in slices], label=name)
    below.set(ylabel="latency, ms", xlabel="minutes", ylim=(0, None))
    below.legend()
    for event in results["faults"]:
        for axis in (above, below):
            axis.axvspan(event["start"] / 60, event["end"] / 60, color="0.85")
        above.text(event["start"] / 60, 10, event["name"], rotation=90, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
