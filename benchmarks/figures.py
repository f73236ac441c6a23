"""Writes figures of ``benchmarks/results.json`` into the documents that quote them.

Run ``python -m benchmarks.figures`` after ``python -m benchmarks``; a test compares the two.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.markers import write_section
from benchmarks.report import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"

README, HOW_IT_WORKS = ROOT / "README.md", ROOT / "docs" / "how-it-works.md"
COMPARISON = ROOT / "docs" / "comparison.md"

STAGES = {
    "decode": "`headers`, `decode`",
    "detect": "`detectors`",
    "align": "`geometry`, `quality`",
    "attributes": "`attributes`, `engine`",
}
STAGE_CASES = ("accurate, 640x480", "accurate, 1024x768", "accurate, 640x480, 10 faces")


def speed(results: dict[str, Any]) -> str:
    """Table of the README: time of an image, a face and a start, and memory."""
    cases = {row["case"]: row["inference_ms"]["median"] for row in results["latency"]["cases"]}
    starts = {name: row["median_s"] for name, row in results["cold_start"].items()}
    memory = {row["requests"]: row["pss_mib"] for row in results["memory"]["samples"]}
    machine = results["machine"]
    rows = [
        ("`accurate`, 640x480, one face", f"{cases['accurate, 640x480']:.0f} ms"),
        ("`accurate`, 1024x768, one face", f"{cases['accurate, 1024x768']:.0f} ms"),
        ("each additional face", f"{results['latency']['additional_face_ms']:.1f} ms"),
        ("process start to first answer", f"{starts['accurate']:.2f} s"),
        ("same, TensorFlow instead of LiteRT", f"{starts['accurate, TensorFlow']:.1f} s"),
        ("memory after 1,000 mixed requests", f"{memory[1000]:.0f} MiB"),
    ]
    head = (f"{machine['cores']} cores of an {machine['cpu']}", "median")
    return table(head, rows)


def stages(results: dict[str, Any]) -> str:
    """Table of the milliseconds per stage of the pipeline."""
    cases = {row["case"]: row["stages_ms"] for row in results["latency"]["cases"]}
    rows = [
        (f"`{stage}`", modules, *(f"{cases[case][stage]:.1f}" for case in STAGE_CASES))
        for stage, modules in STAGES.items()
    ]
    return table(("stage", "modules", *STAGE_CASES), rows)


def peers(results: dict[str, Any]) -> str:
    """Table of the README and of the comparison page: other libraries."""
    measured = [row for row in results.get("peers", ()) if "images" in row]
    if not measured:
        return "Compared with other libraries: see [benchmarks](docs/benchmarks.md)."
    ours = {row["requests"]: row["pss_mib"] for row in results["memory"]["samples"]}[1000]
    rows = []
    for row in measured:
        by_people = {(p["people"], p["width"]): p["median"] for p in row["images"]}
        memory = f"{row.get('memory_mib', ours):.0f} MiB"  # ours: the whole service
        cells = (f"{by_people[people, 640]:.0f} ms" for people in (1, 10))
        rows.append((row["name"], *cells, memory))
    head = ("640x480, same images, same run", "one face", "ten faces", "memory")
    return table(head, rows)


PARTS = (
    (README, "speed", speed),
    (README, "peers", peers),
    (COMPARISON, "peers", peers),
    (HOW_IT_WORKS, "stages", stages),
)


def main() -> None:
    """Write all sections."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for path, name, render in PARTS:
        write_section(path, name, render(results))
        print(f"wrote {name} into {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
