"""Compares the back-fill's shards with Apache Beam's DirectRunner on a folder of pictures.

``PYTHONPATH=function python -m benchmarks.beam.compare --python VENV/bin/python``, where VENV has
apache-beam 2.77.0 and ``function/requirements.txt``. The ways take turns; all must write the same
bytes.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from testing.photos import collage
from testing.service import ROOT

IMAGES = 300
ROUNDS = 3
WORKERS = 2
SECONDS = 900
"""For one run; it takes a minute."""


def shards(python: str, source: Path, out: Path, workers: int) -> list[list[str]]:
    """Commands of the back-fill, one for each shard, each with one CPU as its task would have."""
    module = [python, "-m", "age_gender.batch.backfill", "--source", str(source)]
    return [
        [*_on(shard), *module, "--out", str(out), "--shard", str(shard), "--shards", str(workers)]
        for shard in range(workers)
    ]


def beam(python: str, source: Path, out: Path, workers: int) -> list[list[str]]:
    """Command of the pipeline on the DirectRunner; one worker runs in its own process."""
    mode = "in_memory" if workers == 1 else "multi_processing"
    command = [python, "-m", "benchmarks.beam.pipeline", str(source), str(out)]
    options = ["--runner=DirectRunner", f"--direct_running_mode={mode}"]
    return [[*_on(*range(workers)), *command, *options, f"--direct_num_workers={workers}"]]


def _on(*cpus: int) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, cpus))]


def measure(python: str, count: int, rounds: int) -> dict[str, Any]:
    """Run each way ``rounds`` times over ``count`` pictures, in turn.

    Raises:
        RuntimeError: a run failed, or two ways wrote different bytes.
    """
    ways = {
        f"{name}, {workers} processes": (command, interpreter, workers)
        for name, command, interpreter in (
            ("shards", shards, sys.executable),
            ("Beam", beam, python),
        )
        for workers in (1, WORKERS)
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    digests = set()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "pictures"
        _fill(source, count)
        for _ in range(rounds):
            for name, (command, interpreter, workers) in ways.items():
                out = Path(temporary) / "results"
                runs[name].append(_timed(command(interpreter, source, out, workers)))
                digests.add(_digest(out, count))
                shutil.rmtree(out)
    if len(digests) != 1:
        raise RuntimeError("two ways wrote different results")
    return {
        "pictures": count,
        "rounds": rounds,
        "same_bytes": True,
        "cpus": len(os.sched_getaffinity(0)),
        "ways": {name: _medians(of_one, count) for name, of_one in runs.items()},
    }


def _fill(folder: Path, count: int) -> None:
    images = [collage(n, w, h) for n, w, h in ((1, 640, 480), (1, 1024, 768), (5, 1024, 768))]
    folder.mkdir()
    for number, data in enumerate(islice(cycle(images), count)):
        path = folder / f"{number}.jpg"
        path.write_bytes(data)
        os.utime(path, (1_700_000_000, 1_700_000_000))  # the generation is in the results


def _timed(commands: list[list[str]]) -> dict[str, float]:
    """Run commands side by side; wall and CPU seconds of all."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "function"))),
        "INFERENCE_THREADS": "1",
        "MAX_IN_FLIGHT": "1",
        "ANNOTATE_IN_FLIGHT": "2",
        "LOG": "error",
    }
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    processes = [
        subprocess.Popen(c, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for c in commands
    ]
    codes = [process.wait(SECONDS) for process in processes]
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(codes):
        raise RuntimeError(f"{commands[0]} ended with {codes}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu}


def _digest(out: Path, count: int) -> str:
    """Hash of all results; manifests and summaries, which Beam does not write, do not count."""
    results = sorted(path for path in out.rglob("*.json") if not path.name.startswith("summary-"))
    if len(results) != count:
        raise RuntimeError(f"{len(results)} results of {count} pictures")
    digest = hashlib.sha256()
    for path in results:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _medians(runs: list[dict[str, float]], count: int) -> dict[str, float]:
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "seconds": round(seconds, 1),
        "pictures_per_second": round(count / seconds, 1),
        "cpu_ms_per_picture": round(
            1000 * statistics.median(run["cpu_seconds"] for run in runs) / count, 1
        ),
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of an environment with apache-beam")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(json.dumps(measure(options.python, options.images, options.rounds), indent=1))


if __name__ == "__main__":
    main()
