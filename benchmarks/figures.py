"""Figures of ``benchmarks/results.json`` in the documents that quote some of them.

``python -m benchmarks.figures`` after ``python -m benchmarks``; a test holds the documents to it.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.marks import fill
from benchmarks.report import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"

README, HOW_IT_WORKS = ROOT / "README.md", ROOT / "docs" / "how-it-works.md"

STAGES = {
    "decode": "`picture`",
    "detect": "`detectors`",
    "align": "`geometry`, `quality`",
    "attributes": "`attributes`, `engine`",
}
STAGE_CASES = ("accurate, 640x480", "accurate, 1024x768", "accurate, 640x480, 10 faces")


def speed(results: dict[str, Any]) -> str:
    """The README's table: what a picture, a face, a start and a server cost."""
    cases = {row["case"]: row["inference_ms"]["median"] for row in results["latency"]["cases"]}
    starts = {name: row["median_s"] for name, row in results["cold_start"].items()}
    memory = {row["requests"]: row["pss_mib"] for row in results["memory"]["samples"]}
    machine = results["machine"]
    rows = [
        ("`accurate`, 640x480, one face", f"{cases['accurate, 640x480']:.0f} ms"),
        ("`accurate`, 1024x768, one face", f"{cases['accurate, 1024x768']:.0f} ms"),
        ("each further face", f"{results['latency']['each_further_face_ms']:.1f} ms"),
        ("from process start to the first answer", f"{starts['accurate']:.2f} s"),
        ("the same with TensorFlow instead of LiteRT", f"{starts['accurate, TensorFlow']:.1f} s"),
        ("memory after 1,000 mixed requests", f"{memory[1000]:.0f} MiB"),
    ]
    head = (f"{machine['cores']} cores of an {machine['cpu']}", "median")
    return table(head, rows)


def stages(results: dict[str, Any]) -> str:
    """The milliseconds that each stage of the pipeline takes."""
    cases = {row["case"]: row["stages_ms"] for row in results["latency"]["cases"]}
    rows = [
        (f"`{stage}`", modules, *(f"{cases[case][stage]:.1f}" for case in STAGE_CASES))
        for stage, modules in STAGES.items()
    ]
    return table(("stage", "modules", *STAGE_CASES), rows)


def peers(results: dict[str, Any]) -> str:
    """The README's comparison with other libraries; where there is none yet, the place of it."""
    measured = [row for row in results.get("peers", ()) if "pictures" in row]
    if not measured:
        return "Beside other libraries: see [benchmarks](docs/benchmarks.md)."
    ours = {row["requests"]: row["pss_mib"] for row in results["memory"]["samples"]}[1000]
    rows = []
    for row in measured:
        by_people = {(p["people"], p["width"]): p["median"] for p in row["pictures"]}
        memory = f"{row.get('memory_mib', ours):.0f} MiB"  # ours was measured with the service
        cells = (f"{by_people[people, 640]:.0f} ms" for people in (1, 10))
        rows.append((row["name"], *cells, memory))
    head = ("640x480, same pictures, same run", "one face", "ten faces", "memory")
    return table(head, rows)


PARTS = ((README, "speed", speed), (README, "peers", peers), (HOW_IT_WORKS, "stages", stages))


def main() -> None:
    """Write all of them."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for path, name, render in PARTS:
        fill(path, name, render(results))
        print(f"wrote {name} into {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
