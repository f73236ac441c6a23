"""A client that costs little of the CPUs it shares with the server: the request is made once."""

import base64
import http.client
import json
import time
from typing import Any

from testing.service import AUTHORIZATION


class Client:
    """Sends one request again and again, each on a connection of its own."""

    def __init__(self, port: int, picture: bytes, **fields: Any):
        """Prepare the request; ``fields`` are those of the API."""
        body = {"b64": base64.b64encode(picture).decode("ascii"), **fields}
        self._port = port
        self._body = json.dumps(body).encode("ascii")
        self._headers = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}

    def ask(self) -> float:
        """Milliseconds from connecting to the last byte of the answer, which must be a 200."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/predict", self._body, self._headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:200]!r}")
        return (time.perf_counter() - start) * 1000
