"""Measures our pipeline and the peers on the same decoded images, in turn, in one run."""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from age_gender.runtime import Runtime
from age_gender.settings import load_settings
from age_gender.vision.decode import DecodedImage
from age_gender.vision.geometry import Image
from age_gender.vision.pipeline import Options
from age_gender.vision.stopwatch import Stopwatch
from benchmarks.latency import summary
from benchmarks.peers.peer import KINDS, Peer, Unavailable
from testing import photos

# people, width, height
IMAGES = (
    (1, 640, 480),
    (2, 640, 480),
    (5, 640, 480),
    (10, 640, 480),
    (1, 320, 240),
    (1, 1024, 768),
    (1, 1920, 1280),
)
ROUNDS = 7
WARM_UP = 1
BURST = 3
"""Consecutive runs of a library. The first is not counted: its caches are cold."""
PAUSE = 0.05
"""Seconds between turns, so that no library's clean-up overlaps with the next."""

Runner = Callable[[Path, int, int], dict[str, Any]]


def measure(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; return one row per library, with figures or the reason why there are none."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows: list[dict[str, Any]] = []
        runners: list[Runner] = []
        for detector in ("accurate", "fast"):
            rows.append({"name": f"ours, {detector}"})
            runners.append(_ours(detector))
        peers: dict[int, Peer] = {}
        for kind in KINDS:
            try:
                peer = stack.enter_context(Peer(kind))
            except Unavailable as reason:
                rows.append({"name": kind.title, "unavailable": str(reason)})
                continue
            peers[len(runners)] = peer
            rows.insert(len(runners), {"name": kind.title})
            runners.append(peer.run)
        figures = _measure(runners, scratch, rounds)
        for index, row in enumerate(rows[: len(runners)]):
            row["images"] = figures[index]
            if index in peers:
                row["memory_mib"] = round(peers[index].memory_mib(), 1)
                row["start_s"] = round(peers[index].start_seconds, 2)
    return rows


def _ours(detector: Any) -> Runner:
    pipeline = Runtime(load_settings()).pipeline
    options = Options(return_image=False, face_detector=detector)

    def run(pixels: Path, width: int, height: int) -> dict[str, Any]:
        image = _read(pixels, width, height)
        watch = Stopwatch()
        before = time.process_time()
        with watch.stage("all"):
            result = pipeline.run(DecodedImage(image), options)
        cpu_s = time.process_time() - before
        return {"ms": watch.stages["all"], "cpu_ms": cpu_s * 1000, "faces": result.faces}

    return run


def _read(pixels: Path, width: int, height: int) -> Image:
    return np.fromfile(pixels, np.uint8).reshape(height, width, 3)


def _measure(runners: list[Runner], scratch: Path, rounds: int) -> list[list[dict[str, Any]]]:
    """One row per image for each runner; the runners take turns, image by image."""
    files = []
    for people, width, height in IMAGES:
        path = scratch / f"{people}-{width}.rgb"
        photos.decoded(photos.collage(people, width, height)).tofile(path)
        files.append((path, width, height))
    answers: list[list[list[dict[str, Any]]]] = [[[] for _ in IMAGES] for _ in runners]
    for index, file in enumerate(files):
        for number in range(WARM_UP + rounds):
            for runner, rows in zip(runners, answers, strict=True):
                time.sleep(PAUSE)
                _, *counted = [runner(*file) for _ in range(BURST)]
                if number >= WARM_UP:
                    rows[index] += counted
    return [
        [
            {
                "people": people,
                "width": width,
                "height": height,
                "faces": len(runs[-1]["faces"]),
                **summary([a["ms"] for a in runs]),
                "cpu_ms": round(statistics.median(a["cpu_ms"] for a in runs), 1),
            }
            for (people, width, height), runs in zip(IMAGES, rows, strict=True)
        ]
        for rows in answers
    ]
