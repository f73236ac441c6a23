"""Simulates, and writes tables and plots of docs/scale.md: ``make bench-scale``.

It takes a minute. With ``--report-only`` it writes the tables of ``results.json`` anew.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS as MEASURED
from benchmarks.markers import write_section
from benchmarks.scale import plots, scenarios
from benchmarks.scale.report import PARTS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
DOCUMENT = ROOT / "docs" / "scale.md"
PLOTS = ROOT / "docs" / "img" / "scale"


def measured_cpu() -> float:
    """CPU seconds of a request over HTTP: ``accurate``, 640x480, one face (docs/benchmarks.md)."""
    results = json.loads(MEASURED.read_text(encoding="utf-8"))
    return float(results["http"]["accurate"]["cpu_ms"]) / 1000


def report(results: dict[str, Any]) -> None:
    """Write all tables."""
    for name, render in PARTS.items():
        write_section(DOCUMENT, name, render(results))


def main() -> None:
    """Simulate, unless only the report is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true")
    if not parser.parse_args().report_only:
        figures, bursts, floods = scenarios.simulate(measured_cpu())
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        plots.draw(bursts, {name: s.acknowledged for name, s in floods.items()}, PLOTS)
    report(json.loads(RESULTS.read_text(encoding="utf-8")))
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
