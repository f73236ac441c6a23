"""The wheel: its contents, and the installed package at work, away from the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from age_gender import __version__
from modelbuild.catalogue import MODELS_DIR
from testing.service import ROOT, START_SECONDS, free_port
from tests.unit.models import all_models, model

PACKAGE = ROOT / "function" / "age_gender"
SAMPLE = PACKAGE / "edge" / "web" / "sample.jpg"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, with the networks that are there."""
    all_models()
    model("manifest.json")
    source = tmp_path_factory.mktemp("source")
    for name in ("function", "modelbuild", "requirements", "LICENSES"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *pip,
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            f"--wheel-dir={out}",
            str(source),
        ],
        check=True,
        timeout=300,
    )
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", f"--target={folder}", str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    return folder


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site)}


def age_gender(site: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the console script in an empty folder."""
    empty = site.parent / "empty"
    empty.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, site / "bin" / "age-gender", *arguments],
        cwd=empty,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    info = f"age_gender_estimation-{__version__}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith(info)}
        metadata = archive.read(f"{info}METADATA").decode()
    models = {"manifest.json", *(path.name for path in (PACKAGE / "models").glob("*.tflite"))}
    kept = {
        path.relative_to(ROOT / "function").as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and (path.parent.name in ("specs", "web") or PACKAGE / "models" not in path.parents)
    }
    assert names == {
        *kept,
        *(f"age_gender/models/{name}" for name in models),
        "age_gender/function/main.py",
    }
    for extra in ("cli", "video", "pandas", "plot", "tensorflow", "train", "dev"):
        assert f"Provides-Extra: {extra}" in metadata
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert {"numpy", "opencv-python-headless", "ai-edge-litert", "jinja2", "typer"} <= set(required)
    assert not {"tensorflow-cpu", "watchfiles", "pytest"} & set(required)


def test_version_and_help(site: Path) -> None:
    assert age_gender(site, "--version").stdout == f"age-gender {__version__}\n"
    assert "predict" in age_gender(site, "--help").stdout


def test_predict(site: Path) -> None:
    done = age_gender(site, "predict", SAMPLE, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["faces"]) == 1


def test_the_python_api(site: Path) -> None:
    code = (
        "import age_gender; print(age_gender.__file__); "
        f"print(len(age_gender.FaceAnalyzer().analyze({str(SAMPLE)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.parent,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == [str(site / "age_gender" / "__init__.py"), "1"]


def test_doctor(site: Path) -> None:
    done = age_gender(site, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["models"]["status"] == "ok"


def test_doctor_reports_a_damaged_model(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    (copy / "age_gender" / "models" / "retinaface.tflite").write_bytes(b"x" * 100)
    done = age_gender(copy, "doctor", "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "retinaface" in checks["models"]["found"]
    assert "install the package again" in checks["models"]["fix"]


def test_commands_for_a_checkout_say_so(site: Path) -> None:
    for command in (["models"], ["serve", "--reload"]):
        done = age_gender(site, *command)
        assert done.returncode == 1
        assert "checkout" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def served(site: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, site / "bin" / "age-gender", "serve", "--port", str(port)],
            cwd=tmp_path,
            env=environment(site),
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_serve(served: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            health = requests.get(f"{served}/health", timeout=5)
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
    assert health.status_code == 200
    answer = requests.post(
        f"{served}/predict",
        data=SAMPLE.read_bytes(),
        headers={"Content-Type": "image/jpeg"},
        auth=("sugar", "kubes"),
        timeout=60,
    )
    assert answer.json()["faces"]


def build_requirements(hook: str, models_dir: Path = MODELS_DIR) -> list[str]:
    """What a hook of the build backend asks for, called in a process of its own as pip does."""
    code = (
        "import json, pathlib, sys; from modelbuild import backend; "
        "backend.MODELS_DIR = pathlib.Path(sys.argv[1]); "
        f"print(json.dumps(backend.{hook}()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(models_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    required: list[str] = json.loads(done.stdout.splitlines()[-1])
    return required


class TestBackend:
    def test_with_networks_the_build_needs_setuptools_only(self) -> None:
        model("manifest.json")
        assert build_requirements("get_requires_for_build_wheel") == []
        assert build_requirements("get_requires_for_build_editable") == []

    def test_without_networks_it_needs_the_converters_as_pinned(self, tmp_path: Path) -> None:
        required = build_requirements("get_requires_for_build_wheel", tmp_path)
        assert any(pin.startswith("tensorflow-cpu==") for pin in required)
        assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in required)

    def test_setuptools_is_the_pinned_one(self) -> None:
        (requirement,) = PROJECT["build-system"]["requires"]
        assert f"\n{requirement} \\\n" in (ROOT / "requirements" / "dev.txt").read_text()
