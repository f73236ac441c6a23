"""Runs the benchmarks and writes ``benchmarks/results.json`` and ``docs/benchmarks.md``."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import detection, latency, machine, process, report
from tests.service import Service

ROOT = Path(__file__).resolve().parents[1]

RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true", help="write the table again")
    if not parser.parse_args().report_only:
        if not process.idle():
            print("something else is using this machine; the figures will be worse than they are")
        results: dict[str, Any] = {"machine": machine.describe()}
        print("latency …")
        results["latency"] = latency.measure()
        with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "log") as service:
            results["http"] = latency.measure_http(service)
        print("cold start …")
        results["cold_start"] = process.cold_start()
        print("memory …")
        results["memory"] = process.memory()
        print("detection …")
        results["detection"] = detection.measure()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(report.markdown(json.loads(RESULTS.read_text())), encoding="utf-8")
    print(f"wrote {RESULTS.relative_to(ROOT)} and {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
