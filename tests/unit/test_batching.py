"""Concurrent runs are joined into batches, and no caller notices another, except by the speed."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.limits.limiter import PredictionLimiter
from age_gender.networks.batching import BatchingEngine
from age_gender.networks.engine import (
    Arrays,
    LiteRTEngine,
    Read,
    Taken,
    TensorFlowEngine,
    Write,
    copied,
)
from age_gender.runtime import Runtime
from age_gender.settings import Settings
from age_gender.vision import mesh, second_detector
from age_gender.vision.detectors.registry import DETECTORS, FACE_MESH, SECOND_DETECTOR
from age_gender.vision.model_spec import load_spec
from tests.unit.models import model

Float = NDArray[np.float32]

POISON = -1.0


class Sums:
    """Returns each sample's sum, and keeps a record of the batches.

    Attributes:
        batches: shape of each, in order.
        together: most runs at a time.
        gate: runs wait until it is open.
        memory: maximum samples; more are too many for it.
        seconds: that a run takes.
    """

    batch = 4

    def __init__(self, memory: int = 1000, seconds: float = 0.0) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.together = 0
        self.gate = threading.Event()
        self.gate.set()
        self.memory = memory
        self.seconds = seconds
        self._running = 0

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        return self.run_on(batch.shape, lambda data: np.copyto(data, batch), copied)

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        self._running += 1
        self.together = max(self.together, self._running)
        try:
            self.batches.append(shape)
            assert self.gate.wait(30)
            time.sleep(self.seconds)
            data = np.full(shape, np.nan, np.float32)
            write(data)
            if len(data) > self.memory:
                raise MemoryError("too many samples")
            if (data == POISON).any():
                raise ValueError("this one cannot be processed")
            return read({"sum": data.sum(axis=(1, 2, 3))[:, None]})
        finally:
            self._running -= 1


def picture(value: float, count: int = 1, side: int = 2) -> Float:
    return np.full((count, side, side, 3), value, np.float32)


class Callers:
    """Threads that run pictures on an engine, each of which has come before the next does."""

    def __init__(self, engine: BatchingEngine, pool: ThreadPoolExecutor):
        self._engine = engine
        self._pool = pool

    def come(self, batch: Float, before: int) -> Future[Arrays]:
        """Run a batch; return once it waits, as one of ``before + 1``."""
        future = self._pool.submit(self._engine.run, batch)
        until(lambda: len(self._engine._waiting) == before + 1)
        return future


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


@contextmanager
def busy(network: Sums, engine: BatchingEngine) -> Iterator[Callers]:
    """While the network is busy with a first picture; it ends with the block."""
    with ThreadPoolExecutor(32) as pool:
        network.gate.clear()
        pool.submit(engine.run, picture(0))
        until(lambda: len(network.batches) == 1)
        try:
            yield Callers(engine, pool)
        finally:
            network.gate.set()


def test_a_single_caller_does_not_wait() -> None:
    network = Sums()
    engine = BatchingEngine(network, 32)
    assert engine.run(picture(2))["sum"] == [[24]]
    assert engine.run(picture(1, count=3).astype(np.uint8))["sum"].tolist() == [[12]] * 3
    assert engine.run_on((1, 2, 2, 3), lambda data: data.fill(3), copied)["sum"] == [[36]]
    assert network.batches == [(1, 2, 2, 3), (4, 2, 2, 3), (1, 2, 2, 3)], "powers of two"


def test_those_who_come_meanwhile_run_together_and_get_their_own() -> None:
    network = Sums()
    engine = BatchingEngine(network, 32)
    with busy(network, engine) as callers:
        waiting = [callers.come(picture(n, count=1 + n % 2), n) for n in range(10)]
    for n, future in enumerate(waiting):
        assert future.result()["sum"].tolist() == [[12 * n]] * (1 + n % 2)
    assert network.batches[1:] == [(16, 2, 2, 3)], "15 samples in one run"


def test_batches_are_bounded_by_samples_and_pixels() -> None:
    for size, max_pixels in ((4, 1000), (32, 16)):
        network = Sums()
        engine = BatchingEngine(network, size, max_pixels)
        with busy(network, engine) as callers:
            waiting = [callers.come(picture(1), n) for n in range(6)]
        assert [future.result()["sum"] for future in waiting] == [[[12]]] * 6
        assert [shape[0] for shape in network.batches] == [1, 4, 2]
    assert BatchingEngine(Sums(), 2).batch == 2, "callers bring no more than fits"
    assert engine.run(picture(1, count=8))["sum"].shape == (8, 1), "one that does runs alone"


def test_only_pictures_of_one_shape_run_together_and_the_oldest_goes_first() -> None:
    network = Sums()
    engine = BatchingEngine(network, 32)
    with busy(network, engine) as callers:
        waiting = [callers.come(picture(1, side=side), n) for n, side in enumerate((3, 2, 3, 4, 2))]
    assert [future.result()["sum"][0, 0] for future in waiting] == [27, 12, 27, 48, 12]
    assert network.batches[1:] == [(2, 3, 3, 3), (2, 2, 2, 3), (1, 4, 4, 3)]


def test_many_faces_do_not_keep_others_waiting() -> None:
    """A picture of 40 faces takes ten runs; a caller that comes later is in the next one."""
    network = Sums()
    engine = BatchingEngine(network, 8)
    with busy(network, engine) as callers:
        crowd = callers._pool.submit(
            lambda: [engine.run(picture(1, count=engine.batch)) for _ in range(10)]
        )
        until(lambda: len(engine._waiting) == 1)
        single = callers.come(picture(2), 1)
    assert single.result()["sum"] == [[24]]
    assert len(crowd.result()) == 10
    assert network.batches[1] == (8, 2, 2, 3), "both in the first run after the busy one"


def test_one_that_fails_fails_alone() -> None:
    network = Sums()
    engine = BatchingEngine(network, 32)
    with busy(network, engine) as callers:
        waiting = [callers.come(picture(POISON if n == 2 else n), n) for n in range(5)]
    with pytest.raises(ValueError, match="cannot be processed"):
        waiting.pop(2).result()
    assert [future.result()["sum"][0, 0] for future in waiting] == [0, 12, 36, 48]
    assert engine.run(picture(1))["sum"] == [[12]], "and it goes on"


def test_a_batch_that_is_too_large_for_the_memory_runs_in_parts() -> None:
    network = Sums(memory=2)
    engine = BatchingEngine(network, 32)
    with busy(network, engine) as callers:
        waiting = [callers.come(picture(n), n) for n in range(3)]
    assert [future.result()["sum"][0, 0] for future in waiting] == [0, 12, 24]


def test_a_network_for_one_sample_mixes_no_callers() -> None:
    class Flat(Sums):
        def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
            return read({"sum": super().run_on(shape, write, copied)["sum"].reshape(1, -1)})

    network = Flat()
    engine = BatchingEngine(network, 32)
    with busy(network, engine) as callers:
        waiting = [callers.come(picture(n), n) for n in range(3)]
    assert [future.result()["sum"].tolist() for future in waiting] == [[[0]], [[12]], [[24]]]
    with pytest.raises(ModelUnavailable, match="does not take batches"):
        engine.run(picture(1, count=2))


def test_an_input_that_cannot_be_written_reaches_no_network() -> None:
    network = Sums()
    engine = BatchingEngine(network, 32)

    def fails(_: object) -> None:
        raise OSError("truncated")

    with pytest.raises(OSError, match="truncated"):
        engine.run_on((1, 2, 2, 3), fails, copied)
    assert network.batches == []


def test_many_callers_of_all_kinds() -> None:
    network = Sums(seconds=0.001)
    engine = BatchingEngine(network, 8)

    def call(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(30):
            batch = picture(0, *random.integers(1, 4, 2))
            batch[:] = random.integers(0, 9, batch.shape)
            if random.random() < 0.1:
                batch[-1, -1, -1, -1] = POISON
                with pytest.raises(ValueError, match="cannot be processed"):
                    engine.run(batch)
            else:
                want = batch.sum(axis=(1, 2, 3))[:, None]
                np.testing.assert_array_equal(engine.run(batch)["sum"], want)

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(call, range(24)))
    assert network.together == 1, "one run at a time"
    assert max(shape[0] for shape in network.batches) == 8


def test_only_a_gpu_is_batched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_of(settings: Settings) -> object:
        return Runtime(settings).estimator()._engine

    monkeypatch.setattr("age_gender.runtime.TensorFlowEngine", lambda *_, **__: Sums())
    model("agn-v2.tflite")
    assert isinstance(engine_of(Settings()), LiteRTEngine)
    assert isinstance(engine_of(Settings(engine="tensorflow")), Sums)
    assert isinstance(engine_of(Settings(gpu=True, gpu_batch=1)), Sums)
    batching = engine_of(Settings(gpu=True))
    assert isinstance(batching, BatchingEngine)
    assert batching._size == 32


def test_a_gpu_has_enough_predictions_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.limits.limiter.usable_cpus", lambda: 4)
    for settings, width in (
        (Settings(), 5),
        (Settings(gpu_batch=64), 5),
        (Settings(gpu=True), 36),
        (Settings(gpu=True, gpu_batch=1), 5),
        (Settings(gpu=True, max_in_flight=3), 3),
    ):
        limiter = PredictionLimiter.from_settings(settings, intake=1)
        assert limiter._predictions._width == width


def networks() -> dict[str, int]:
    """Side of an input, in pixels, for each network of a service."""
    settings = Settings()
    spec = load_spec(settings.models_dir, settings.attribute_model)
    detectors = {name: 160 for info in DETECTORS.values() for name in info.networks}
    return {
        **detectors,
        FACE_MESH: mesh.SIDE,
        SECOND_DETECTOR: second_detector.SIDE,
        settings.attribute_model: spec.chip.size,
    }


@pytest.mark.parametrize(("name", "side"), networks().items())
def test_networks_answer_the_same_in_a_batch(name: str, side: int) -> None:
    """To 1e-3, in each output; nothing of this has run on a GPU."""
    network = TensorFlowEngine(model(name), 2, gpu=False, gpu_fraction=0.25)
    random = np.random.default_rng(0)
    pictures = [
        random.uniform(0, 255, (1 + n % 2, side, side, 3)).astype(np.float32) for n in range(6)
    ]
    alone = [network.run(batch) for batch in pictures]
    samples = []

    class Recorded:
        batch = network.batch
        run = network.run

        def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
            samples.append(shape[0])
            return network.run_on(shape, write, read)

    engine = BatchingEngine(Recorded(), 32)
    with ThreadPoolExecutor(len(pictures)) as pool:
        together = list(pool.map(engine.run, pictures))
    for got, want in zip(together, alone, strict=True):
        assert got.keys() == want.keys()
        for output, array in want.items():
            np.testing.assert_allclose(got[output], array, atol=1e-3, rtol=1e-3)
    assert max(samples) > 2, "several callers' in one run"
