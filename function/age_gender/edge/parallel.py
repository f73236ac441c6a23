"""Predicts the pictures of one request in parallel, within limits for all of them together.

All such requests together count as a few clients, however many pictures they have: as many of these
are predicted or wait for that as there are CPUs, and all share a few additional threads.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from age_gender.edge import answers
from age_gender.edge.ignored import check_ignored
from age_gender.edge.prediction import Call, Predictions
from age_gender.edge.problems import Problem
from age_gender.edge.several import Entry
from age_gender.errors import AgeGenderError, Busy, ClientGone, ImageTooLarge, ModelUnavailable
from age_gender.limits.cpus import usable_cpus
from age_gender.limits.limiter import PredictionLimiter
from age_gender.settings import Settings
from age_gender.vision.stopwatch import Stopwatch

log = logging.getLogger(__name__)

MAX_PARALLEL = 4
"""Pictures of one request that are fetched, unpacked or predicted at a time."""
THREADS = 8
"""Shared by all requests; each also uses the thread that it came on."""
MAX_SECONDS = 30.0
"""Time after which no further picture of a request is begun."""


@dataclass
class Answers:
    """What came of a request's pictures.

    Attributes:
        results: one for each picture: its answer, or ``{"error": …}``.
        stages: milliseconds by stage, of all pictures.
        faces: number of faces.
        failed: number of pictures that failed.
    """

    results: list[dict[str, Any]]
    stages: dict[str, float] = field(default_factory=dict)
    faces: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Shared:
    """What all requests share."""

    settings: Settings
    limiter: PredictionLimiter
    predictions: Predictions
    slots: threading.Semaphore


class ParallelPredictions:
    """Answers requests for several pictures."""

    def __init__(self, settings: Settings, limiter: PredictionLimiter, predictions: Predictions):
        """Start no thread.

        Args:
            settings: limits.
            limiter: of the process.
            predictions: fetches and predicts one.
        """
        slots = threading.Semaphore(usable_cpus())
        self._shared = _Shared(settings, limiter, predictions, slots)
        self._pool = ThreadPoolExecutor(THREADS, "several")

    def run(self, entries: list[Entry], call: Call) -> Answers:
        """Answer all pictures; one that fails ends none of the others.

        Args:
            entries: the pictures; emptied, so that each is released when it was read.
            call: the request; its reservation holds the bytes of the pictures and answers.

        Raises:
            ClientGone: the answers are not wanted any more.
            Busy: there was no capacity for any picture.
            ModelUnavailable: a model is missing, which all pictures need.
        """
        batch = _Batch(self._shared, entries, call)
        others = [self._pool.submit(batch.work) for _ in range(min(MAX_PARALLEL, batch.size) - 1)]
        batch.work()
        for other in others:
            if not other.cancel():  # it has begun
                other.result()
        return batch.answers()


class _Batch:
    """The pictures of one request, and what has come of them so far."""

    def __init__(self, shared: _Shared, entries: list[Entry], call: Call):
        self._shared = shared
        self._call = call
        self._end = time.monotonic() + MAX_SECONDS
        self.size = len(entries)
        self._held = sum(entry.size for entry in entries)
        self._left = deque(enumerate(entries))
        entries.clear()
        self._results: list[dict[str, Any] | Problem] = [{}] * self.size
        self._max_image_bytes = answers.max_image_bytes(as_image=False) // self.size
        self._lock = threading.Lock()
        self._bytes = _Allowance(shared.settings.max_body_bytes, "bytes")
        self._pixels = _Allowance(shared.settings.max_pixels, "pixels")
        self._stages: dict[str, float] = {}
        self._faces = 0
        self._fatal: AgeGenderError | None = None

    def work(self) -> None:
        """Answer pictures until none is left; several threads may do so."""
        while self._fatal is None:
            try:
                index, entry = self._left.popleft()
            except IndexError:
                return
            try:
                answered: dict[str, Any] | Problem = self._answer(entry)
            except Problem as problem:
                answered = problem
            except (ClientGone, ModelUnavailable) as error:
                self._fatal = error
                return
            except AgeGenderError as error:
                answered = Problem.of(error)
            except Exception:
                fields = {"request_id": self._call.request_id, "image": index}
                log.exception("unexpected error", extra={"fields": fields})
                answered = Problem("internal", "an unexpected error occurred; it is logged")
            self._results[index] = answered
            self._hold(_size_of(answered) - entry.size)

    def answers(self) -> Answers:
        """Return what came of the pictures; see `ParallelPredictions.run`."""
        if self._fatal is not None:
            raise self._fatal
        problems = [result for result in self._results if isinstance(result, Problem)]
        if len(problems) == len(self._results) and {p.code for p in problems} == {Busy.code}:
            raise problems[0]
        results = [
            {"error": result.body(self._call.request_id)} if isinstance(result, Problem) else result
            for result in self._results
        ]
        return Answers(results, self._stages, self._faces, len(problems))

    def _answer(self, entry: Entry) -> dict[str, Any]:
        watch = Stopwatch()
        self._check_time()
        with ExitStack() as stack:
            with self._shared.limiter.intake(wanted=self._call.wanted), watch.stage("fetch"):
                fields, encoded = entry.read()
            warnings = check_ignored(fields, entry.unused)
            if encoded is None:
                fetched = stack.enter_context(self._shared.limiter.reserve_fetched())
                with watch.stage("fetch"):
                    encoded = self._shared.predictions.fetch(
                        fields.url or "", fetched, self._call.wanted, self._bytes.take
                    )
            else:
                self._bytes.take(len(encoded))
            image = self._shared.predictions.open(encoded)
            del encoded
            self._pixels.take(image.header.pixels)
            options = self._shared.predictions.options(fields, self._max_image_bytes)
            with self._slot():
                result = self._shared.predictions.run(image, options, self._call.wanted)
            answer = answers.prediction_body(result, warnings)
        with self._lock:
            self._faces += len(result.faces)
            for name, ms in [*watch.stages.items(), *result.stages.items()]:
                self._stages[name] = self._stages.get(name, 0) + ms
        return answer

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._shared.slots.acquire(timeout=max(0.0, self._end - time.monotonic())):
            raise self._too_late()
        try:
            self._check_time()
            yield
        finally:
            self._shared.slots.release()

    def _check_time(self) -> None:
        if self._shared.limiter.is_stopping:
            raise Busy("this instance is shutting down: send this picture again", retry_after=1)
        if time.monotonic() > self._end:
            raise self._too_late()

    def _too_late(self) -> Busy:
        return Busy(
            f"the pictures of this request took more than {MAX_SECONDS:g} s: send this one again, "
            "with fewer others",
            retry_after=1,
        )

    def _hold(self, change: int) -> None:
        with self._lock:
            self._held += change
            self._call.reservation.resize(max(0, self._held))


class _Allowance:
    """What all pictures of a request may have together."""

    def __init__(self, total: int, unit: str):
        self._total = total
        self._left = total
        self._unit = unit
        self._lock = threading.Lock()

    def take(self, amount: int) -> None:
        """Take some.

        Raises:
            ImageTooLarge: not that much is left.
        """
        with self._lock:
            if amount > self._left:
                raise ImageTooLarge(
                    f"the pictures of this request have more than {self._total:,} {self._unit} "
                    "together: send this one in another request"
                )
            self._left -= amount


def _size_of(answer: dict[str, Any] | Problem) -> int:
    """Bytes that an answer holds, for the most part: those of its image."""
    return 0 if isinstance(answer, Problem) else len(answer.get("image", ""))
