"""Models are loaded once per process, and again after a fork."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from age_gender.errors import ModelUnavailable
from age_gender.runtime import Lazy, Runtime, check_models
from age_gender.settings import FUNCTION_DIR, Settings
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.detectors.registry import VERIFYING
from age_gender.vision.pipeline import Options
from tests.unit.models import model
from tests.unit.pictures import encoded, noise

THREADS = 32
NOISE = encoded(noise(40, 40), "PNG")


class TestLazy:
    def test_made_once_for_many_threads(self) -> None:
        made: list[object] = []
        all_here = threading.Barrier(THREADS)

        def make() -> object:
            made.append(object())
            threading.Event().wait(0.01)  # long enough for the other threads
            return made[-1]

        lazy = Lazy("thing", make)

        def ask(_: int) -> object:
            all_here.wait(60)
            return lazy()

        with ThreadPoolExecutor(THREADS) as pool:
            answers = set(map(id, pool.map(ask, range(THREADS))))
        assert len(made) == 1
        assert answers == {id(made[0])}

    def test_a_failure_is_not_kept(self) -> None:
        outcomes: Iterator[Exception | str] = iter(
            [ModelUnavailable("not yet"), ModelUnavailable("nor now"), "value"]
        )

        def make() -> str:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        lazy = Lazy("thing", make)
        for said in ("not yet", "nor now"):
            with pytest.raises(ModelUnavailable, match=said):
                lazy()
        assert lazy() == lazy() == "value"


class TestRuntime:
    def test_nothing_is_loaded_before_it_is_needed(self, tmp_path: Path) -> None:
        Runtime(Settings(models_dir=tmp_path / "missing"))

    @pytest.mark.parametrize(
        "options", [Options(), Options(face_detector="accurate", get_attributes=False)]
    )
    def test_missing_models_are_reported(self, tmp_path: Path, options: Options) -> None:
        runtime = Runtime(Settings(models_dir=tmp_path))
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                runtime.pipeline.run(runtime.open_image(NOISE), options)

    def test_models_that_appear_later_are_loaded(self, tmp_path: Path) -> None:
        file = model("retinaface.tflite")
        with_models(tmp_path, "agn-v2.tflite")
        runtime = Runtime(Settings(models_dir=tmp_path, inference_threads=1))
        image = runtime.open_image(NOISE)
        options = Options(face_detector="accurate", get_attributes=False)
        with pytest.raises(ModelUnavailable):
            runtime.pipeline.run(image, options)
        (tmp_path / file.name).symlink_to(file)
        assert runtime.pipeline.run(image, options).size == (40, 40)

    def test_the_estimator_has_the_specification_of_its_model(self) -> None:
        settings = Settings()
        model(f"{settings.attribute_model}.tflite")
        estimator = Runtime(settings).estimator()
        assert isinstance(estimator, AttributeEstimator)
        assert estimator.spec.name

    @pytest.mark.parametrize(
        ("settings", "engine"),
        [
            (Settings(), "litert"),
            (Settings(engine="tensorflow"), "tensorflow"),
            (Settings(gpu=True), "tensorflow"),
        ],
    )
    def test_a_gpu_means_tensorflow(self, settings: Settings, engine: str) -> None:
        assert Runtime(settings).engine == engine


class TestCheckModels:
    def test_all_there(self) -> None:
        model("retinaface.tflite")
        check_models(Settings())

    @pytest.mark.defends("no-models")
    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match="make models"):
            check_models(Settings(models_dir=tmp_path))

    @pytest.mark.parametrize(
        ("engine", "missing"),
        [
            ("litert", "agn-v2.tflite, retinaface.tflite, facemesh.tflite, blazeface.tflite"),
            (
                "tensorflow",
                "agn-v2/saved_model.pb, retinaface/saved_model.pb, facemesh/saved_model.pb, "
                "blazeface/saved_model.pb",
            ),
        ],
    )
    def test_missing_networks_are_named(
        self, tmp_path: Path, engine: Literal["litert", "tensorflow"], missing: str
    ) -> None:
        shutil.copytree(Settings().models_dir / "specs", tmp_path / "specs")
        with pytest.raises(ModelUnavailable, match=missing):
            check_models(Settings(models_dir=tmp_path, engine=engine))

    def test_an_unknown_attribute_model(self) -> None:
        with pytest.raises(ModelUnavailable, match=r"unknown model 'agn'; available: agn-v2"):
            check_models(Settings(attribute_model="agn"))


def with_models(folder: Path, *names: str) -> None:
    """Copy networks and all specifications."""
    for name in names:
        shutil.copyfile(model(name), folder / name)
    specs = Settings().models_dir / "specs"
    shutil.copytree(specs, folder / "specs")


@pytest.mark.defends("replaced-model")
def test_the_bytes_that_were_verified_are_used(tmp_path: Path) -> None:
    source = model("retinaface.tflite")
    file = tmp_path / source.name
    with_models(tmp_path, source.name, *(f"{n}.tflite" for n in VERIFYING), "agn-v2.tflite")
    runtime = Runtime(Settings(models_dir=tmp_path, inference_threads=1))
    options = Options(face_detector="accurate", get_attributes=False, confidence=0.01)
    before = runtime.pipeline.run(runtime.open_image(NOISE), options)
    file.write_bytes(b"something else")
    larger = encoded(noise(300, 200), "PNG")  # of another shape, so another interpreter
    assert runtime.pipeline.run(runtime.open_image(larger), options).size == (300, 200)
    assert runtime.pipeline.run(runtime.open_image(NOISE), options).faces == before.faces


FORK = """
import os, sys
from age_gender.runtime import get_runtime

parent = get_runtime()
assert get_runtime() is parent
child = os.fork()
if child == 0:
    other = get_runtime()
    os._exit(0 if other is not parent and get_runtime() is other else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert get_runtime() is parent
sys.exit(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_makes_its_own() -> None:
    # In a process of its own: forking one that has many threads is asking for trouble.
    subprocess.run([sys.executable, "-c", FORK], cwd=FUNCTION_DIR, check=True, timeout=60)
