"""The soak's figures: percentiles, flatness of memory, plot, and the text in the documentation."""

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
"""Of the time, in the plot."""
FIRST, LAST = (0.1, 0.3), (0.75, 0.92)
"""Shares of the requests between which memory is compared: after warming up, before the worker is
killed."""

Times = list[tuple[float, float, str]]


def latency(times: Times) -> dict[str, dict[str, float]]:
    """Percentiles of the milliseconds by detector."""
    told = {}
    for detector in sorted({detector for *_, detector in times}):
        values = [ms for _, ms, of in times if of == detector]
        told[detector] = {
            "count": len(values),
            **{f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 95, 99)},
            "most": round(max(values), 1),
        }
    return told


def timeline(times: Times) -> list[dict[str, float]]:
    """Percentiles by slice of time, both detectors together."""
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


def flatness(samples: list[dict[str, float]], done: int) -> dict[str, float]:
    """Median memory after warming up and towards the end, and by how much it grew."""

    def median(between: tuple[float, float]) -> float:
        inside = [s["pss_mib"] for s in samples if between[0] <= s["done"] / done <= between[1]]
        return statistics.median(inside) if inside else float("nan")

    first, last = median(FIRST), median(LAST)
    return {
        "first_mib": round(first, 1),
        "last_mib": round(last, 1),
        "most_mib": max((s["pss_mib"] for s in samples), default=float("nan")),
        "growth_percent": round((last / first - 1) * 100, 1),
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
        f"- Answers that differed from the same request's answer alone: {len(results['wrong'])}. "
        f"Connections that broke without a fault: {results['broken']}. Turned away with a 429 "
        f"and repeated: {results['refused']}.",
        f"- Memory (PSS of all processes): {memory['first_mib']} MiB after warming up, "
        f"{memory['last_mib']} MiB towards the end ({memory['growth_percent']:+} %), "
        f"{memory['most_mib']} MiB at most.",
        "",
        table(
            ("detector", "answers", "p50, ms", "p95, ms", "p99, ms", "most, ms"),
            ((name, *row.values()) for name, row in results["latency_ms"].items()),
        ),
        "",
        table(
            ("fault", "from, s", "to, s", "failed attempts in it, all answered rightly later"),
            (
                (event["name"], event["start"], event["end"], _failed(results, event["name"]))
                for event in results["faults"]
            ),
        ),
    ]
    return "\n".join(lines)


def _failed(results: dict[str, Any], name: str) -> str:
    found = [
        f"{count} x {key.partition(': ')[2]}"
        for key, count in results["faulty"].items()
        if key.startswith(name)
    ]
    return ", ".join(found) or "none"


def write(results: dict[str, Any]) -> None:
    """Draw the plot, and put the figures between their marks in the documentation."""
    plot(results, PLOT)
    page = PAGE.read_text(encoding="utf-8")
    begin, end = MARKS
    figures = f"{begin}\n\n{summary(results)}\n\n{end}"
    found = re.sub(
        f"{re.escape(begin)}.*{re.escape(end)}", lambda _: figures, page, count=1, flags=re.DOTALL
    )
    PAGE.write_text(found, encoding="utf-8")


def plot(results: dict[str, Any], path: Path) -> None:
    """Memory and latency over time, with the faults.

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
