"""Starts the real server as production does, for tests over HTTP."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import requests

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
CREDENTIALS = ("sugar", "kubes")
AUTHORIZATION = "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode("ascii")
"""The header for `CREDENTIALS`."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """functions-framework with gunicorn in its own process, on the loopback."""

    root = ROOT
    """The checkout whose code is served."""

    def __init__(self, log: Path, target: str = "predict", **environment: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._target = target
        self._environment = environment
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.root / "function",
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def command(self) -> list[str]:
        """Command that starts the server; subclasses may wrap it."""
        return [
            *(sys.executable, "-m", "functions_framework", f"--target={self._target}"),
            *("--host=127.0.0.1", f"--port={self.port}"),
        ]

    def predict(self, data: bytes, **fields: Any) -> dict[str, Any]:
        """POST an image file as JSON and return the answer, which must be a 200."""
        body = {"b64": base64.b64encode(data).decode("ascii"), **fields}
        response = self.post(json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def post(self, path: str = "/predict", **arguments: Any) -> requests.Response:
        arguments = {"auth": CREDENTIALS, "timeout": 60, **arguments}
        return requests.post(self.url + path, **arguments)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **arguments)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited at once:\n{self.log.read_text()[-3000:]}")
            try:
                self.get("/health")
                return
            except requests.ConnectionError:
                time.sleep(0.01)
        self.__exit__()
        raise RuntimeError(f"no answer in {START_SECONDS} s:\n{self.log.read_text()[-3000:]}")
