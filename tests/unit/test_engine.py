"""Networks run on arrays: damage is told, memory is bounded, threads do not disturb each other."""

import random
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.limits import cpus
from age_gender.limits.cpus import CpuShares
from age_gender.networks import engine
from age_gender.networks.engine import LiteRTEngine, TensorFlowEngine
from age_gender.vision.detectors.retinaface import RetinaFaceDetector
from tests.unit.models import model
from tests.unit.pictures import portrait

Float = NDArray[np.float32]
Shape = tuple[int, ...]


def batch_of(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


class TestMissingOrDamaged:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match=r"x\.tflite is missing: run `make models`"):
            LiteRTEngine(tmp_path / "x.tflite", CpuShares(1))

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match="missing"):
            LiteRTEngine(tmp_path, CpuShares(1))

    @pytest.mark.parametrize("size", [0, 1, 100, 100_000])
    def test_random_bytes(self, tmp_path: Path, size: int) -> None:
        file = tmp_path / "x.tflite"
        file.write_bytes(random.Random(size).randbytes(size))
        with pytest.raises(ModelUnavailable, match="damaged"):
            LiteRTEngine(file, CpuShares(1)).run(batch_of(1, 64, 64, 3))

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 0.99999])
    def test_cut_off(self, tmp_path: Path, share: float) -> None:
        whole = model("retinaface.tflite").read_bytes()
        file = tmp_path / "x.tflite"
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelUnavailable, match="run `make models`"):
            LiteRTEngine(file, CpuShares(1)).run(batch_of(1, 64, 64, 3))

    def test_messages_do_not_tell_where_the_service_lives(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable) as caught:
            LiteRTEngine(tmp_path / "x.tflite", CpuShares(1))
        assert str(tmp_path) not in caught.value.message


class Prepared:
    """Stands for an interpreter, and counts how often one was prepared for each shape."""

    made: list[Shape]
    interpreters: "list[Prepared]"

    def __init__(self, _path: Path, threads: int):
        self.threads = threads
        self.shape: Shape = ()
        self.pixels = 0
        self.interpreters.append(self)

    def resize_input(self, shape: Shape) -> None:
        self.shape = shape
        self.pixels = max(self.pixels, engine._cost(shape))
        self.made.append(shape)

    def run_on(self, write: engine.Write) -> dict[str, Float]:
        write(np.zeros(self.shape, np.float32))
        return {}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Shape]:
    Prepared.made, Prepared.interpreters = [], []
    monkeypatch.setattr(engine, "_Prepared", Prepared)
    monkeypatch.setattr(engine, "FIXED_PIXELS", 0)
    return Prepared.made


@pytest.fixture
def small_budget(tmp_path: Path, prepared: list[Shape]) -> LiteRTEngine:
    """Room for two shapes of 32 x 32."""
    file = tmp_path / "x.tflite"
    file.touch()
    return LiteRTEngine(file, CpuShares(1), keep_pixels=2 * 32 * 32)


class TestPreparedShapes:
    FIRST, SECOND, THIRD = (1, 32, 32, 3), (1, 16, 64, 3), (1, 64, 16, 3)

    def run(self, small: LiteRTEngine, *shapes: Shape) -> None:
        for shape in shapes:
            small.run(np.zeros(shape, np.float32))

    def test_made_once_each(self, small_budget: LiteRTEngine, prepared: list[Shape]) -> None:
        self.run(small_budget, *[self.FIRST, self.SECOND] * 3)
        assert prepared == [self.FIRST, self.SECOND]

    def test_the_one_not_used_for_longest_goes(
        self, small_budget: LiteRTEngine, prepared: list[Shape]
    ) -> None:
        self.run(small_budget, self.FIRST, self.SECOND, self.FIRST, self.THIRD, self.FIRST)
        assert prepared == [self.FIRST, self.SECOND, self.THIRD]
        self.run(small_budget, self.SECOND)
        assert prepared[3:] == [self.SECOND]

    def test_larger_than_the_budget_is_not_kept(
        self, small_budget: LiteRTEngine, prepared: list[Shape]
    ) -> None:
        large = (1, 64, 64, 3)
        self.run(small_budget, large, large)
        assert prepared == [large, large]
        assert not small_budget._idle

    def test_what_is_kept_stays_within_the_budget(
        self, small_budget: LiteRTEngine, prepared: list[Shape]
    ) -> None:
        chosen = random.Random(1)
        for _ in range(200):
            shape = (chosen.randint(1, 3), chosen.randint(1, 48), chosen.randint(1, 48), 3)
            self.run(small_budget, shape)
            kept = sum(engine._cost(prepared.shape) for prepared in small_budget._idle)
            assert kept <= small_budget._held() <= 2 * 32 * 32

    def test_beyond_the_budget_an_idle_one_is_turned(
        self, small_budget: LiteRTEngine, prepared: list[Shape]
    ) -> None:
        self.run(small_budget, self.FIRST, self.SECOND, self.THIRD, self.FIRST)
        assert len(prepared) == 4
        assert len(Prepared.interpreters) == 2

    def test_a_run_that_fails_does_not_block_the_next(
        self, small_budget: LiteRTEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_self: Prepared, _write: engine.Write) -> dict[str, Float]:
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(Prepared, "run_on", fail)
            with pytest.raises(RuntimeError):
                self.run(small_budget, self.FIRST)
        assert small_budget._held() == 0
        self.run(small_budget, self.FIRST)

    def test_an_input_that_cannot_be_written_does_no_harm(self, small_budget: LiteRTEngine) -> None:
        def fail(_into: Float) -> None:
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            small_budget.run_on(self.FIRST, fail)
        assert small_budget._held() == 0
        self.run(small_budget, self.FIRST)


class Shared:
    """An engine of two CPUs, whose runs wait until they are let go."""

    SHAPE = (1, 32, 32, 3)

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        path.touch()
        self.cpus = CpuShares(2)
        self.engine = LiteRTEngine(path, self.cpus, keep_pixels=32 * 32, max_pixels=2 * 32 * 32)
        self.running = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.at_once: list[int] = []
        self._now = 0
        monkeypatch.setattr(Prepared, "run_on", self._run)

    def _run(self, _write: engine.Write) -> dict[str, Float]:
        self._now += 1
        self.at_once.append(self._now)
        self.running.release()
        assert self.go.acquire(timeout=10)
        self._now -= 1
        return {}

    def work(self) -> None:
        with self.cpus.picture():
            self.engine.run(np.zeros(self.SHAPE, np.float32))


@pytest.mark.usefixtures("prepared")
class TestShared:
    @pytest.fixture
    def shared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
        return Shared(tmp_path / "x.tflite", monkeypatch)

    def test_alone_on_all_cpus_together_on_one_each(self, shared: Shared) -> None:
        with ThreadPoolExecutor(2) as pool:
            alone = pool.submit(shared.work)
            assert shared.running.acquire(timeout=10)
            second = pool.submit(shared.work)
            assert shared.running.acquire(timeout=10)
            shared.go.release(2)
            alone.result(10)
            second.result(10)
        assert [made.threads for made in Prepared.interpreters] == [2, 1]

    def test_no_more_runs_at_a_time_than_cpus(self, shared: Shared) -> None:
        with ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(shared.work) for _ in range(3)]
            for _ in range(2):
                assert shared.running.acquire(timeout=10)
            assert not shared.running.acquire(timeout=0.3)
            shared.go.release(3)
            for job in jobs:
                job.result(10)

    def test_what_is_too_large_together_runs_one_after_the_other(self, shared: Shared) -> None:
        with ThreadPoolExecutor(2) as pool:
            large = pool.submit(shared.engine.run, np.zeros((1, 64, 64, 3), np.float32))
            assert shared.running.acquire(timeout=10)
            small = pool.submit(shared.work)
            assert not shared.running.acquire(timeout=0.3)
            shared.go.release(2)
            large.result(10)
            small.result(10)
        assert shared.at_once == [1, 1]

    def test_pictures_that_wait_for_a_cpu_have_no_memory_kept(self, shared: Shared) -> None:
        shared.go.release(3)
        with shared.cpus.picture(), shared.cpus.picture(), shared.cpus.picture():
            for shape in [(1, 32, 32, 3), (1, 16, 64, 3), (1, 64, 16, 3)]:
                shared.engine.run(np.zeros(shape, np.float32))
            assert shared.engine._held() == 2 * 32 * 32

    def test_what_a_busy_moment_took_goes_after_it(
        self, shared: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(shared.work) for _ in range(2)]
            for _ in jobs:
                assert shared.running.acquire(timeout=10)
            shared.go.release(2)
            for job in jobs:
                job.result(10)
        assert shared.engine._held() == 2 * 32 * 32
        monkeypatch.setattr(cpus, "BUSY_SECONDS", 0)
        monkeypatch.setattr(shared.cpus, "_busy_until", 0.0)
        shared.go.release()
        shared.work()
        assert shared.engine._held() == 32 * 32
        assert len(shared.engine._idle) == 1


class TestLiteRT:
    def test_a_turned_interpreter_answers_as_a_new_one(self) -> None:
        """One for all shapes, none of which is computed with what another has left."""
        turned = LiteRTEngine(model("retinaface.tflite"), CpuShares(1), keep_pixels=128 * 96)
        for shape in [(1, 96, 128, 3), (1, 64, 64, 3), (1, 128, 96, 3), (1, 64, 64, 3)]:
            batch = batch_of(*shape)
            alone = LiteRTEngine(model("retinaface.tflite"), CpuShares(1)).run(batch)
            for name, array in turned.run(batch).items():
                np.testing.assert_array_equal(array, alone[name])

    def test_threads_get_what_one_alone_gets(self) -> None:
        shared = LiteRTEngine(model("retinaface.tflite"), CpuShares(1), keep_pixels=64 * 64 * 2)
        shapes = [(1, 64, 64, 3), (1, 32, 96, 3), (1, 96, 64, 3)]
        batches = [batch_of(*shapes[i % 3], seed=i) for i in range(24)]
        expected = [shared.run(batch) for batch in batches]
        with ThreadPoolExecutor(8) as pool:
            for got, want in zip(pool.map(shared.run, batches), expected, strict=True):
                assert got.keys() == want.keys()
                for name in want:
                    np.testing.assert_array_equal(got[name], want[name])

    def test_results_are_not_overwritten_by_the_next_run(self) -> None:
        shared = LiteRTEngine(model("retinaface.tflite"), CpuShares(1))
        first = shared.run(batch_of(1, 64, 64, 3, seed=1))
        kept = {name: array.copy() for name, array in first.items()}
        shared.run(batch_of(1, 64, 64, 3, seed=2))
        for name, array in first.items():
            np.testing.assert_array_equal(array, kept[name])

    def test_a_batch_is_answered_as_its_samples_alone(self) -> None:
        shared = LiteRTEngine(model("faceres.tflite"), CpuShares(1))
        batch = batch_of(3, 224, 224, 3)
        together = shared.run(batch)
        assert together["age"].shape == (3, 100)
        assert together["gender"].shape == (3, 1)
        np.testing.assert_allclose(together["age"].sum(axis=1), 1, atol=1e-4)
        for i in range(3):
            alone = shared.run(batch[i : i + 1])
            np.testing.assert_allclose(alone["age"][0], together["age"][i], atol=1e-4)


class TestTensorFlow:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match=r"x/ is missing: run `make models`"):
            TensorFlowEngine(tmp_path / "x", 1, gpu=False, gpu_fraction=0.25)

    def test_not_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "saved_model.pb").touch()
        monkeypatch.setattr(engine, "_tensorflow", None)
        monkeypatch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(ModelUnavailable, match=r"requirements-tensorflow\.txt"):
            TensorFlowEngine(tmp_path, 1, gpu=False, gpu_fraction=0.25)

    @pytest.mark.parametrize(
        ("name", "shape", "tolerance"),
        [
            # Int8 in most of it, on noise, where it errs more than on photos.
            ("retinaface", (1, 96, 64, 3), 0.5),
            # Weights in half precision, so outputs agree to about three digits.
            ("faceres", (2, 224, 224, 3), 0.02),
        ],
    )
    def test_parity_with_litert(self, name: str, shape: Shape, tolerance: float) -> None:
        lite = LiteRTEngine(model(f"{name}.tflite"), CpuShares(2))
        full = TensorFlowEngine(model(name), 2, gpu=False, gpu_fraction=0.25)
        batch = batch_of(*shape)
        got, want = lite.run(batch), full.run(batch)
        assert got.keys() == want.keys()
        for output in want:
            assert got[output].dtype == want[output].dtype == np.float32
            np.testing.assert_allclose(got[output], want[output], atol=tolerance, rtol=0.02)

    def test_int8_finds_on_a_photo_what_float32_finds(self) -> None:
        lite = LiteRTEngine(model("retinaface.tflite"), CpuShares(2))
        full = TensorFlowEngine(model("retinaface"), 2, gpu=False, gpu_fraction=0.25)
        found, wanted = (
            RetinaFaceDetector(engine).detect(portrait(), 0.5, 0.5) for engine in (lite, full)
        )
        assert len(found) == len(wanted) == 1
        side = float((wanted.boxes[0, 2:] - wanted.boxes[0, :2]).max())
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.025 * side)
        assert found.landmarks is not None
        assert wanted.landmarks is not None
        np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=0.03 * side)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=0.05)

    @pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/variables.index"])
    def test_damaged_folder(self, tmp_path: Path, damaged: str) -> None:
        folder = tmp_path / "faceres"
        shutil.copytree(model("faceres"), folder)
        (folder / damaged).write_bytes(b"not what it was")
        with pytest.raises(ModelUnavailable, match="faceres/ is damaged: run `make models`"):
            TensorFlowEngine(folder, 1, gpu=False, gpu_fraction=0.25)
