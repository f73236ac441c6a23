"""Runs the benchmarks and writes ``benchmarks/results.json`` and ``docs/benchmarks.md``."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    detection,
    latency,
    limits,
    machine,
    plots,
    process,
    report,
    start,
    threads,
    throughput,
)
from benchmarks.peers import compare
from testing.service import Service


def _over_http(_: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "log") as service:
        return latency.measure_http(service)


# In this order; a part sees what came before.
PARTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "machine": lambda _: machine.describe(),
    "latency": lambda _: latency.measure(),
    "http": _over_http,
    "limits": lambda results: limits.measure(results["latency"]),
    "throughput": lambda _: throughput.measure(),
    "peers": lambda _: compare.measure(),
    "threads": lambda _: threads.measure(),
    "cold_start": lambda _: start.cold_start(),
    "imports": lambda _: start.imports(),
    "container": lambda _: start.container(),
    "memory": lambda _: process.memory(),
    "detection": lambda _: detection.measure(),
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true", help="write tables and plots again")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these, keep the rest")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.report_only or options.only:
        results = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    if not options.report_only:
        if not process.idle():
            print("something else is using this machine; the figures will be worse than they are")
        for name in options.only or PARTS:
            print(f"{name} …", flush=True)
            results[name] = PARTS[name](results)
        report.RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    plots.draw(results, report.PLOTS)
    report.TABLE.write_text(report.markdown(results), encoding="utf-8")
    print(f"wrote {report.RESULTS.relative_to(report.ROOT)}, {report.TABLE.name} and its plots")


if __name__ == "__main__":
    main()
