"""Throughput of the real server, by number of concurrent clients."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from age_gender.limits.cpus import usable_cpus
from age_gender.runtime import Runtime
from age_gender.vision.pipeline import Options
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

    def send(client: Client) -> None:
        times.append(client.request())

    rate = _rate([partial(send, client) for client in clients], seconds)
    return {
        "clients": len(clients),
        "images_per_second": round(rate, 1),
        "median_ms": round(float(np.median(times)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
    }


def alone(runtime: Runtime, picture: bytes, seconds: float) -> float:
    """Return the images a second of the pipeline without HTTP, on one thread for each CPU.

    Args:
        runtime: whose pipeline it is.
        picture: the file that is predicted, by ``accurate``.
        seconds: after which no further run is begun.
    """
    options = Options(face_detector="accurate", return_image=False)

    def predict() -> None:
        runtime.pipeline.run(runtime.open_image(picture), options)

    return _rate([predict] * usable_cpus(), seconds)


def _rate(tasks: Sequence[Callable[[], object]], seconds: float) -> float:
    """Repeat each task in a thread of its own; return how many were done in a second."""
    done: list[None] = []
    end = time.perf_counter() + seconds

    def work(task: Callable[[], object]) -> None:
        while time.perf_counter() < end:
            task()
            done.append(None)

    threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done) / (time.perf_counter() - start)
