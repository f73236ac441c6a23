"""A client that uses little CPU, which it shares with the server: it encodes its request once."""

import base64
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from testing.service import AUTHORIZATION


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        ms: milliseconds from connect to the last byte.
        stages: milliseconds of each stage, as the service reports them.
    """

    ms: float
    stages: dict[str, float]


class Client:
    """Sends one request repeatedly, each time on a new connection."""

    def __init__(self, port: int, data: bytes, **fields: Any):
        """Prepare the request; ``fields`` are fields of the API."""
        body = {"b64": base64.b64encode(data).decode("ascii"), **fields}
        self._port = port
        self._body = json.dumps(body).encode("ascii")
        self._headers = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}

    def request(self) -> float:
        """Send it; return the milliseconds from connect to the last byte of a 200."""
        return self.exchange().ms

    def exchange(self) -> Exchange:
        """Send it; the answer must be a 200."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/predict", self._body, self._headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        ms = (time.perf_counter() - start) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:200]!r}")
        return Exchange(ms, stages_of(answer.headers["Server-Timing"]))


def stages_of(server_timing: str) -> dict[str, float]:
    """Read milliseconds by stage from a ``Server-Timing`` header."""
    entries = (entry.split(";dur=") for entry in server_timing.split(", "))
    return {name: float(ms) for name, ms in entries}
