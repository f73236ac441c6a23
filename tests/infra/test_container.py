"""The image itself: built by real tools and run as on Cloud Run.

A build takes minutes, so only `make check-infra` does it, for the default image, with docker or
podman. Set CHECK_CONTAINER="cpu tensorflow gpu" to check the others too, which take gigabytes.
"""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from age_gender.settings import OLD_CONFIG_FILE
from container.sbom import missing
from testing.photos import photo
from testing.service import CREDENTIALS, free_port
from tests.infra.containers import engine
from tests.infra.tools import ROOT, program, run

TARGETS = os.environ.get("CHECK_CONTAINER", "").split()
MAX_BYTES = 400e6


def built(target: str) -> str:
    """Build the image of a target and return its tag, or skip the test."""
    if target not in TARGETS:
        pytest.skip(f'NOT CHECKED: the image "{target}"; `make check-infra` checks "cpu"')
    tag = f"localhost/age-gender-test:{target}"
    status, output = engine().build(ROOT, tag, "--target", target)
    assert status == 0, output[-3000:]
    return tag


@pytest.fixture(scope="module")
def image() -> str:
    return built("cpu")


@contextmanager
def running(
    image: str, log: Path, *options: str, memory: str = "512m", port: int | None = None
) -> Iterator[tuple[str, str]]:
    """Run a container with 512 MB, a read-only root and no privileges; yield URL and name."""
    port = port or free_port()
    name = f"age-gender-test-{port}"
    options = ("--name", name, "-e", f"PORT={port}", *options)
    with log.open("wb") as output:
        process = subprocess.Popen(
            engine().command(image, *options, memory=memory, port=port),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
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
        run(engine().cli, "stop", "-t", "5", name)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with running(image, tmp_path_factory.mktemp("container") / "log") as started:
        yield started


def inside(name: str, *command: str) -> tuple[int, str]:
    return engine().execute(name, *command)


def predict(url: str, detector: str) -> dict[str, Any]:
    request = {
        "b64": base64.b64encode(photo("astronaut").data).decode(),
        "face_detector": detector,
        "return_image": False,
    }
    answer = requests.post(f"{url}/predict", json=request, auth=CREDENTIALS, timeout=120)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert len(body["faces"]) >= 1
    return body


@pytest.mark.parametrize("detector", ["accurate", "fast"])
def test_answers_with_512_megabytes_and_a_read_only_root(
    container: tuple[str, str], detector: str
) -> None:
    assert predict(container[0], detector)["model"]["engine"] == "litert"


def test_the_back_fill_job_runs_in_it(image: str) -> None:
    command = ("python", "-m", "age_gender.batch.backfill")
    arguments = (*command, "--source", "/app/age_gender/edge/web", "--out", "/tmp/results")
    status, output = run(*engine().command(image, arguments=arguments))
    assert status == 0, output
    assert '"annotated": 1' in output or '"status": "annotated"' in output, output


def test_the_trigger_starts_in_it(image: str, tmp_path: Path) -> None:
    settings = {
        "FUNCTION_TARGET": "annotate",
        "FUNCTION_SIGNATURE_TYPE": "cloudevent",
        "INPUT_BUCKET": "pictures",
        "OUTPUT_BUCKET": "results",
    }
    options = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    log = tmp_path / "log"
    with running(image, log, *options) as (url, _):
        assert requests.get(url, timeout=10).status_code == 405
        # What is no event would come again and again: it is acknowledged, and counted in the log.
        assert requests.post(url, json={"no": "event"}, timeout=10).status_code == 200
    assert '"hopeless"' in log.read_text()


def test_a_file_where_the_predecessors_image_had_it_counts(image: str, tmp_path: Path) -> None:
    file, port = tmp_path / "config.json", free_port()
    login = {"basic_auth_username": "me", "basic_auth_password": "my own"}
    file.write_text(json.dumps({"host": "0.0.0.0", "port": port, "log": False, **login}))
    file.chmod(0o644)
    options = ("-e", "PORT=", "-v", f"{file}:{OLD_CONFIG_FILE}:ro")
    with running(image, tmp_path / "log", *options, port=port) as (url, name):
        assert requests.post(f"{url}/predict", timeout=10).status_code == 401
        assert requests.post(f"{url}/predict", auth=("me", "my own"), timeout=10).status_code == 400
        status, output = inside(name, *health_check(image))
        assert status == 0, output


@pytest.mark.parametrize("target", ["tensorflow", "gpu"])
def test_the_images_with_tensorflow_answer(target: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(built(target), log, memory="2g") as (url, _):
        assert predict(url, "accurate")["model"]["engine"] == "tensorflow"
    without_a_gpu = "TensorFlow finds no GPU: going on with the CPU" in log.read_text()
    assert without_a_gpu == (target == "gpu")


def test_scanners_find_everything_that_was_installed(image: str, tmp_path: Path) -> None:
    syft = program("syft")
    archive, sbom = tmp_path / "image.tar", tmp_path / "sbom.json"
    status, output = run(engine().cli, "save", "--output", archive, image)
    assert status == 0, output
    status, output = run(
        *(syft, "scan", f"docker-archive:{archive}", "--quiet", "-o", f"spdx-json={sbom}")
    )
    assert status == 0, output
    components = json.loads(sbom.read_text(encoding="utf-8"))
    code = (ROOT / "container" / "installed.py").read_text(encoding="utf-8")
    status, output = run(*engine().command(image, arguments=("python", "-c", code)))
    assert status == 0, output
    installed = json.loads(output[output.index('["pkg:') :])
    assert missing(components, installed) == []
    assert not [p["name"] for p in components["packages"] if "tensorflow" in p["name"]]


def inspected(image: str) -> dict[str, Any]:
    status, output = run(engine().cli, "image", "inspect", image)
    assert status == 0, output
    (described,) = json.loads(output[output.index("[") :])
    return dict(described)


def health_check(image: str) -> list[str]:
    """The command of the image's health check; docker and podman keep it in different places."""
    described = inspected(image)
    check = described["Config"].get("Healthcheck") or described["Healthcheck"]
    kind, *command = map(str, check["Test"])
    assert kind == "CMD"
    return command


def test_is_small(image: str) -> None:
    described = inspected(image)
    assert described["Size"] <= MAX_BYTES
    assert described["Config"]["User"] == "10001:10001"
    assert described["Config"]["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_health_check_of_the_image_passes(image: str, container: tuple[str, str]) -> None:
    status, output = inside(container[1], *health_check(image))
    assert status == 0, output


@pytest.mark.parametrize("module", ["pip", "setuptools", "tensorflow", "age_gender.cli"])
def test_has_no(container: tuple[str, str], module: str) -> None:
    status, output = inside(container[1], "python", "-c", f"import {module}")
    assert status != 0
    assert "ModuleNotFoundError" in output


def test_has_neither_compiler_nor_installer(container: tuple[str, str]) -> None:
    script = "for p in cc gcc apt-get bash mount perl pip pip3 strip; do command -v $p; done; true"
    assert inside(container[1], "sh", "-c", script) == (0, "")


def test_only_temporary_folders_can_be_written(container: tuple[str, str]) -> None:
    find = "find / -xdev -type d -writable 2>/dev/null; true"
    assert set(inside(container[1], "sh", "-c", find)[1].split()) <= {"/tmp", "/var/tmp"}


def test_little_is_compiled_at_each_start(container: tuple[str, str]) -> None:
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


def test_the_published_password_is_refused_if_so_configured(image: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(AssertionError),
        running(image, log, "-e", "REQUIRE_STRONG_AUTH=true"),
    ):
        pass
    assert "cannot start" in log.read_text()
