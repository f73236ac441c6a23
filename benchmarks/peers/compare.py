"""Us and the peers over the same decoded pictures, in turn, in one run."""

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
from age_gender.vision.pipeline import Options, Stopwatch
from benchmarks.latency import picture, summary
from benchmarks.peers.peer import KINDS, Peer, Unavailable
from testing import photos

# people, width, height
PICTURES = (
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
"""Runs of one library before the next one's turn. The first is not counted: it finds the processor
asleep or full of another's data."""
PAUSE = 0.05
"""Seconds between two turns, so that nobody's cleaning up falls into another's time."""

Runner = Callable[[Path, int, int], dict[str, Any]]


def measure(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """One row for each of us and them, with figures or with the reason why there are none."""
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
        figures = _timed(runners, scratch, rounds)
        for index, row in enumerate(rows[: len(runners)]):
            row["pictures"] = figures[index]
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
        used = time.process_time() - before
        return {"ms": watch.stages["all"], "cpu_ms": used * 1000, "faces": result.faces}

    return run


def _read(pixels: Path, width: int, height: int) -> Image:
    return np.fromfile(pixels, np.uint8).reshape(height, width, 3)


def _timed(runners: list[Runner], scratch: Path, rounds: int) -> list[list[dict[str, Any]]]:
    """For each runner, one row for each picture; all of them in turn, picture after picture."""
    files = []
    for people, width, height in PICTURES:
        path = scratch / f"{people}-{width}.rgb"
        photos.decoded(picture(people, width, height)).tofile(path)
        files.append((path, width, height))
    answers: list[list[list[dict[str, Any]]]] = [[[] for _ in PICTURES] for _ in runners]
    for place, file in enumerate(files):
        for number in range(WARM_UP + rounds):
            for runner, kept in zip(runners, answers, strict=True):
                time.sleep(PAUSE)
                _, *counted = [runner(*file) for _ in range(BURST)]
                if number >= WARM_UP:
                    kept[place] += counted
    return [
        [
            {
                "people": people,
                "width": width,
                "height": height,
                "faces": len(given[-1]["faces"]),
                **summary([a["ms"] for a in given]),
                "cpu_ms": round(statistics.median(a["cpu_ms"] for a in given), 1),
            }
            for (people, width, height), given in zip(PICTURES, kept, strict=True)
        ]
        for kept in answers
    ]
