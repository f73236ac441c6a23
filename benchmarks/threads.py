"""Time of the detector by number of threads and CPUs."""

import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.settings import load_settings

CPUS = (1, 2, 4)
THREADS = (1, 2, 4)
ROUNDS = 40
SHAPE = (1, 480, 640, 3)
KEEP_PIXELS = 1_000_000
"""Pixels kept per interpreter, more than it needs, so that none is prepared twice."""


def measure() -> list[dict[str, Any]]:
    """Measure one row per number of CPUs and of threads.

    ``ms`` is the median time of one run on these threads, ``runs_per_second`` the total rate of
    concurrent runs on one thread each.
    """
    before = os.sched_getaffinity(0)
    model = load_settings().models_dir / "retinaface.tflite"
    batch = np.random.default_rng(0).uniform(0, 255, SHAPE).astype(np.float32)
    rows = []
    try:
        for cpus in (count for count in CPUS if count <= len(before)):
            os.sched_setaffinity(0, sorted(before)[:cpus])
            rows += [_row(model, batch, cpus, threads) for threads in THREADS]
    finally:
        os.sched_setaffinity(0, before)
    return rows


def _row(model: Path, batch: NDArray[np.float32], cpus: int, threads: int) -> dict[str, Any]:
    single = LiteRTEngine(model, CpuShares(threads))
    single.run(batch)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        single.run(batch)
        times.append(time.perf_counter() - start)
    # Its threads inherit the CPU affinity, so it is created here.
    concurrent = LiteRTEngine(
        model,
        CpuShares(threads, max_threads=1),
        keep_pixels=KEEP_PIXELS * threads,
        max_pixels=KEEP_PIXELS * threads,
    )
    jobs = [threading.Thread(target=_run_often, args=(concurrent, batch)) for _ in range(threads)]
    _run_often(concurrent, batch, 1)
    start = time.perf_counter()
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    seconds = time.perf_counter() - start
    return {
        "cpus": cpus,
        "threads": threads,
        "ms": round(statistics.median(times) * 1000, 1),
        "runs_per_second": round(threads * ROUNDS / seconds, 1),
    }


def _run_often(engine: LiteRTEngine, batch: NDArray[np.float32], rounds: int = ROUNDS) -> None:
    for _ in range(rounds):
        engine.run(batch)
