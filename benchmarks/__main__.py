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
    machine,
    memory,
    plots,
    report,
    roofline,
    startup,
    threads,
    throughput,
)
from benchmarks.peers import compare
from testing.service import Service


def _over_http(_: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "log") as service:
        return latency.measure_http(service)


# In order; each part gets the results of the earlier ones.
PARTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "machine": lambda _: machine.describe(),
    "latency": lambda _: latency.measure(),
    "http": _over_http,
    "roofline": lambda results: roofline.measure(results["latency"]),
    "throughput": lambda _: throughput.measure(),
    "peers": lambda _: compare.measure(),
    "threads": lambda _: threads.measure(),
    "cold_start": lambda _: startup.cold_start(),
    "imports": lambda _: startup.imports(),
    "container": lambda _: startup.container(),
    "memory": lambda _: memory.measure(),
    "detection": lambda _: detection.measure(),
}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true", help="only rewrite tables and plots")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="measure only these, keep the rest"
    )
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.report_only or options.only:
        results = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    if not options.report_only:
        if not machine.idle():
            print("WARNING: this machine is busy; the figures will be too high")
        for name in options.only or PARTS:
            print(f"{name} …", flush=True)
            results[name] = PARTS[name](results)
        report.RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    plots.draw(results, report.PLOTS)
    report.TABLE.write_text(report.markdown(results), encoding="utf-8")
    print(f"wrote {report.RESULTS.relative_to(report.ROOT)}, {report.TABLE.name} and its plots")


if __name__ == "__main__":
    main()
