"""The bucket trigger and the back-fill take on no more than there is memory for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cloudevents.http import CloudEvent
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ServiceUnavailable

from age_gender.batch import events
from age_gender.batch.annotate import Outcome, predict_with
from age_gender.batch.results import ResultNames
from age_gender.errors import ImageTooLarge
from age_gender.limits.admission import Shutdown
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.settings import Settings
from age_gender.vision.pipeline import Options
from tests.unit.pictures import encoded

LONG = 60.0
MiB = 1 << 20
PLACES = Settings(input_bucket="in", output_bucket="out")


class SlowAnnotator:
    """Annotates until it is released."""

    started = threading.Semaphore(0)
    release = threading.Event()

    def __init__(self, *_: Any):
        pass

    def annotate(self, *_: Any) -> Outcome:
        SlowAnnotator.started.release()
        assert SlowAnnotator.release.wait(LONG)
        return Outcome("annotated", ResultNames("a", "b", "c"), {"faces": []})


@pytest.fixture(autouse=True)
def slow_annotator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowAnnotator, "release", threading.Event())
    monkeypatch.setattr(events, "Annotator", SlowAnnotator)


def upload(size: int) -> CloudEvent:
    attributes = {"type": events.FINALIZED, "source": "//storage", "id": "1"}
    data = {
        "bucket": "in",
        "name": "a.jpg",
        "generation": "1",
        "size": str(size),
        "timeCreated": "2026-11-01T00:00:00Z",
    }
    return CloudEvent(attributes, data)


@pytest.mark.parametrize(
    ("sizes", "another"),
    [([20 * MiB], 13 * MiB), ([MiB] * 8, MiB)],
    ids=["bytes", "number"],
)
def test_an_upload_beyond_the_bounds_is_delivered_again(sizes: list[int], another: int) -> None:
    settings = Settings(
        input_bucket="in", output_bucket="out", max_held_bytes=32 * MiB, queue_timeout=0.05
    )
    handler = events.Handler(settings)
    with ThreadPoolExecutor(len(sizes)) as pool:
        handled = [pool.submit(handler, upload(size), Headers()) for size in sizes]
        for _ in sizes:
            assert SlowAnnotator.started.acquire(timeout=LONG)
        try:
            with pytest.raises(ServiceUnavailable):
                handler(upload(another), Headers())
        finally:
            SlowAnnotator.release.set()
        for one in handled:
            one.result(LONG)
    handler(upload(another), Headers())


def test_an_upload_that_would_wait_during_shutdown_is_delivered_again() -> None:
    shutdown = Shutdown()
    settings = Settings(
        input_bucket="in", output_bucket="out", annotate_in_flight=1, queue_timeout=LONG
    )
    handler = events.Handler(settings, shutdown=shutdown)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(handler, upload(MiB), Headers())
        assert SlowAnnotator.started.acquire(timeout=LONG)
        shutdown.begin()
        try:
            with pytest.raises(ServiceUnavailable):
                handler(upload(MiB), Headers())
        finally:
            SlowAnnotator.release.set()
        first.result(LONG)


def test_a_picture_larger_than_the_memory_is_refused() -> None:
    limiter = PredictionLimiter(
        in_flight=1, intake=1, queue=0, timeout=LONG, max_pixels=99, max_bytes=MiB
    )
    data = encoded(np.zeros((10, 10, 3), np.uint8), "PNG")
    with pytest.raises(ImageTooLarge):
        predict_with(Runtime(Settings()), limiter, data, Options())
