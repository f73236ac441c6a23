"""The programs in docs/examples, each run as its readers would, against the real server."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from benchmarks import showcase
from testing import photos
from testing.service import ROOT, Service
from testing.web import Handler, serve
from tests.markdown import blocks, read

EXAMPLES = ROOT / "docs" / "examples"
LANGUAGES = ("python", "curl", "node", "go")
FILES = {"python": "predict.py", "curl": "predict.sh", "node": "predict.mjs", "go": "predict.go"}
AWKWARD_PASSWORD = "q\"u\\o't $e"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # curl would take the part after a comma or semicolon for something else.
    path = tmp_path_factory.mktemp("pictures") / "a, b; c.png"
    path.write_bytes(photos.photo("astronaut").data)
    return path


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(language: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the example in one language, compiled first where it must be."""
    command = _command(language, tmp_path_factory)

    def run_(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run_


def _command(language: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    source = EXAMPLES / FILES[language]
    if language == "python":
        return [sys.executable, str(source)]
    program = shutil.which(language)
    if program is None or (language == "node" and _node_version(program) < 18):
        pytest.skip(f"NOT CHECKED: no {language} to run docs/examples/{source.name} with")
    if language == "curl":
        return [str(source)]
    if language == "node":
        return [program, str(source)]
    built = tmp_path_factory.mktemp("go") / "predict"
    done = subprocess.run(
        [program, "build", "-o", str(built), str(source)],
        cwd=built.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [str(built)]


def _node_version(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    return int(done.stdout.removeprefix("v").partition(".")[0])


class BusyProxy:
    """Passes requests on to the service after it was busy for the first ``refusals`` of them."""

    def __init__(self, service: Service, refusals: int, retry_after: int = 1):
        self._service = service
        self._refusals = refusals
        self._retry_after = str(retry_after)
        self.requested_at: list[float] = []
        outer = self

        class Busy(Handler):
            def do_POST(self) -> None:
                outer._answer(self)

        self._server = serve(Busy)
        self.url: str

    def __enter__(self) -> "BusyProxy":
        self.url = self._server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def _answer(self, handler: Handler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requested_at.append(time.monotonic())
        if len(self.requested_at) <= self._refusals:
            problem = {"status": 429, "code": "busy", "detail": "try again soon"}
            status, content = 429, json.dumps(problem).encode()
            headers = {"Retry-After": self._retry_after, "Content-Type": "application/problem+json"}
        else:
            kept = {name: handler.headers[name] for name in ("Content-Type", "Authorization")}
            answer = requests.post(
                self._service.url + handler.path, data=body, headers=kept, timeout=60
            )
            status, content = answer.status_code, answer.content
            headers = {"Content-Type": answer.headers["Content-Type"]}
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


@pytest.fixture(scope="module")
def awkward_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all languages: each start and first prediction takes seconds."""
    log = tmp_path_factory.mktemp("awkward") / "log"
    with Service(log, BASIC_AUTH_PASSWORD=AWKWARD_PASSWORD) as service:
        yield service


@pytest.fixture
def busy_once(service: Service) -> Iterator[BusyProxy]:
    with BusyProxy(service, refusals=1) as proxy:
        yield proxy


def check_printed(language: str, printed: str, service: Service, picture: Path) -> None:
    expected = service.predict(picture.read_bytes(), face_detector="accurate", return_image=False)
    (face,) = expected["details"]
    if language == "curl":
        assert json.loads(printed)["details"] == [face]
        return
    low, high = face["age_interval"]
    probability = f"{face['gender_probability']:.2f}"
    box = ",".join(map(str, face["box"]))
    line = f"{face['age']:.1f} {low:.1f}-{high:.1f} {face['gender']} {probability} {box}\n"
    assert printed == line


def test_prints_the_faces(language: str, run: Run, service: Service, picture: Path) -> None:
    done = run(service.url, picture)
    assert (done.returncode, done.stderr) == (0, "")
    check_printed(language, done.stdout, service, picture)


def test_waits_while_the_service_is_busy(
    language: str, run: Run, service: Service, busy_once: BusyProxy, picture: Path
) -> None:
    done = run(busy_once.url, picture)
    assert done.returncode == 0, done.stderr
    check_printed(language, done.stdout, service, picture)
    first, second = busy_once.requested_at
    assert second - first >= 0.95  # as Retry-After says


def test_gives_up_when_it_stays_busy(
    language: str, run: Run, service: Service, picture: Path
) -> None:
    # curl takes 0 for unset and backs off for ever longer.
    with BusyProxy(service, refusals=100, retry_after=int(language == "curl")) as proxy:
        done = run(proxy.url, picture)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "busy" in done.stderr
    assert len(proxy.requested_at) == 5


def test_says_what_is_wrong(run: Run, service: Service, picture: Path) -> None:
    done = run(service.url, EXAMPLES / "predict.go")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "unsupported-picture" in done.stderr
    assert "use a picture (readable: JPEG, PNG" in done.stderr
    assert "Traceback" not in done.stderr


def test_says_that_the_password_is_wrong(run: Run, service: Service, picture: Path) -> None:
    done = run(service.url, picture, AGE_GENDER_PASSWORD="wrong")
    assert done.returncode == 1
    assert "unauthorized" in done.stderr


def test_takes_a_password_with_any_characters(
    run: Run, awkward_service: Service, picture: Path
) -> None:
    done = run(awkward_service.url, picture, AGE_GENDER_PASSWORD=AWKWARD_PASSWORD)
    assert done.returncode == 0, done.stderr


def test_reports_an_unreachable_service(run: Run, picture: Path) -> None:
    done = run("http://127.0.0.1:1", picture)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_documented_answer_is_the_real_one(service: Service) -> None:
    answer = service.predict(
        showcase.SAMPLE.read_bytes(), face_detector="accurate", return_image=False
    )
    text = read(ROOT / "docs" / "api.md")
    (shown,) = [json.loads(block) for block in blocks(text, "json") if '"faces"' in block]
    assert shown["model"] == answer["model"], "run `python -m benchmarks.showcase`"
    (face,), (real,) = shown["details"], answer["details"]
    assert face["gender"] == real["gender"]
    # Processors round differently.
    assert face["age"] == pytest.approx(real["age"], abs=0.5)
    assert face["box"] == pytest.approx(real["box"], abs=2)
    for path, render in (("README.md", showcase.short), ("docs/examples/README.md", showcase.line)):
        assert render(shown) in read(ROOT / path), "run `python -m benchmarks.showcase`"


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {*FILES.values(), "README.md"}
