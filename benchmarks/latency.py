"""Latency: in the pipeline by stage, and end to end over HTTP."""

import statistics
import time
from typing import Any

import numpy as np
import psutil

from age_gender.runtime import Runtime
from age_gender.vision.pipeline import Options
from benchmarks.client import Client
from benchmarks.reference import loop
from testing import photos
from testing.service import Service

ROUNDS = 25

# name, people, width and height, options
CASES: list[tuple[str, str, tuple[int, int], dict[str, Any]]] = [
    ("fast, 640x480, min_face 80", "one", (640, 480), {"face_detector": "fast", "min_face": 80}),
    ("fast, 640x480", "one", (640, 480), {"face_detector": "fast"}),
    ("accurate, 640x480", "one", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 1024x768", "one", (1024, 768), {"face_detector": "accurate"}),
    ("accurate, 1920x1280", "one", (1920, 1280), {"face_detector": "accurate"}),
    ("accurate, 4032x3024", "one", (4032, 3024), {"face_detector": "accurate"}),
    ("accurate, 640x480, 2 faces", "two", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 640x480, 5 faces", "five", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 640x480, 10 faces", "ten", (640, 480), {"face_detector": "accurate"}),
]
HTTP_CASES: dict[str, dict[str, Any]] = {
    "accurate": {"face_detector": "accurate", "return_image": False},
    "accurate, with image": {"face_detector": "accurate"},
    "fast, min_face 80": {"face_detector": "fast", "min_face": 80, "return_image": False},
    "fast": {"face_detector": "fast", "return_image": False},
    "fast, with image": {"face_detector": "fast"},
}
PEOPLE = {"one": 1, "two": 2, "five": 5, "ten": 10}


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians over interleaved rounds, so that a busy moment affects all cases alike."""
    from age_gender.settings import load_settings

    runtime = Runtime(load_settings())
    images = [photos.collage(PEOPLE[people], *size) for _, people, size, _ in CASES]
    options = [Options(return_image=False, **fields) for *_, fields in CASES]
    times: list[list[float]] = [[] for _ in CASES]
    cpu: list[list[float]] = [[] for _ in CASES]
    loops: list[float] = []
    reference = loop()
    stages: list[list[dict[str, float]]] = [[] for _ in CASES]
    for round_number in range(rounds + 2):
        for index in range(len(CASES)):
            before = time.process_time()
            image = runtime.open_image(images[index])
            result = runtime.pipeline.run(image, options[index])
            cpu_s = time.process_time() - before
            if round_number >= 2:  # the first rounds prepare interpreters
                times[index].append(result.inference_ms)
                cpu[index].append(cpu_s * 1000)
                stages[index].append(dict(result.stages))
        loops.append(reference())
    loop_ms = summary(loops[2:])
    rows: list[dict[str, Any]] = [
        {
            "case": case[0],
            "faces": PEOPLE[case[1]],
            "inference_ms": summary(case_times),
            "cpu_ms": summary(case_cpu),
            "ratio": round(statistics.median(case_cpu) / loop_ms["median"], 3),
            "stages_ms": {
                stage: round(statistics.median(s.get(stage, 0) for s in case_stages), 2)
                for stage in ("decode", "detect", "verify", "align", "attributes")
            },
        }
        for case, case_times, case_cpu, case_stages in zip(CASES, times, cpu, stages, strict=True)
    ]
    one, ten = (next(r for r in rows if r["case"].startswith(name)) for name in ONE_AND_TEN)
    extra = (ten["inference_ms"]["median"] - one["inference_ms"]["median"]) / 9
    return {
        "rounds": rounds,
        "cases": rows,
        "additional_face_ms": round(extra, 2),
        "reference_ms": loop_ms,
    }


ONE_AND_TEN = ("accurate, 640x480", "accurate, 640x480, 10 faces")


def measure_http(service: Service) -> dict[str, Any]:
    """End to end, for one face at 640x480."""
    data = photos.collage(1, 640, 480)
    clients = {name: Client(service.port, data, **fields) for name, fields in HTTP_CASES.items()}
    times: dict[str, list[float]] = {name: [] for name in clients}
    cpu: dict[str, float] = dict.fromkeys(clients, 0.0)
    for round_number in range(ROUNDS + 2):
        for name, client in clients.items():
            before = cpu_seconds(service.process.pid)
            elapsed = client.request()
            if round_number >= 2:
                times[name].append(elapsed)
                cpu[name] += cpu_seconds(service.process.pid) - before
    return {
        name: {**summary(values), "cpu_ms": round(cpu[name] / len(values) * 1000, 1)}
        for name, values in times.items()
    }


def cpu_seconds(pid: int) -> float:
    """CPU time of a server and its workers so far."""
    parent = psutil.Process(pid)
    processes = (parent, *parent.children(recursive=True))
    return sum(time.clock_gettime(_cpu_clock(process.pid)) for process in processes)


def _cpu_clock(pid: int) -> int:
    """Linux's clock of a process's CPU time, as of ``clock_getcpuclockid(3)``.

    It counts nanoseconds; what ``/proc`` and psutil say is in steps of ten milliseconds.
    """
    return ~pid << 3 | 2


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median, minimum and 95th percentile."""
    return {
        "median": round(statistics.median(milliseconds), 2),
        "min": round(min(milliseconds), 2),
        "p95": round(float(np.percentile(milliseconds, 95)), 2),
    }
