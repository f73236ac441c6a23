"""The back-fill as a job of its own over a real storage server: throughput, waiting and memory.

``python -m benchmarks.backfill``. Every picture goes from a bucket through the pipeline to a
result in another. A proxy holds each answer of the server back, as a network would. Server and
proxy use the same CPUs as the job, so where they do not, more pictures a second are possible.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from benchmarks.latency import picture
from testing.buckets import OUT, SOURCE, BucketServer, Proxy
from testing.service import ROOT

PICTURES = 2000
DELAY_MS = 30
"""A usual time for a small request from Cloud Run to a bucket in its region."""
SAMPLE_SECONDS = 0.25

PRICES = {
    "vcpu_second": 0.000018,
    "gib_second": 0.000002,
    "thousand_writes": 0.005,
    "thousand_reads": 0.0004,
}
"""US dollars: list prices of Cloud Run jobs and of Standard storage in a tier 1 region."""
TASK_GIB_PER_VCPU = 1
READS, WRITES = 2, 1
"""Requests for a picture: is there a result, the picture; the result."""


def measure(count: int = PICTURES, delay_ms: float = DELAY_MS) -> dict[str, Any]:
    """Run one job over ``count`` pictures in a fresh server.

    Args:
        count: pictures: 640x480 and 1024x768 with one face, 1024x768 with five, in turn.
        delay_ms: how long each answer of the storage server is held back.
    """
    with ExitStack() as stack:
        server = stack.enter_context(BucketServer())
        proxy = stack.enter_context(Proxy(server, delay_ms / 1000))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _fill(server, count)
        memory, summary = _run(proxy.url, folder / "log")
    cpu_seconds = summary["cpu_seconds"] / summary["pictures"]
    return {
        "pictures": summary["pictures"],
        "faces": summary["faces"],
        "failed": summary["failed"] + summary["refused"],
        "delay_ms": delay_ms,
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "pictures_per_second": round(summary["pictures"] / summary["seconds"], 2),
        "pipeline_share": summary["pipeline_share"],
        "cpu_ms_per_picture": round(1000 * cpu_seconds, 1),
        "memory": memory,
        "million": cost_of_a_million(cpu_seconds, summary["pipeline_share"]),
    }


def cost_of_a_million(cpu_seconds: float, pipeline_share: float) -> dict[str, float]:
    """US dollars for a million pictures in a Cloud Run job.

    Args:
        cpu_seconds: CPU time of one picture.
        pipeline_share: part of the time that the CPUs are not waiting; they are paid all the time.
    """
    paid = 1e6 * cpu_seconds / pipeline_share
    compute = paid * (PRICES["vcpu_second"] + TASK_GIB_PER_VCPU * PRICES["gib_second"])
    requests = 1000 * (READS * PRICES["thousand_reads"] + WRITES * PRICES["thousand_writes"])
    return {
        "vcpu_hours": round(paid / 3600, 1),
        "compute_usd": round(compute, 2),
        "requests_usd": round(requests, 2),
        "total_usd": round(compute + requests, 2),
    }


def _fill(server: BucketServer, count: int) -> None:
    pictures = [picture(n, w, h) for n, w, h in ((1, 640, 480), (1, 1024, 768), (5, 1024, 768))]
    bucket = server.client.bucket(SOURCE)

    def put(item: tuple[int, bytes]) -> None:
        bucket.blob(f"{item[0] % 100:02}/{item[0]}.jpg").upload_from_string(item[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, enumerate(islice(cycle(pictures), count))))


def _run(storage: str, log: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the job; give its memory over time, and its summary."""
    environment = {"STORAGE_EMULATOR_HOST": storage, "INPUT_BUCKET": SOURCE, "OUTPUT_BUCKET": OUT}
    with log.open("wb") as stream:
        job = subprocess.Popen(
            [sys.executable, "-m", "age_gender.batch.backfill"],
            cwd=ROOT / "function",
            env={**os.environ, **environment},
            stderr=stream,
        )
    samples = _watched(job)
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    if job.returncode != 0:
        raise RuntimeError(f"the job failed: {lines[-1:]}")
    return _told(samples), json.loads(lines[-1])


def _watched(job: "subprocess.Popen[bytes]") -> list[float]:
    process, samples = psutil.Process(job.pid), []
    while job.poll() is None:
        # A process that is just ending has no memory any more.
        samples.append(process.memory_info().rss / 2**20)
        time.sleep(SAMPLE_SECONDS)
    return [sample for sample in samples if sample > 0]


def _told(samples: list[float]) -> dict[str, Any]:
    """Peak, and how the last quarter of the run compares with the second."""
    quarter = max(1, len(samples) // 4)
    second = statistics.median(samples[quarter : 2 * quarter])
    last = statistics.median(samples[-quarter:])
    return {
        "peak_mib": round(max(samples)),
        "second_quarter_mib": round(second),
        "last_quarter_mib": round(last),
        "growth_mib": round(last - second, 1),
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--delay-ms", type=float, default=DELAY_MS)
    given = parser.parse_args()
    print(json.dumps(measure(given.pictures, given.delay_ms), indent=1))


if __name__ == "__main__":
    main()
