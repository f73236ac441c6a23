"""Clients that generators make from the description, against the real server.

`make clients` installs the generators: openapi-python-client, and openapi-typescript with the
TypeScript compiler. Without them, these tests are skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from testing import photos
from testing.service import Service

SOURCES = Path(__file__).with_name("clients")
INSTALLED = Path(sys.prefix) / "clients"
"""Where `make clients` installs."""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the server's description, a picture, and the sources of both programs."""
    made = tmp_path_factory.mktemp("clients")
    description = requests.get(f"{service.url}/openapi.json", timeout=10)
    (made / "openapi.json").write_bytes(description.content)
    (made / "photo.jpg").write_bytes(photos.resized("astronaut", 320, 320))
    for source in SOURCES.iterdir():
        shutil.copy(source, made)
    return made


def python_program(folder: Path) -> list[str | Path]:
    """Generate the client; return the command that runs the program."""
    binaries = INSTALLED / "bin"
    if not (binaries / "openapi-python-client").exists():
        pytest.skip("NOT TESTED: the generated Python client; `make clients` installs a generator")
    run(
        *(binaries / "openapi-python-client", "generate", "--path", "openapi.json"),
        *("--output-path", "age_gender_client", "--meta", "none"),
        cwd=folder,
        PATH=f"{binaries}:{os.environ['PATH']}",
    )
    return [binaries / "python", "client.py"]


def typescript_program(folder: Path) -> list[str | Path]:
    """Generate the types, compile the program; return the command that runs it."""
    modules = INSTALLED / "node_modules"
    places = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    node = shutil.which("node", path=places)
    if node is None or not (modules / "openapi-typescript").is_dir():
        pytest.skip("NOT TESTED: the generated TypeScript client; `make clients` installs one")
    (folder / "node_modules").symlink_to(modules)
    generate = modules / "openapi-typescript" / "bin" / "cli.js"
    options = ("--default-non-nullable", "false")  # what has a default may be left out
    run(node, generate, "openapi.json", "--output", "schema.d.ts", *options, cwd=folder)
    run(node, modules / "typescript" / "bin" / "tsc", "--project", ".", cwd=folder)
    return [node, folder / "built" / "client.js"]


@pytest.mark.parametrize("program", [python_program, typescript_program])
def test_a_generated_client_predicts(
    service: Service, folder: Path, program: Callable[[Path], list[str | Path]]
) -> None:
    said: dict[str, Any] = json.loads(
        run(*program(folder), service.url, folder / "photo.jpg", cwd=folder)
    )
    wanted = service.predict(
        (folder / "photo.jpg").read_bytes(), face_detector="accurate", return_image=False
    )
    assert len(wanted["faces"]) == 1
    ages = [face["age"] for face in wanted["details"]]
    assert said["answers"] == [{"faces": wanted["faces"], "ages": ages, "warnings": []}] * 3
    assert said["several"][1] == "unsupported-picture"
    assert said["refused"] == "invalid-field"
    assert said["health"] == "ok"
    assert said["model"].startswith("agn")
