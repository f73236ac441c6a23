"""The back-fill job against a real storage server: throughput, waiting and memory.

``python -m benchmarks.backfill``. Every image goes from one bucket through the pipeline to a result
in another. A proxy delays each answer of the server, as a network would. Server and proxy share the
CPUs of the job, so real throughput is higher.
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

from testing.buckets import OUT, SOURCE, BucketServer, Proxy
from testing.photos import collage
from testing.service import ROOT

IMAGES = 2000
DELAY_MS = 30
"""Typical latency of a small request from Cloud Run to a bucket in its region."""
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
"""Requests per image: check for a result, read the image; write the result."""


def measure(count: int = IMAGES, delay_ms: float = DELAY_MS) -> dict[str, Any]:
    """Run one job over ``count`` images in a fresh server.

    Args:
        count: images, in turn 640x480 and 1024x768 with one face, 1024x768 with five.
        delay_ms: delay of each answer of the storage server.
    """
    with ExitStack() as stack:
        server = stack.enter_context(BucketServer())
        proxy = stack.enter_context(Proxy(server, delay_ms / 1000))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _fill(server, count)
        memory, summary = _run(proxy.url, folder / "log")
    cpu_seconds = summary["cpu_seconds"] / summary["pictures"]
    return {
        "images": summary["pictures"],
        "faces": summary["faces"],
        "failed": summary["failed"] + summary["refused"],
        "delay_ms": delay_ms,
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "images_per_second": round(summary["pictures"] / summary["seconds"], 2),
        "pipeline_share": summary["pipeline_share"],
        "cpu_ms_per_image": round(1000 * cpu_seconds, 1),
        "memory": memory,
        "million": cost_of_a_million(cpu_seconds, summary["pipeline_share"]),
    }


def cost_of_a_million(cpu_seconds: float, pipeline_share: float) -> dict[str, float]:
    """Estimate the US dollars for a million images in a Cloud Run job.

    Args:
        cpu_seconds: CPU time per image.
        pipeline_share: share of the time that the CPUs are busy; all of it is billed.
    """
    billed = 1e6 * cpu_seconds / pipeline_share
    compute = billed * (PRICES["vcpu_second"] + TASK_GIB_PER_VCPU * PRICES["gib_second"])
    requests = 1000 * (READS * PRICES["thousand_reads"] + WRITES * PRICES["thousand_writes"])
    return {
        "vcpu_hours": round(billed / 3600, 1),
        "compute_usd": round(compute, 2),
        "requests_usd": round(requests, 2),
        "total_usd": round(compute + requests, 2),
    }


def _fill(server: BucketServer, count: int) -> None:
    images = [collage(n, w, h) for n, w, h in ((1, 640, 480), (1, 1024, 768), (5, 1024, 768))]
    bucket = server.client.bucket(SOURCE)

    def put(item: tuple[int, bytes]) -> None:
        bucket.blob(f"{item[0] % 100:02}/{item[0]}.jpg").upload_from_string(item[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, enumerate(islice(cycle(images), count))))


def _run(storage: str, log: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the job; return its memory statistics and its summary."""
    environment = {"STORAGE_EMULATOR_HOST": storage, "INPUT_BUCKET": SOURCE, "OUTPUT_BUCKET": OUT}
    with log.open("wb") as stream:
        job = subprocess.Popen(
            [sys.executable, "-m", "age_gender.batch.backfill"],
            cwd=ROOT / "function",
            env={**os.environ, **environment},
            stderr=stream,
        )
    samples = _sample_memory(job)
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    if job.returncode != 0:
        raise RuntimeError(f"the job failed: {lines[-1:]}")
    return _statistics(samples), json.loads(lines[-1])


def _sample_memory(job: "subprocess.Popen[bytes]") -> list[float]:
    process, samples = psutil.Process(job.pid), []
    while job.poll() is None:
        # A process that is exiting reports 0.
        samples.append(process.memory_info().rss / 2**20)
        time.sleep(SAMPLE_SECONDS)
    return [sample for sample in samples if sample > 0]


def _statistics(samples: list[float]) -> dict[str, Any]:
    """Peak, and growth from the second to the last quarter of the run."""
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
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--delay-ms", type=float, default=DELAY_MS)
    options = parser.parse_args()
    print(json.dumps(measure(options.images, options.delay_ms), indent=1))


if __name__ == "__main__":
    main()
