"""Measures what bystanders notice while one client attacks the service.

``python -m benchmarks.attacks`` runs each attack of `testing.attacks` in turn and writes
``benchmarks/attacks.json`` and a table of docs/security.md. With ``--before CHECKOUT`` the code of
another checkout is measured, too, each attack right before ours.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks import machine
from benchmarks.bystanders import Bystander, beside, percentiles
from benchmarks.markers import write_section
from benchmarks.report import table
from testing import attacks, photos
from testing.service import ROOT, Service

RESULTS = ROOT / "benchmarks" / "attacks.json"
PAGE = ROOT / "docs" / "security.md"
SECONDS = 12.0
"""Of each attack."""
LEAD_SECONDS = 4.0
"""From its start to the first measurement."""
TIMEOUT = 15.0
"""A bystander that waits for longer counts as failed."""
NOTHING = "nothing"
"""The case without an attack."""


def measure(root: Path, attack: str, seconds: float) -> dict[str, Any]:
    """Attack a new service of a checkout; return what bystanders saw and what it cost."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        it = Service(Path(folder) / "log")
        it.root = root
        stack.enter_context(it)
        portrait = photos.resized("astronaut", 320, 320)
        it.predict(portrait)  # loads the models

        def predict() -> bool:
            headers = {"Content-Type": "image/jpeg"}
            parameters = {"face_detector": "accurate", "return_image": "false"}
            return it.post(data=portrait, params=parameters, headers=headers, timeout=TIMEOUT).ok

        def health() -> bool:
            return requests.get(f"{it.url}/health", timeout=TIMEOUT).ok

        with _attacked(attack, it.port, seconds):
            worker = psutil.Process(it.process.pid).children()[0]
            before = sum(worker.cpu_times()[:2])
            bystanders = {"health": Bystander(health), "predict": Bystander(predict)}
            with beside([*bystanders.values()]):
                time.sleep(seconds - LEAD_SECONDS)
            return {
                **{name: _seen(bystander) for name, bystander in bystanders.items()},
                "cpu_s": round(sum(worker.cpu_times()[:2]) - before, 1),
                "resident_mib": round(worker.memory_info().rss / 2**20),
            }


@contextmanager
def _attacked(attack: str, port: int, seconds: float) -> Iterator[None]:
    if attack == NOTHING:
        yield
        return
    with attacks.running(attack, port, seconds + TIMEOUT):
        time.sleep(LEAD_SECONDS)
        yield


def _seen(it: Bystander) -> dict[str, int]:
    """Summarise what one saw, with percentiles of all its requests."""
    times = it.good + it.failed
    return {"count": len(times), "failed": len(it.failed), **percentiles(times)}


def section(results: dict[str, Any]) -> str:
    """Text and table of docs/security.md."""
    head = ["attack", "version", "`/health` p50, p99", "`/predict` p50, p99", "CPU", "memory"]
    rows = [
        (
            row["attack"] if first else "",
            version,
            _latency(row[version]["health"]),
            _latency(row[version]["predict"]),
            f"{row[version]['cpu_s']} s",
            f"{row[version]['resident_mib']} MiB",
        )
        for row in results["rows"]
        for first, version in ((True, "before"), (False, "after"))
        if version in row
    ]
    described = results["machine"]
    return (
        f"\n{results['seconds']:g} s each, on {described['cores']} cores of an {described['cpu']}, "
        "which attackers and bystanders share; load average before the run "
        f"{described['load_before']}. Requests that failed or took longer than {TIMEOUT:g} s in "
        f"brackets.\n\n{table(head, rows)}\n"
    )


def _latency(found: dict[str, Any]) -> str:
    text = " and ".join(f"{found[key] / 1000:.2f}" for key in ("p50_ms", "p99_ms")) + " s"
    return f"{text} ({found['failed']} of {found['count']})" if found["failed"] else text


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="checkout with the code to compare with")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    parser.add_argument("--report-only", action="store_true", help="write the stored results")
    arguments = parser.parse_args()
    if not arguments.report_only:
        results: dict[str, Any] = {
            "machine": machine.describe(),
            "seconds": arguments.seconds,
            "rows": [],
        }
        versions = {"before": arguments.before, "after": ROOT}
        for attack in (NOTHING, *attacks.ATTACKS):
            row: dict[str, Any] = {"attack": attack}
            for version, root in versions.items():
                if root is not None:
                    row[version] = measure(root.resolve(), attack, arguments.seconds)
                    print(attack, version, row[version], flush=True)
            results["rows"].append(row)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_section(PAGE, "attacks", section(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
