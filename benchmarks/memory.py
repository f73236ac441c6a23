"""Memory of the real server process."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from testing.photos import collage
from testing.service import Service

REQUESTS = 1000


def measure() -> dict[str, Any]:
    """Sample the server's memory over a thousand mixed requests, MiB."""
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "log") as service:
        pid = service.process.pid
        samples = [_sample(0, pid)]
        samples += [
            _sample(done, pid)
            for done in mixed_requests(service, REQUESTS)
            if done % (REQUESTS // 10) == 0
        ]
    settled = [s["pss_mib"] for s in samples[2:]]
    return {
        "samples": samples,
        "steady_mib": settled[-1],
        "growth_after_warm_up_mib": round(settled[-1] - settled[0], 1),
    }


def mixed_requests(service: Service, count: int) -> Iterator[int]:
    """Send requests of several sizes for both detectors; yield the number so far after each."""
    images = [collage(n, w, h) for n, w, h in ((1, 640, 480), (5, 640, 480), (1, 1024, 768))]
    for index in range(count):
        detector = ("fast", "accurate")[index % 2]
        service.predict(images[index % 3], face_detector=detector)
        yield index + 1


def _sample(requests: int, pid: int) -> dict[str, float]:
    return {
        "requests": requests,
        "pss_mib": resident(pid),
        "worker_rss_mib": _worker_rss(pid),
    }


def _worker_rss(pid: int) -> float:
    """Resident set size of the largest worker; shared pages count in full."""
    workers = psutil.Process(pid).children(recursive=True)
    return round(max(w.memory_info().rss for w in workers) / 2**20, 1)


def resident(pid: int) -> float:
    """Proportional set size of the process and its workers, MiB; shared pages count once."""
    parent = psutil.Process(pid)
    processes = [parent, *parent.children(recursive=True)]
    return round(float(sum(p.memory_full_info().pss for p in processes)) / 2**20, 1)
