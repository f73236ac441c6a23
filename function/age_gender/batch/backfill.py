"""Annotates the existing images of a bucket or folder: ``python -m age_gender.batch.backfill``.

Several machines split the work by a hash of the names. Each lists everything, skips what is done or
in another shard, and keeps several images in flight, so that the CPUs stay busy while others are
fetched and stored. Killed and restarted, it resumes: an image's results are complete or absent.
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
from datetime import UTC, datetime
from typing import Any

from age_gender import logs
from age_gender.batch import manifest, results
from age_gender.batch.annotate import Annotator, Outcome, input_of, output_of, predict_with
from age_gender.batch.location import Location, locate, refuse_loop
from age_gender.batch.storage import StoredObject, Unreadable, ignore
from age_gender.errors import AgeGenderError, SettingsError
from age_gender.limits.cpus import usable_cpus
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.settings import Settings, get_settings
from age_gender.vision.pipeline import Options, Result

log = logging.getLogger("age_gender.batch.backfill")  # also when this module is ``__main__``

MAX_FAILURES_IN_A_ROW = 20
"""After so many the storage is down, and going on would fail every image."""
SECONDS_BETWEEN_LINES = 10.0
"""Interval between two lines of progress in the log."""


class BackfillStopped(AgeGenderError):
    """Image after image failed, so the run was aborted."""

    code = "back-fill-stopped"


@dataclass
class Summary:
    """What a run has done so far, or in total.

    Attributes:
        source: place of the images.
        out: place of the results.
        shard: number of this shard, from 0.
        shards: number of shards.
        total: images in this shard, if counted beforehand.
        pictures: images processed; the sum of the next four.
        annotated: images that this run annotated.
        done_before: images that had results.
        refused: images that can never be processed, and files that are no pictures.
        failed: images that may succeed in another run, and what could not be listed.
        not_images: the refused files that are no pictures, such as texts.
        faces: faces in all images with results.
        seconds: since the start.
        cpu_seconds: CPU time of this process since then.
        pipeline_share: fraction of the available CPU time that the pipeline ran, 0 to 1.
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
    not_images: int = 0
    faces: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    pipeline_share: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to try again."""
        return self.failed == 0

    @property
    def refused_images(self) -> int:
        """How many pictures are without an answer for good."""
        return self.refused - self.not_images

    def as_dict(self) -> dict[str, Any]:
        """As it is logged and stored."""
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return {**rounded, "complete": self.complete}


Progress = Callable[[Summary], None]
"""Called after each image, in the thread that runs the back-fill."""
Report = Callable[[str, str], None]
"""Called with the name of each file that has no answer, and why, in the same thread."""


def run(
    source: str,
    out: str,
    settings: Settings,
    *,
    shard: int = 0,
    shards: int = 1,
    progress: Progress | None = None,
    report: Report = ignore,
) -> Summary:
    """Annotate all images of a bucket or folder, or one shard of them.

    Writes the results for each image, and for the shard ``manifest-….jsonl`` and
    ``summary-….json``.

    Args:
        source: ``gs://bucket``, ``gs://bucket/folder``, or the path of a folder.
        out: likewise, for the results.
        settings: for the ``annotate_…`` options, limits and models.
        shard: number of the shard, from 0.
        shards: number of shards.
        progress: called after each image. With it the shard is counted first; without it progress
            goes to the log.
        report: called with each file that has no answer; the log has them, too.

    Raises:
        SettingsError: an address or the shard is invalid, or results would become inputs.
        StorageUnavailable: a store cannot be listed, or the manifest not written.
        BackfillStopped: image after image failed.
    """
    timeout = settings.annotate_storage_timeout
    return run_between(
        locate(source, timeout), locate(out, timeout), settings, shard, shards, progress, report
    )


def run_between(
    source: Location,
    out: Location,
    settings: Settings,
    shard: int,
    shards: int,
    progress: Progress | None = None,
    report: Report = ignore,
) -> Summary:
    """Do the work of `run` between parsed places."""
    if not 0 <= shard < shards:
        raise SettingsError(f"there is no shard {shard} of {shards}: count from 0")
    refuse_loop(source, out)
    return _Run(source, out, settings, shard, shards, progress or _Lines(), report).go(
        count=progress is not None
    )


class _Lines:
    """Progress as lines in the log."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, summary: Summary) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            log.info("back-fill in progress", extra={"fields": summary.as_dict()})


class _Predictor:
    """A `Predictor` that processes one image per CPU at a time, and measures the time."""

    def __init__(self, settings: Settings):
        self._runtime = Runtime(settings)
        # TensorFlow distributes one image over the CPUs itself, and there is one GPU.
        self.parallel = usable_cpus() if settings.engine_in_use == "litert" else 1
        self.intake = max(settings.annotate_in_flight, self.parallel + 2)
        # No client waits for an answer, so images may wait without end.
        self.limiter = PredictionLimiter.from_settings(
            settings,
            in_flight=self.parallel,
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
    report: Report
    unlisted: dict[str, str] = field(default_factory=dict)
    failures_in_a_row: int = 0
    started: float = field(default_factory=time.perf_counter)
    cpu_before: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        self.summary = Summary(str(self.source), str(self.out), self.shard, self.shards)
        self.predictor = _Predictor(self.settings)
        self.annotator = Annotator(self.out, self.predictor, self.settings)

    def go(self, *, count: bool) -> Summary:
        rows, summary = manifest.names_of(self.out.prefix, self.shard, self.shards)
        if count:
            self.summary.total = sum(1 for _ in self._images())
        with self.out.store.replacing(rows, manifest.CONTENT_TYPE) as file:
            for stored, future in self._in_flight():
                file.write(results.encoded(self._row(stored, future)))
                self._measure()
                self.progress(self.summary)
            for name, why in sorted(self.unlisted.items()):
                self.summary.pictures += 1
                stored = StoredObject(name, 0, 0, datetime.fromtimestamp(0, UTC))
                row = self._failed(stored, Unreadable(why))
                file.write(results.encoded(row))
        self._measure()
        fields = self.summary.as_dict()
        with self.out.store.replacing(summary, "application/json") as file:
            file.write(json.dumps(fields, indent=1).encode() + b"\n")
        log.log(
            logging.INFO if self.summary.complete else logging.ERROR,
            "back-fill ended"
            if self.summary.complete
            else "back-fill ended with failures: run it again",
            extra={"fields": fields},
        )
        return self.summary

    def _images(self) -> Iterator[StoredObject]:
        for stored in self.source.store.list(self.source.prefix, self._unlisted):
            is_folder = stored.name.endswith("/") and stored.size == 0
            in_shard = manifest.shard_of(stored.name, self.shards) == self.shard
            if in_shard and not is_folder and not stored.ours:
                yield stored

    def _unlisted(self, name: str, why: str) -> None:
        if manifest.shard_of(name, self.shards) == self.shard:
            self.unlisted[name] = why

    def _in_flight(self) -> Iterator[tuple[StoredObject, Future[Outcome]]]:
        """Yield the shard's images in order, each when it is done, while others are in flight.

        Only one image per thread is in memory; the rest of the window waits for a thread, or for
        an earlier image.
        """
        threads = self.predictor.intake
        window: deque[tuple[StoredObject, Future[Outcome]]] = deque()
        pool = ThreadPoolExecutor(threads, "image")
        try:
            for stored in self._images():
                if len(window) >= 4 * threads:
                    yield _when_done(window.popleft())
                window.append((stored, pool.submit(self._annotate, stored)))
            while window:
                yield _when_done(window.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _annotate(self, stored: StoredObject) -> Outcome:
        with self.predictor.limiter.intake(min(stored.size, self.settings.max_picture_bytes)):
            return self.annotator.annotate(self.source.store, stored)

    def _row(self, stored: StoredObject, future: Future[Outcome]) -> dict[str, Any]:
        self.summary.pictures += 1
        error = future.exception()
        if error is None:
            return self._done(future.result())
        return self._failed(stored, error)

    def _done(self, outcome: Outcome) -> dict[str, Any]:
        self.failures_in_a_row = 0
        if outcome.status == "annotated":
            self.summary.annotated += 1
        elif outcome.status == "refused":
            self.summary.refused += 1
            self.summary.not_images += not outcome.is_image
        else:
            self.summary.done_before += 1
        self.summary.faces += len(outcome.body.get("faces", []))
        if outcome.status == "refused":
            fields = {**outcome.body["source"], **outcome.body["error"]}
            log.warning("refused", extra={"fields": fields})
            self.report(fields["object"], fields["message"])
        return manifest.row_of(outcome)

    def _failed(self, stored: StoredObject, error: BaseException) -> dict[str, Any]:
        self.summary.failed += 1
        # One file that cannot be read says nothing about the others.
        self.failures_in_a_row += not isinstance(error, Unreadable)
        if isinstance(error, AgeGenderError):
            reported, unexpected = error, None
        else:
            reported, unexpected = AgeGenderError("an internal error occurred"), error
        log.error(
            "failed, to be retried",
            exc_info=unexpected,
            extra={
                "fields": {"object": stored.name, "code": reported.code, "detail": reported.message}
            },
        )
        self.report(stored.name, reported.message)
        if self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise BackfillStopped(
                f"{self.failures_in_a_row} pictures failed one after another, the last because: "
                f"{reported.message}"
            )
        return manifest.failed_row(self.source.store.label, stored, reported)

    def _measure(self) -> None:
        self.summary.seconds = time.perf_counter() - self.started
        self.summary.cpu_seconds = time.process_time() - self.cpu_before
        available = self.summary.seconds * self.predictor.parallel
        self.summary.pipeline_share = self.predictor.seconds / available


def _when_done(
    item: tuple[StoredObject, Future[Outcome]],
) -> tuple[StoredObject, Future[Outcome]]:
    item[1].exception()
    return item


def main(arguments: list[str] | None = None) -> int:
    """Run as a job; all arguments can come from the environment.

    Returns:
        0: everything is done, refused images with an ``.error.json``; 1: run it again; 2: settings
        or arguments are wrong.
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
    options = parser.parse_args(arguments)
    logs.set_up("info")  # for what is said of the settings themselves
    try:
        settings = get_settings()
        logs.set_up(settings.log)
        timeout = settings.annotate_storage_timeout
        source = locate(options.source, timeout) if options.source else input_of(settings)
        out = locate(options.out, timeout) if options.out else output_of(settings)
        return (
            0 if run_between(source, out, settings, options.shard, options.shards).complete else 1
        )
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except AgeGenderError as error:
        fields = {"code": error.code, "detail": error.message}
        log.error("back-fill stopped: run it again", extra={"fields": fields})
        return 1


if __name__ == "__main__":
    sys.exit(main())
