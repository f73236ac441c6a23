"""Cold start: imports by package, and the time to the first answer."""

import base64
import compileall
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.client import stages_of
from testing.photos import collage
from testing.service import ROOT, Service

STARTS = 7
CONTAINER = "BENCH_CONTAINER"
"""Environment variable with the command that starts the image; ``{port}`` is replaced."""


class Case(NamedTuple):
    """Detector to request, and environment to start the server with."""

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
"""As gunicorn does before it forks."""


class Container(Service):
    """The image, started by the command in the environment."""

    def command(self) -> list[str]:
        """See `Service`."""
        return shlex.split(os.environ[CONTAINER].replace("{port}", str(self.port)))


def write_bytecode(root: Path) -> None:
    """Compile a checkout's modules, as those of the image are, even where Python must not."""
    compileall.compile_dir(root / "function", quiet=1)


def cold_start() -> dict[str, Any]:
    """Seconds from ``exec`` to the first prediction, for each detector and engine."""
    write_bytecode(ROOT)
    return _measure(Service, CASES)


def container() -> dict[str, Any]:
    """Likewise in the image, by detector, or why it was not measured."""
    if CONTAINER not in os.environ:
        return {"unavailable": f"{CONTAINER} is not set"}
    default = {name: case for name, case in CASES.items() if not case.environment}
    return {"command": os.environ[CONTAINER], "starts": _measure(Container, default)}


def _measure(server: Callable[..., Service], cases: dict[str, Case]) -> dict[str, Any]:
    """Start the server for each case in turn, `STARTS` times."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(STARTS):
        for name, case in cases.items():
            runs[name].append(start(partial(server, **case.environment), case.detector))
    return {name: _summary(starts) for name, starts in runs.items()}


def start(server: Callable[[Path], Service], detector: str) -> dict[str, float]:
    """Start a server once.

    Args:
        server: makes it, given a file for its log.
        detector: to request.

    Returns:
        Seconds until it is up (``up``) and until a prediction (``total``), and the stages of that.
    """
    data = base64.b64encode(collage(1, 640, 480)).decode("ascii")
    body = {"b64": data, "face_detector": detector}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with server(Path(folder) / "log") as service:
            up = time.perf_counter() - begin
            answer = service.post(json=body)
            total = time.perf_counter() - begin
    answer.raise_for_status()
    stages = stages_of(answer.headers["Server-Timing"])
    return {"total": total, "up": up, **{name: ms / 1000 for name, ms in stages.items()}}


def _summary(starts: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of all starts."""
    names = dict.fromkeys(name for start in starts for name in start)
    medians = {name: statistics.median(s.get(name, 0.0) for s in starts) for name in names}
    return {
        "median_s": round(medians.pop("total"), 3),
        "min_s": round(min(start["total"] for start in starts), 3),
        "up_s": round(medians.pop("up"), 3),
        "first_ms": {name: round(seconds * 1000, 1) for name, seconds in medians.items()},
    }


def imports() -> list[dict[str, float | str]]:
    """Milliseconds by package, the slowest first and the rest as one, by ``-X importtime``.

    Measuring makes each a little slower.
    """
    write_bytecode(ROOT)
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
    finished = subprocess.run(
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
    for line in finished.stderr.splitlines():
        if match := _LINE.match(line):
            times[_package(match[2])] += int(match[1]) / 1000
    return dict(times)


def _package(module: str) -> str:
    top = module.split(".")[0]
    return "Python itself" if top in sys.stdlib_module_names else top
