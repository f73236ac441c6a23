"""Keeps the runs of `benchmarks.before`, and writes their tables."""

import json
from typing import Any

from benchmarks.markers import write_section
from benchmarks.report import table
from testing.service import ROOT

RESULTS = ROOT / "benchmarks" / "before.json"
PAGE = ROOT / "docs" / "speed.md"
STAGES = ("fetch", "decode", "detect", "verify", "align", "attributes", "render")
STAGE_CASES = ("640x480, one face", "640x480, nothing", "640x480, ten faces")


def keep(name: str, run: dict[str, Any]) -> None:
    """Store a run, in place of an earlier one of that name."""
    runs = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    runs[name] = run
    RESULTS.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


def write() -> None:
    """Write the section of the page."""
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_section(PAGE, "before", "\n".join(_text(name, run) for name, run in runs.items()))


def _text(name: str, run: dict[str, Any]) -> str:
    described, commits = run["machine"], run["commits"]
    return "\n".join(
        (
            f"\n### {name}\n",
            f"Commit {commits['before']} and {commits['after']}, in turn, on {described['cores']} "
            f"cores of an {described['cpu']}; load average before the run "
            f"{described['load_before']}. In brackets: 95 % interval of the ratio.\n",
            table(
                ("over HTTP, median ms", "before", "now", "ratio", "CPU ms", "now", "ratio"),
                [
                    (row["case"], *_cells(row["ms"]), *_cells(row["cpu_ms"]))
                    for row in run["requests"]
                ],
            ),
            "",
            table(("", "before", "now", "ratio"), list(_others(run))),
            _alone(**run["alone"]),
            table(("stage, ms, before → now", *STAGE_CASES), list(_stages(run))),
            "",
        )
    )


def _alone(service: float, pipeline: float) -> str:
    return (
        f"\nIn turn with the pipeline alone, on a thread for each core, eight clients get "
        f"{service:.1f} pictures a second of its {pipeline:.1f}: {service / pipeline:.0%}.\n"
    )


def _cells(row: dict[str, Any], digits: int = 1) -> tuple[str, str, str]:
    return (
        f"{row['before']:.{digits}f}",
        f"{row['after']:.{digits}f}",
        f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
    )


def _others(run: dict[str, Any]) -> list[tuple[str, ...]]:
    memory = run["memory_mib"]
    return [
        *(
            (f"pictures a second, eight clients, {row['case']}", *_cells(row))
            for row in run["clients"]
        ),
        (
            "memory after 200 mixed requests, MiB",
            f"{memory['before']:.0f}",
            f"{memory['after']:.0f}",
            f"{memory['before'] / memory['after']:.2f}",
        ),
        ("process start to first answer, s", *_cells(run["start_s"], 2)),
    ]


def _stages(run: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = {row["case"]: row["stages_ms"] for row in run["requests"]}
    return [
        (
            f"`{stage}`",
            *(
                " → ".join(f"{rows[case][name].get(stage, 0):.1f}" for name in ("before", "after"))
                for case in STAGE_CASES
            ),
        )
        for stage in STAGES
    ]
