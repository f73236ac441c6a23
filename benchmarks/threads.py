"""How the detector's time depends on its threads, by the CPUs there are."""

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
EACH = 1_000_000
"""Pixels that are kept for each run, more than it needs: none is to be prepared twice."""


def measure() -> list[dict[str, Any]]:
    """A row for each number of CPUs that this machine has, and threads.

    ``ms`` is the median time of one run, ``runs_per_second`` what as many threads achieve together
    that each run a network of their own.
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
    together = LiteRTEngine(model, CpuShares(threads))
    together.run(batch)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        together.run(batch)
        times.append(time.perf_counter() - start)
    # Threads of one run are made once and keep the CPUs of that moment; these are made here.
    apart = LiteRTEngine(
        model,
        CpuShares(threads, max_threads=1),
        keep_pixels=EACH * threads,
        max_pixels=EACH * threads,
    )
    jobs = [threading.Thread(target=_run_often, args=(apart, batch)) for _ in range(threads)]
    _run_often(apart, batch, 1)
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
