"""The upload of `gcloud functions deploy --source function` works on its own."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from testing.photos import photo
from testing.service import CREDENTIALS, free_port
from tests.infra.tools import ROOT, program, run

FUNCTION = ROOT / "function"


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of exactly the files that would be uploaded."""
    status, output = run(program("gcloud"), "meta", "list-files-for-upload", FUNCTION)
    assert status == 0, output
    copy = tmp_path_factory.mktemp("upload")
    for line in output.splitlines():
        source = FUNCTION / line.strip()
        if source.is_file():
            target = copy / source.relative_to(FUNCTION)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return copy


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory, uploaded: Path) -> Path:
    """A Python with only the packages of requirements.txt."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*command, "--require-hashes", "-r", str(uploaded / "requirements.txt")],
        check=True,
        timeout=300,
    )
    return python


@contextmanager
def served(
    python: Path, folder: Path, log: Path, *options: str, **environment: str
) -> Iterator[str]:
    """Serve from the folder as Google does, and yield the URL."""
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(python), "-m", "functions_framework"),
                *(*options, "--host=127.0.0.1", f"--port={port}"),
            ],
            cwd=folder,
            env={**inherited, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def count_faces(python: Path, folder: Path, log: Path, **environment: str) -> dict[str, int]:
    """Serve from the folder and count the faces that each detector detects."""
    with served(python, folder, log, "--target=predict", **environment) as url:
        return {d: _faces(url, d) for d in ("fast", "accurate")}


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _faces(url: str, detector: str) -> int:
    answer = requests.post(
        f"{url}/predict",
        json={
            "b64": base64.b64encode(photo("astronaut").data).decode(),
            "face_detector": detector,
            "return_image": False,
        },
        auth=CREDENTIALS,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return len(answer.json()["faces"])


def test_the_upload_has_the_networks_but_nothing_of_tensorflow(uploaded: Path) -> None:
    names = {str(p.relative_to(uploaded)) for p in uploaded.rglob("*") if p.is_file()}
    assert {"main.py", "requirements.txt", "config.json"} <= names
    assert any(name.endswith(".tflite") for name in names)
    assert not [n for n in names if n.endswith((".pyc", "saved_model.pb")) or "tensorflow" in n]
    assert not [n for n in names if n.startswith("age_gender/cli/")], "local use only"
    size = sum((uploaded / name).stat().st_size for name in names)
    assert size < 60e6


def test_a_clean_environment_answers(clean_python: Path, uploaded: Path, tmp_path: Path) -> None:
    faces = count_faces(clean_python, uploaded, tmp_path / "log")
    assert faces["accurate"] == 1
    assert faces["fast"] >= 1


def test_the_trigger_answers(clean_python: Path, uploaded: Path, tmp_path: Path) -> None:
    options = ("--target=annotate", "--signature-type=cloudevent")
    buckets = {"INPUT_BUCKET": "pictures", "OUTPUT_BUCKET": "results"}
    resource = {"bucket": "others", "name": "a.jpg", "generation": "1", "size": "1"}
    resource["timeCreated"] = "2026-01-01T00:00:00Z"
    message = {
        "messageId": "1",
        "attributes": {
            **{"eventType": "OBJECT_FINALIZE", "bucketId": "others"},
            **{"objectId": "a.jpg", "objectGeneration": "1"},
        },
        "data": base64.b64encode(json.dumps(resource).encode()).decode(),
    }
    event = {"message": message, "subscription": "projects/p/subscriptions/s"}
    with served(clean_python, uploaded, tmp_path / "log", *options, **buckets) as url:
        assert requests.get(url, timeout=10).status_code == 405
        pushed = requests.post(url, json=event, timeout=10)
        assert pushed.status_code // 100 == 2, pushed.text
    assert "its bucket is not INPUT_BUCKET" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("target", ["predict", "annotate"])
def test_without_its_models_nothing_starts(
    clean_python: Path, uploaded: Path, tmp_path: Path, target: str
) -> None:
    copy = tmp_path / "upload"
    shutil.copytree(uploaded, copy, ignore=shutil.ignore_patterns("*.tflite"))
    buckets = {"INPUT_BUCKET": "pictures", "OUTPUT_BUCKET": "results"}
    log = tmp_path / "log"
    with (
        pytest.raises(AssertionError, match="model files are missing"),
        served(clean_python, copy, log, f"--target={target}", **buckets),
    ):
        pass


def test_a_requirement_that_is_missing_is_caught(
    clean_python: Path, uploaded: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['dlib'] = None\n")
    with pytest.raises(AssertionError):
        count_faces(clean_python, uploaded, tmp_path / "log", PYTHONPATH=str(tmp_path))
