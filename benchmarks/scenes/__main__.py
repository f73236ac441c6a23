"""Sends pictures of every kind to the service, and to that of an older checkout.

::

    PYTHONPATH=function:. python -m benchmarks.scenes --data DIR [--before CHECKOUT]

It makes the pictures of photos in packages (``testing/photos.toml``) and of the labelled sets in a
folder with the tables that ``training/README.md`` describes, starts the services on the loopback,
and sends each picture to both, for both detectors. ``--cases`` adds real pictures with the right
answers. It writes ``benchmarks/scenes.json`` after each part, and plots and the measured sections
of ``docs/tuning.md`` at the end; ``--report-only`` only rewrites the latter two. A whole run takes
ten minutes on two idle cores for each service.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from benchmarks import machine
from benchmarks.scenes import known, report
from benchmarks.scenes.cases import Case, all_cases
from benchmarks.scenes.counting import Outcome, compared, counted, errors, turns
from benchmarks.scenes.services import DETECTORS, Checkout

SAMPLE = 32
TABLES = ("rows", "turns", "labelled", "cases")
IN_FLIGHT = 4
"""Pictures that are made and sent at a time."""


def measure(cases: Sequence[Case], services: Mapping[str, Checkout]) -> dict[str, Any]:
    """Send pictures and count.

    Args:
        cases: the pictures.
        services: that run, by the names that the results give them.
    """
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        parts = pool.map(lambda case: _sent(case, services), cases)
        outcomes = [outcome for part in parts for outcome in part]
    return {
        "rows": counted(o for o in outcomes if o.part != "labelled"),
        "turns": turns(o for o in outcomes if o.part == "turn"),
        "labelled": errors(o for o in outcomes if o.part == "labelled"),
        "cases": [],
    }


def _sent(case: Case, services: Mapping[str, Checkout]) -> list[Outcome]:
    picture = case.make()
    return [
        compared(
            case, picture, service.faces(picture.data, detector, case.min_face), name, detector
        )
        for detector in DETECTORS
        for name, service in services.items()
    ]


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Replace the rows of the parts that were measured again.

    Rows of other services than the new ones are dropped.
    """
    if old.get("services") != new["services"]:
        return new
    kept = {}
    for name in TABLES:
        again = {row["part"] for row in new[name]}
        kept[name] = [row for row in old.get(name, ()) if row["part"] not in again] + new[name]
    return new | kept


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled sets and their tables")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="to compare with")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, help="faces that most pictures are made of"
    )
    parser.add_argument("--cases", type=Path, help="folder of pictures that may not be published")
    parser.add_argument("--only", nargs="+", metavar="PART", help="measure only these, keep others")
    parser.add_argument("--report-only", action="store_true", help="only rewrite tables and plots")
    arguments = parser.parse_args()
    if not arguments.report_only:
        if arguments.data is None:
            parser.error("--data is needed")
        _measure(arguments)
    report.write(json.loads(report.RESULTS.read_text(encoding="utf-8")), report.ROOT / "docs")


def _measure(arguments: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    checkouts = {"before": arguments.before} if arguments.before else {}
    checkouts["now"] = report.ROOT
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = {
            name: stack.enter_context(Checkout(root.resolve(), folder / f"{name}.log"))
            for name, root in checkouts.items()
        }
        about = {
            "machine": machine.describe(),
            "date": datetime.now(UTC).date().isoformat(),
            "sample": arguments.sample,
            "services": {
                name: {"commit": service.commit(), "model": service.model()}
                for name, service in services.items()
            },
        }
        cases = all_cases(arguments.data, arguments.sample, services["now"])
        for part in dict.fromkeys(case.part for case in cases):
            if arguments.only and part not in arguments.only:
                continue
            chosen = [case for case in cases if case.part == part]
            print(f"{part}: {len(chosen)} pictures …", flush=True)
            _add(about | measure(chosen, services))
        if arguments.cases is not None:
            cases_rows = known.measure(arguments.cases, services)
            _add(about | {name: [] for name in TABLES} | {"cases": cases_rows})


def _add(new: dict[str, Any]) -> None:
    """Write what was measured, and keep what was measured before, if it is of the same services."""
    old = json.loads(report.RESULTS.read_text("utf-8")) if report.RESULTS.exists() else {}
    report.RESULTS.write_text(json.dumps(merged(old, new), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
