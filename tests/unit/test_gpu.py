"""A start that requires a GPU fails without one, and the CPU is not used instead."""

import shutil
import subprocess
from pathlib import Path

import pytest

from age_gender.errors import ModelUnavailable
from age_gender.networks.gpu import require_gpu
from age_gender.runtime import Runtime, check_models
from age_gender.settings import Settings

DRIVER = """
int cuInit(unsigned flags) {{ return {failure}; }}
int cuDeviceGetCount(int *count) {{ *count = {count}; return 0; }}
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder from which libraries are loaded; it has no driver yet."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, *, count: int = 1, failure: int = 0) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("NOT CHECKED: there is no C compiler for a stand-in of NVIDIA's driver")
    source = folder / "driver.c"
    source.write_text(DRIVER.format(count=count, failure=failure))
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)


def test_a_gpu_is_enough(driver: Path) -> None:
    install(driver)
    require_gpu()


@pytest.mark.parametrize(("count", "failure"), [(0, 0), (1, 100)])
def test_a_driver_without_a_gpu(driver: Path, count: int, failure: int) -> None:
    install(driver, count=count, failure=failure)
    with pytest.raises(ModelUnavailable, match="GPU_REQUIRED"):
        require_gpu()


def test_no_driver(driver: Path) -> None:
    (driver / "libcuda.so.1").write_text("no library")
    with pytest.raises(ModelUnavailable, match="GPU_REQUIRED"):
        require_gpu()


def test_a_start_fails_only_where_a_gpu_is_required(driver: Path, tmp_path: Path) -> None:
    (driver / "libcuda.so.1").write_text("no library")
    folder = tmp_path / "models"
    settings = Settings(models_dir=folder, gpu=True, gpu_required=True)
    with pytest.raises(ModelUnavailable, match="there is no GPU"):
        check_models(settings)
    with pytest.raises(ModelUnavailable, match="make models"):
        check_models(settings.model_copy(update={"gpu_required": False}))


def test_a_prediction_fails_where_tensorflow_finds_no_gpu() -> None:
    with pytest.raises(ModelUnavailable, match="there is no GPU"):
        Runtime(Settings(gpu=True, gpu_required=True)).estimator()
