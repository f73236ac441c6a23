"""Throughput of the real server, by number of concurrent clients."""

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.client import Client
from testing.photos import collage
from testing.service import Service

CLIENTS = (1, 2, 4, 8)
SECONDS = 6.0
WARM_UP = 4


def measure(seconds: float = SECONDS) -> dict[str, Any]:
    """Measure ``accurate``, 640x480, one face: on all CPUs by clients, and on one CPU."""
    with tempfile.TemporaryDirectory() as folder:
        with Service(Path(folder) / "log") as service:
            rows = [_one_shape(service, clients, seconds) for clients in CLIENTS]
        with Service(Path(folder) / "one") as service:
            _on_one_cpu(service.process.pid)
            one = max(
                _one_shape(service, clients, seconds)["images_per_second"]
                for clients in CLIENTS[:2]
            )
    highest = rows[-1]["images_per_second"]
    return {"rows": rows, "one_cpu": one, "ratio": round(highest / one, 2)}


def _on_one_cpu(pid: int) -> None:
    """Pin the server to one CPU; before the models load, so that it counts one."""
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        for thread in process.threads():
            psutil.Process(thread.id).cpu_affinity([0])


def _one_shape(service: Service, clients: int, seconds: float) -> dict[str, Any]:
    fields = {"face_detector": "accurate", "return_image": False}
    client = Client(service.port, collage(1, 640, 480), **fields)
    for _ in range(WARM_UP):
        client.request()
    return at_once([client] * clients, seconds)


def at_once(clients: Sequence[Client], seconds: float) -> dict[str, Any]:
    """Have clients send their requests at the same time, each one after the other.

    Args:
        clients: may be the same several times.
        seconds: after which no further request is sent.
    """
    times: list[float] = []
    end = time.perf_counter() + seconds

    def work(client: Client) -> None:
        while time.perf_counter() < end:
            times.append(client.request())

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "clients": len(clients),
        "images_per_second": round(len(times) / (time.perf_counter() - start), 1),
        "median_ms": round(float(np.median(times)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
    }
