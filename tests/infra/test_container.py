"""The image itself: built by real tools, run as Cloud Run would run it.

A build takes minutes, so this is for `make check-infra` (CHECK_CONTAINER=1) only.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.infra.tools import ROOT, run, shared_tool
from tests.photos import photo
from tests.service import CREDENTIALS, free_port

TAG = "localhost/age-gender-test:cpu"
MOST_BYTES = 400e6


@pytest.fixture(scope="module")
def image() -> str:
    if os.environ.get("CHECK_CONTAINER") != "1":
        pytest.skip("NOT CHECKED: the image is built and run by `make check-infra` only")
    build = shared_tool("container/build")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("NOT CHECKED: building the image here takes root and apt-get")
    # With its layers kept: a second run takes seconds.
    status, output = run(build, ROOT, TAG, "--layers", timeout=1200)
    assert status == 0, output[-3000:]
    return TAG


@contextmanager
def running(image: str, log: Path, *options: str) -> Iterator[tuple[str, str]]:
    """Address and name of a container with 512 MB, a read-only root and no privileges."""
    port = free_port()
    name = f"age-gender-test-{port}"
    command = [shared_tool("container/run"), image, "--name", name, "-e", f"PORT={port}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", name
    finally:
        run("podman", "stop", "--time", "5", name)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with running(image, tmp_path_factory.mktemp("container") / "log") as started:
        yield started


def inside(name: str, *command: str) -> tuple[int, str]:
    return run("podman", "exec", name, *command)


@pytest.mark.parametrize("detector", ["accurate", "fast"])
def test_answers_with_512_megabytes_and_nothing_to_write_to(
    container: tuple[str, str], detector: str
) -> None:
    url, _ = container
    body = {
        "b64": base64.b64encode(photo("astronaut").data).decode(),
        "face_detector": detector,
        "return_image": False,
    }
    answer = requests.post(f"{url}/predict", json=body, auth=CREDENTIALS, timeout=120)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["faces"]) >= 1


def test_is_small(image: str) -> None:
    status, output = run("podman", "image", "inspect", image)
    assert status == 0
    (found,) = json.loads(output[output.index("[") :])
    assert found["Size"] <= MOST_BYTES
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert found["Healthcheck"]["Test"][0] == "CMD"


def test_health_check_of_the_image_passes(container: tuple[str, str]) -> None:
    assert run("podman", "healthcheck", "run", container[1])[0] == 0


@pytest.mark.parametrize("module", ["pip", "setuptools", "tensorflow"])
def test_has_no(container: tuple[str, str], module: str) -> None:
    status, output = inside(container[1], "python", "-c", f"import {module}")
    assert status != 0
    assert "ModuleNotFoundError" in output


def test_has_neither_compiler_nor_installer(container: tuple[str, str]) -> None:
    found = "for p in cc gcc apt-get perl pip pip3; do command -v $p; done; true"
    assert inside(container[1], "sh", "-c", found) == (0, "")


def test_only_temporary_folders_can_be_written(container: tuple[str, str]) -> None:
    find = "find / -xdev -type d -writable 2>/dev/null; true"
    assert set(inside(container[1], "sh", "-c", find)[1].split()) <= {"/tmp", "/var/tmp"}


def test_nothing_big_is_compiled_at_each_start(container: tuple[str, str]) -> None:
    program = (
        "import sys; sys.argv = ['x']; import main; "
        "from importlib.util import cache_from_source as at; import os; "
        "files = {getattr(m, '__file__', None) or '' for m in list(sys.modules.values())}; "
        "print(sum(os.path.getsize(f) for f in files"
        " if f.endswith('.py') and not os.path.exists(at(f))))"
    )
    status, output = inside(container[1], "python", "-c", program)
    assert status == 0, output
    (uncompiled,) = (int(line) for line in output.splitlines() if line.isdigit())
    assert uncompiled < 300_000  # bytes of source


def test_the_published_password_is_refused_where_it_must_be(image: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(AssertionError),
        running(image, log, "-e", "REQUIRE_STRONG_AUTH=true"),
    ):
        pass
    assert "cannot start" in log.read_text()
