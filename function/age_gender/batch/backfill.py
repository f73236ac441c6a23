"""Annotates a bucket or folder that is full already: ``python -m age_gender.batch.backfill``.

Several machines share the work by a hash of the names. Each lists everything, takes its share,
passes over what is done, and keeps several pictures in flight, so that the CPUs judge while others
are fetched and stored. Killed and started again, it goes on where it was, since each picture's
results are whole or not there.
"""

import argparse
import json
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from age_gender import logs
from age_gender.batch import manifest
from age_gender.batch.annotate import Annotator, Outcome, input_of, output_of, predict_with
from age_gender.batch.location import Location, locate, refuse_loop
from age_gender.batch.storage import StoredObject
from age_gender.errors import AgeGenderError, SettingsError
from age_gender.limits.cpus import usable_cpus
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.settings import Settings, get_settings
from age_gender.vision.pipeline import Options, Result

log = logging.getLogger("age_gender.batch.backfill")  # also when this module is ``__main__``

MAX_FAILURES_IN_A_ROW = 20
"""After so many the storage is down, and going on would only skip pictures."""
SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines of progress in the log."""


class BackfillStopped(AgeGenderError):
    """Nothing works any more, so the run ended before its end."""

    code = "back-fill-stopped"


@dataclass
class Summary:
    """What a run did so far, or in all.

    Attributes:
        source: where the pictures are.
        out: where the results are.
        shard: number of this share, from 0.
        shards: how many shares there are.
        total: pictures of this share, if they were counted before.
        pictures: gone through; the sum of the next four.
        annotated: judged by this run.
        done_before: whose results were there.
        refused: that can never be judged.
        failed: that may succeed in another run.
        faces: found, in all pictures with results.
        seconds: since the start.
        cpu_seconds: used by this process since then, on all CPUs.
        pipeline_share: of the time that the CPUs had for the pipeline, the part that it ran.
    """

    source: str
    out: str
    shard: int
    shards: int
    total: int | None = None
    pictures: int = 0
    annotated: int = 0
    done_before: int = 0
    refused: int = 0
    failed: int = 0
    faces: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    pipeline_share: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to try again."""
        return self.failed == 0

    def as_dict(self) -> dict[str, Any]:
        """Give it as it is logged and stored."""
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return {**rounded, "complete": self.complete}


Progress = Callable[[Summary], None]
"""Called after each picture, in the thread that runs the back-fill."""


def run(
    source: str,
    out: str,
    settings: Settings,
    *,
    shard: int = 0,
    shards: int = 1,
    progress: Progress | None = None,
) -> Summary:
    """Annotate all pictures of a bucket or folder, or a share of them.

    Writes each picture's results, and for the share ``manifest-….jsonl`` and ``summary-….json``.

    Args:
        source: ``gs://bucket``, ``gs://bucket/folder``, or the path of a folder.
        out: likewise, for the results.
        settings: for the ``annotate_…`` options, limits and models.
        shard: number of the share to take, from 0.
        shards: how many shares there are.
        progress: told after each picture. With it, the share is counted first; without it,
            lines go to the log.

    Raises:
        SettingsError: an address or the shard makes no sense, or results would be found as new
            pictures.
        StorageUnavailable: a store cannot be listed, or the manifest not be written.
        BackfillStopped: one picture after another failed.
    """
    timeout = settings.annotate_storage_timeout
    return run_between(
        locate(source, timeout), locate(out, timeout), settings, shard, shards, progress
    )


def run_between(
    source: Location,
    out: Location,
    settings: Settings,
    shard: int,
    shards: int,
    progress: Progress | None = None,
) -> Summary:
    """Do what `run` does, between places whose prefixes are taken as they are."""
    if not 0 <= shard < shards:
        raise SettingsError(f"there is no share {shard} of {shards}: count from 0")
    refuse_loop(source, out)
    return _Run(source, out, settings, shard, shards, progress or _Lines()).go(
        count=progress is not None
    )


class _Lines:
    """Progress as lines of the log."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, summary: Summary) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            log.info("back-fill goes on", extra={"fields": summary.as_dict()})


class _Predictor:
    """A `Predictor` that works on a picture for each CPU at a time, and counts the time."""

    def __init__(self, settings: Settings):
        self._runtime = Runtime(settings)
        # TensorFlow shares the CPUs out by itself, and a GPU is one.
        self.pictures = usable_cpus() if settings.engine_in_use == "litert" else 1
        self.intake = max(settings.annotate_in_flight, self.pictures + 2)
        # No client waits for an answer, so pictures wait for as long as it takes.
        self.limiter = PredictionLimiter.from_settings(
            settings,
            in_flight=self.pictures,
            intake=self.intake,
            queue=math.inf,
            timeout=math.inf,
        )
        self._lock = threading.Lock()
        self.seconds = 0.0

    def __call__(self, data: bytes, options: Options) -> tuple[Result, dict[str, Any]]:
        result, answer = predict_with(self._runtime, self.limiter, data, options)
        with self._lock:
            self.seconds += sum(result.stages.values()) / 1000
        return result, answer


@dataclass
class _Run:
    source: Location
    out: Location
    settings: Settings
    shard: int
    shards: int
    progress: Progress
    failures_in_a_row: int = 0
    started: float = field(default_factory=time.perf_counter)
    cpu_before: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        self.summary = Summary(str(self.source), str(self.out), self.shard, self.shards)
        self.judge = _Predictor(self.settings)
        self.annotator = Annotator(self.out, self.judge, self.settings)

    def go(self, *, count: bool) -> Summary:
        rows, summary = manifest.names_of(self.out.prefix, self.shard, self.shards)
        if count:
            self.summary.total = sum(1 for _ in self._share())
        with self.out.store.replacing(rows, manifest.CONTENT_TYPE) as file:
            for picture, future in self._in_flight():
                file.write(manifest.line_of(self._row(picture, future)))
                self._measure()
                self.progress(self.summary)
        self._measure()
        told = self.summary.as_dict()
        with self.out.store.replacing(summary, "application/json") as file:
            file.write(json.dumps(told, indent=1).encode() + b"\n")
        log.log(
            logging.INFO if self.summary.complete else logging.ERROR,
            "back-fill ended" if self.summary.complete else "back-fill ended: run it once more",
            extra={"fields": told},
        )
        return self.summary

    def _share(self) -> Iterator[StoredObject]:
        for picture in self.source.store.list(self.source.prefix):
            folder = picture.name.endswith("/") and picture.size == 0
            mine = manifest.shard_of(picture.name, self.shards) == self.shard
            if mine and not folder and not picture.ours:
                yield picture

    def _in_flight(self) -> Iterator[tuple[StoredObject, Future[Outcome]]]:
        """Give the share's pictures in order, each when it is done, with others on their way.

        As many as there are threads hold their bytes; the rest of the window only wait for their
        turn, or for an earlier picture to be done.
        """
        threads = self.judge.intake
        window: deque[tuple[StoredObject, Future[Outcome]]] = deque()
        pool = ThreadPoolExecutor(threads, "picture")
        try:
            for picture in self._share():
                if len(window) >= 4 * threads:
                    yield _when_done(window.popleft())
                window.append((picture, pool.submit(self._annotate, picture)))
            while window:
                yield _when_done(window.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _annotate(self, picture: StoredObject) -> Outcome:
        with self.judge.limiter.intake(min(picture.size, self.settings.max_picture_bytes)):
            return self.annotator.annotate(self.source.store, picture)

    def _row(self, picture: StoredObject, future: Future[Outcome]) -> dict[str, Any]:
        self.summary.pictures += 1
        error = future.exception()
        if error is None:
            return self._done(future.result())
        return self._failed(picture, error)

    def _done(self, outcome: Outcome) -> dict[str, Any]:
        self.failures_in_a_row = 0
        if outcome.status == "annotated":
            self.summary.annotated += 1
        elif outcome.status == "refused":
            self.summary.refused += 1
        else:
            self.summary.done_before += 1
        self.summary.faces += len(outcome.body.get("faces", []))
        if outcome.status == "refused":
            fields = {**outcome.body["source"], **outcome.body["error"]}
            log.warning("refused", extra={"fields": fields})
        return manifest.row_of(outcome)

    def _failed(self, picture: StoredObject, error: BaseException) -> dict[str, Any]:
        self.summary.failed += 1
        self.failures_in_a_row += 1
        if isinstance(error, AgeGenderError):
            told, unforeseen = error, None
        else:
            told, unforeseen = AgeGenderError("something went wrong on our side"), error
        log.error(
            "failed, to be tried again",
            exc_info=unforeseen,
            extra={"fields": {"object": picture.name, "code": told.code, "detail": told.message}},
        )
        if self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise BackfillStopped(
                f"{self.failures_in_a_row} pictures failed one after another, the last because: "
                f"{told.message}"
            )
        return manifest.failed_row(self.source.store.label, picture, told)

    def _measure(self) -> None:
        self.summary.seconds = time.perf_counter() - self.started
        self.summary.cpu_seconds = time.process_time() - self.cpu_before
        available = self.summary.seconds * self.judge.pictures
        self.summary.pipeline_share = self.judge.seconds / available


def _when_done(
    item: tuple[StoredObject, Future[Outcome]],
) -> tuple[StoredObject, Future[Outcome]]:
    item[1].exception()
    return item


def main(arguments: list[str] | None = None) -> int:
    """Run as a job; everything can come from the environment.

    Returns:
        0: all is done, and what cannot be judged has an ``.error.json``; 1: run it once more;
        2: settings or arguments are wrong.
    """
    parser = argparse.ArgumentParser(
        "age_gender.batch.backfill", description="Annotate the pictures of a bucket or folder."
    )
    parser.add_argument(
        "--source", help="gs://… or a folder; by default INPUT_BUCKET, INPUT_PREFIX"
    )
    parser.add_argument("--out", help="gs://… or a folder; by default OUTPUT_BUCKET, OUTPUT_PREFIX")
    parser.add_argument(
        "--shard", type=int, default=os.environ.get("CLOUD_RUN_TASK_INDEX", "0"), help="from 0"
    )
    parser.add_argument("--shards", type=int, default=os.environ.get("CLOUD_RUN_TASK_COUNT", "1"))
    given = parser.parse_args(arguments)
    try:
        settings = get_settings()
        logs.set_up(settings.log)
        timeout = settings.annotate_storage_timeout
        source = locate(given.source, timeout) if given.source else input_of(settings)
        out = locate(given.out, timeout) if given.out else output_of(settings)
        return 0 if run_between(source, out, settings, given.shard, given.shards).complete else 1
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except AgeGenderError as error:
        fields = {"code": error.code, "detail": error.message}
        log.error("back-fill stopped: run it once more", extra={"fields": fields})
        return 1


if __name__ == "__main__":
    sys.exit(main())
