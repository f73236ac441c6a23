"""The commands and programs of docs/start.md and of the client's chapter, as readers run them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testing.service import ROOT, Service
from tests.markdown import blocks, read

START = read(ROOT / "docs" / "start.md")
ADDRESS = "http://127.0.0.1:8080"
NOT_RUN = {
    # Set-up from nothing (CI's job `serve`, and benchmarks.first_answer); an image, which tests of
    # the deployment build; Google's cloud.
    *("make serve", "docker build", "docker run", "cd terraform", "cp terraform.tfvars.example"),
    *("terraform init", ".venv/bin/python local_runner.py annotate gs://"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout, so that results are not written into this one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("function", "docs", "local_runner.py", "modelbuild"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "function/age_gender/edge/web/sample.jpg", folder / "photo.jpg")
    return folder


def run(script: str, checkout: Path, service: Service, *shell: str) -> str:
    script = script.replace(ADDRESS, service.url).replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        [*shell, script],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT / "function")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_commands(checkout: Path, service: Service) -> None:
    ask, files, back_fill = blocks(START, "sh")
    (face,) = json.loads(run(ask, checkout, service, "sh", "-ec"))["details"]
    assert face["gender"] == "F"
    printed = run(files, checkout, service, "sh", "-ec")
    assert "interval" in printed
    assert (checkout / "out" / "report.html").stat().st_size > 10_000
    assert "now, 0 before" in run(back_fill, checkout, service, "sh", "-ec")
    assert ": 0 now, " in run(back_fill, checkout, service, "sh", "-ec")


@pytest.mark.parametrize("number", [0, 1])
def test_programs(checkout: Path, service: Service, number: int) -> None:
    program = blocks(START, "python")[number]
    printed = run(program, checkout, service, sys.executable, "-c")
    assert " F" in printed


def test_the_example_of_the_client(checkout: Path, service: Service) -> None:
    (program,) = [
        block
        for block in blocks(read(ROOT / "docs" / "python.md"), "python")
        if "age_gender.client" in block
    ]
    assert run(program, checkout, service, sys.executable, "-c").endswith(" F True\n")


def test_what_is_not_run_is_known() -> None:
    lines = [
        line.removeprefix("$ ")
        for block in blocks(START, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert lines
    unknown = [line for line in lines if not any(line.startswith(name) for name in NOT_RUN)]
    assert unknown == [], "run them in a test, or say in NOT_RUN why not"
