"""Sends many mixed requests, good and hostile, from several clients at once, with faults.

``python -m tests.soak`` writes ``tests/soak/results.json``, its plot, and the figures in
``docs/security.md``. Every answer is compared with the answer to the same request sent alone.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from benchmarks import machine
from benchmarks.memory import resident
from testing.sampling import sampled
from testing.service import Service
from tests.soak import report as soak_report
from tests.soak.faults import Environment, Faults
from tests.soak.requests import Answer, Case, cases

RESULTS = Path(__file__).with_name("results.json")

SAMPLE_SECONDS = 5.0
MAX_TRIES = 20
"""Attempts at one request that is rejected or fails during a fault."""


@dataclass
class Tally:
    """Outcomes of the requests.

    Attributes:
        correct: number of expected answers, by case.
        wrong: the first unexpected answer, by case, as text.
        rejected: attempts answered with 429, all retried.
        failed: attempts that failed during a fault, by fault and status, all retried.
        broken: attempts whose connection broke without a fault.
        times: for each correct answer to a good request: seconds since the start, milliseconds,
            detector.
    """

    correct: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)
    rejected: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    times: list[tuple[float, float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Soak:
    """One run."""

    def __init__(self, service: Service, environment: Environment, count: int, minutes: float):
        self._service = service
        self._environment = environment
        self._count = count
        self._begin = time.monotonic()
        self._end = self._begin + minutes * 60
        self._done = 0
        self._tally = Tally()
        self._samples: list[dict[str, float]] = []

    def run(self, clients: int, seed: int) -> dict[str, Any]:
        """Send everything, and return the results."""
        all_cases = cases(self._environment.address)
        alone = {case.name: case.send(self._service.port) for case in all_cases}
        self._begin = time.monotonic()
        weights = np.array([case.weight for case in all_cases])
        chosen = np.random.default_rng(seed).choice(
            len(all_cases), self._count, p=weights / weights.sum()
        )
        faults = Faults(self._service, self._environment)
        with sampled(self._sample, SAMPLE_SECONDS), ThreadPoolExecutor(clients) as pool:
            futures = [
                pool.submit(self._one, case, alone[case.name], faults)
                for case in (all_cases[index] for index in chosen)
            ]
            self._run_faults(faults)
            for future in futures:
                future.result()
        faults.end()
        return self._results(clients, faults, all_cases)

    def _run_faults(self, faults: Faults) -> None:
        """Start and end each fault when it is due."""
        while self._done < self._count and time.monotonic() < self._end:
            faults.update(self._done / self._count, time.monotonic() - self._begin)
            time.sleep(0.1)

    def _one(self, case: Case, expected: Answer, faults: Faults) -> None:
        if time.monotonic() >= self._end:
            return
        for _ in range(MAX_TRIES):
            if self._attempt(case, expected, faults):
                break
        else:
            self._tally.wrong.setdefault(case.name, f"no answer in {MAX_TRIES} attempts")
        with self._tally.lock:
            self._done += 1

    def _attempt(self, case: Case, expected: Answer, faults: Faults) -> bool:
        """Send the request once; return whether that settles it."""
        tally = self._tally
        before = faults.current
        start = time.monotonic()
        try:
            answer = case.send(self._service.port)
        except (requests.RequestException, OSError):
            answer = Answer(0, "the connection broke")
        milliseconds = (time.monotonic() - start) * 1000
        fault = before or faults.current or faults.just_ended()
        with tally.lock:
            if answer == expected:
                tally.correct[case.name] += 1
                if case.detector and not fault:
                    since = start - self._begin
                    tally.times.append((since, milliseconds, case.detector))
                return True
            if answer.status == 429:
                tally.rejected += 1
            elif fault and answer.status in (0, *range(400, 500), 503, 504):
                tally.failed[f"{fault}: {answer.status or 'connection broke'}"] += 1
            elif answer.status == 0:
                tally.broken += 1
            else:
                tally.wrong.setdefault(case.name, f"{answer}, expected {expected}")
                return True
        time.sleep(0.5)
        return False

    def _sample(self) -> None:
        with suppress(psutil.NoSuchProcess):  # the worker was just killed
            worker = psutil.Process(self._service.process.pid).children()[0]
            sample = {
                "seconds": round(time.monotonic() - self._begin, 1),
                "done": self._done,
                "pss_mib": resident(self._service.process.pid),
                "files": worker.num_fds(),
                "threads": worker.num_threads(),
            }
            self._samples.append(sample)

    def _results(self, clients: int, faults: Faults, all_cases: list[Case]) -> dict[str, Any]:
        tally = self._tally
        hostile = sum(tally.correct[case.name] for case in all_cases if not case.good)
        return {
            "machine": machine.describe(),
            "clients": clients,
            "requested": self._count,
            "done": self._done,
            "seconds": round(time.monotonic() - self._begin),
            "correct": dict(sorted(tally.correct.items())),
            "good": sum(tally.correct.values()) - hostile,
            "hostile": hostile,
            "wrong": tally.wrong,
            "rejected": tally.rejected,
            "broken": tally.broken,
            "failed": dict(sorted(tally.failed.items())),
            "faults": [asdict(event) for event in faults.events],
            "latency_ms": soak_report.latency(tally.times),
            "memory": soak_report.memory_growth(self._samples, self._done),
            "samples": self._samples,
            "timeline": soak_report.timeline(tally.times),
        }


def main() -> None:
    """Run, write the results, and fail if any answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=120, help="stop after this long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report-only", action="store_true", help="only rewrite plot and figures")
    arguments = parser.parse_args()
    if not arguments.report_only:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            environment = stack.enter_context(Environment(folder))
            service = stack.enter_context(environment.service(folder / "log"))
            soak = Soak(service, environment, arguments.requests, arguments.minutes)
            results = soak.run(arguments.clients, arguments.seed)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(arguments.out.read_text(encoding="utf-8"))
    if arguments.out == RESULTS:
        soak_report.write(results)
    print(soak_report.summary(results))
    if results["wrong"] or results["broken"]:
        raise SystemExit("failed: see `wrong` and `broken` in the results")


if __name__ == "__main__":
    main()
