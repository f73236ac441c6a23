"""The results as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

HEAD = """\
# Benchmarks

Made by `make bench`; the raw figures are in `benchmarks/results.json`. Medians of {rounds} rounds,
cases interleaved. `inference_time` is what the service reports: finding, aligning and judging the
faces, without decoding and encoding the picture.

Machine: {cpu}, {cores} cores, {memory_gib} GiB, {system}, Python {python}; load average before
the run {load_before}; commit {commit}. {packages}.
"""


def markdown(results: dict[str, Any]) -> str:
    """Render all tables."""
    machine = results["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    from benchmarks.latency import ROUNDS

    parts = [HEAD.format(**{**machine, "packages": packages, "rounds": ROUNDS})]
    latency = results["latency"]
    parts += ["## Latency in the pipeline, milliseconds", ""]
    parts.append(
        table(
            ("case", "inference_time", "p95", "decode", "detect", "align", "attributes"),
            (
                (
                    row["case"],
                    row["inference_ms"]["median"],
                    row["inference_ms"]["p95"],
                    *row["stages_ms"].values(),
                )
                for row in latency["cases"]
            ),
        )
    )
    parts += [f"\nEach further face costs {latency['each_further_face_ms']} ms.\n"]
    parts += ["## End to end over HTTP, 640x480, one face, milliseconds", ""]
    parts.append(
        table(
            ("request", "median", "p95"),
            ((name, row["median"], row["p95"]) for name, row in results["http"].items()),
        )
    )
    parts += ["\n## Cold start: from `exec` to the first answered prediction, seconds", ""]
    parts.append(
        table(
            ("detector", "median", "least"),
            ((name, row["median_s"], row["min_s"]) for name, row in results["cold_start"].items()),
        )
    )
    memory = results["memory"]
    parts += ["\n## Memory of the server over 1,000 mixed requests (PSS, MiB)", ""]
    parts.append(
        table(("after requests", "MiB"), ((s["requests"], s["rss_mib"]) for s in memory["samples"]))
    )
    parts += ["\n## Faces found, by size of face", ""]
    parts.append(
        table(
            ("face, pixels", "detector", "faces", "recall", "false faces"),
            (tuple(row.values()) for row in results["detection"]),
        )
    )
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
