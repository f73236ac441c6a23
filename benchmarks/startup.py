"""What a cold start is made of: imports by package, and the way to the first answer."""

import base64
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.latency import picture
from testing.service import ROOT, Service

STARTS = 7
CONTAINER = "BENCH_CONTAINER"
"""Environment variable with the command that starts the image, ``{port}`` where it is to listen."""


class Case(NamedTuple):
    """What is asked of a server, and with which settings it is started."""

    detector: str
    environment: dict[str, str]


CASES = {
    "fast": Case("fast", {}),
    "accurate": Case("accurate", {}),
    "accurate, TensorFlow": Case("accurate", {"ENGINE": "tensorflow"}),
}
PACKAGES = 8
_LINE = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)$")
_SERVE = "import functions_framework as f; f.create_app(target='predict', source='main.py')"
"""What gunicorn does before it forks."""


class Container(Service):
    """The image, started by the command that the environment gives."""

    def command(self) -> list[str]:
        """See `Service`."""
        return shlex.split(os.environ[CONTAINER].replace("{port}", str(self.port)))


def cold_start() -> dict[str, Any]:
    """Seconds from ``exec`` to the first answered prediction, for each detector and engine."""
    return _measured(Service, CASES)


def container() -> dict[str, Any]:
    """The same in the image, by detector, or why it was not measured."""
    if CONTAINER not in os.environ:
        return {"unavailable": f"{CONTAINER} does not say how to start it"}
    plain = {name: case for name, case in CASES.items() if not case.environment}
    return {"command": os.environ[CONTAINER], "starts": _measured(Container, plain)}


def _measured(server: type[Service], cases: dict[str, Case]) -> dict[str, Any]:
    """Start the server for each case in turn, again and again."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(STARTS):
        for name, case in cases.items():
            runs[name].append(_start(server, case.detector, case.environment))
    return {name: _summary(starts) for name, starts in runs.items()}


def _start(server: type[Service], detector: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds until the server answers at all, until a prediction, and the latter's stages."""
    data = base64.b64encode(picture(1, 640, 480)).decode("ascii")
    body = {"b64": data, "face_detector": detector}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with server(Path(folder) / "log", **environment) as service:
            up = time.perf_counter() - start
            answer = service.post(json=body)
            total = time.perf_counter() - start
    answer.raise_for_status()
    stages = dict(entry.split(";dur=") for entry in answer.headers["Server-Timing"].split(", "))
    return {"total": total, "up": up, **{name: float(ms) / 1000 for name, ms in stages.items()}}


def _summary(starts: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of all starts."""
    names = dict.fromkeys(name for start in starts for name in start)
    middle = {name: statistics.median(s.get(name, 0.0) for s in starts) for name in names}
    return {
        "median_s": round(middle.pop("total"), 3),
        "min_s": round(min(start["total"] for start in starts), 3),
        "up_s": round(middle.pop("up"), 3),
        "first_ms": {name: round(seconds * 1000, 1) for name, seconds in middle.items()},
    }


def imports() -> list[dict[str, float | str]]:
    """Milliseconds by package, the costliest first and the rest as one, by ``-X importtime``.

    Its own work makes each a little slower than it is in service.
    """
    runs = [_import_times() for _ in range(STARTS)]
    names = {name for run in runs for name in run}
    medians = {name: statistics.median(run.get(name, 0.0) for run in runs) for name in names}
    ordered = sorted(medians, key=lambda name: -medians[name])
    rows: list[dict[str, float | str]] = [
        {"package": name, "ms": round(medians[name], 1)} for name in ordered[:PACKAGES]
    ]
    others = sum(medians[name] for name in ordered[PACKAGES:])
    return [*rows, {"package": "all others", "ms": round(others, 1)}]


def _import_times() -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", _SERVE],
        cwd=ROOT / "function",
        env={**os.environ, "FUNCTION_TARGET": "predict"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    times: defaultdict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        if found := _LINE.match(line):
            times[_package(found[2])] += int(found[1]) / 1000
    return dict(times)


def _package(module: str) -> str:
    top = module.split(".")[0]
    return "Python itself" if top in sys.stdlib_module_names else top
