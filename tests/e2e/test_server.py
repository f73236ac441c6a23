"""The server as a process: loading after the fork, threads, engines, settings, addresses."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from testing import photos
from testing.service import ROOT, Service
from testing.web import serve_folder

SIZES = {"astronaut": (320, 320), "grace_hopper": (256, 300), "sample6": (640, 512)}


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    return {name: photos.resized(name, *size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server on the loopback with one picture."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "astronaut.jpg").write_bytes(photos.resized("astronaut", 320, 320))
    with serve_folder(folder) as address:
        yield address


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "inference_time"}


def test_simultaneous_first_requests_load_each_model_once(
    tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    """Eight threads use both detectors, in a process that has loaded nothing yet."""
    jobs = [(name, detector) for name in pictures for detector in ("fast", "accurate")] * 4
    with Service(tmp_path / "log") as service:

        def ask(job: tuple[str, str]) -> dict[str, Any]:
            name, detector = job
            return without_times(service.predict(pictures[name], face_detector=detector))

        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(ask, jobs))
        alone = {job: ask(job) for job in jobs[: len(jobs) // 4]}
        assert service.process.poll() is None
    for job, answer in zip(jobs, together, strict=True):
        assert answer == alone[job], job
    log = (tmp_path / "log").read_text()
    for part in ("fast detector", "accurate detector", "attributes"):
        assert log.count(f"loaded {part}") == 1


def test_health_answers_while_models_load(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    # TensorFlow takes seconds to load, which is long enough to notice.
    with Service(tmp_path / "log", ENGINE="tensorflow") as service:
        done = threading.Event()
        answers = []

        def predict() -> None:
            answers.append(service.predict(pictures["astronaut"], face_detector="accurate"))
            done.set()

        thread = threading.Thread(target=predict)
        thread.start()
        healthy_before = 0
        while not done.is_set() and thread.is_alive():
            assert service.get("/health").status_code == 200
            if not done.is_set():
                healthy_before += 1
        thread.join()
    assert answers[0]["model"]["engine"] == "tensorflow"
    assert healthy_before >= 5


def test_tensorflow_and_litert_agree(
    tmp_path: Path, service: Service, pictures: dict[str, bytes]
) -> None:
    with Service(tmp_path / "log", ENGINE="tensorflow") as other:
        for picture in pictures.values():
            ours, theirs = (
                s.predict(picture, face_detector="accurate", return_image=False)
                for s in (service, other)
            )
            assert len(ours["faces"]) == len(theirs["faces"]) > 0
            # Confidences differ a little, and with them the order.
            pairs = [sorted(answer["details"], key=lambda d: d["box"]) for answer in (ours, theirs)]
            for a, b in zip(*pairs, strict=True):
                assert max(abs(x - y) for x, y in zip(a["box"], b["box"], strict=True)) <= 1
                # LiteRT runs in int8: chips are off by a fraction of a pixel, and single faces by
                # two years, though the mean error over the validation part is the same to 0.01.
                assert abs(a["age"] - b["age"]) <= 2.5
                assert a["gender"] == b["gender"]


def test_gpu_without_a_gpu_says_so_and_goes_on(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    def ask(name: str) -> dict[str, Any]:
        return service.predict(pictures[name], face_detector="accurate", return_image=False)

    with Service(tmp_path / "log", GPU="True", GPU_FRACTION="0.25") as service:
        alone = {name: ask(name) for name in pictures}
        jobs = [*pictures] * 4
        # Those of several clients run in one batch.
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(ask, jobs))
    for name, answer in zip(jobs, together, strict=True):
        for got, want in zip(answer["details"], alone[name]["details"], strict=True):
            # Answers are rounded, and rounding may differ.
            assert got["box"] == pytest.approx(want["box"], abs=1)
            assert got["age"] == pytest.approx(want["age"], abs=0.11)
            assert got["gender"] == want["gender"]
    answer = alone["astronaut"]
    assert len(answer["faces"]) == 1
    assert answer["model"]["engine"] == "tensorflow"
    assert (tmp_path / "log").read_text().count("using the CPU") == 1


@pytest.mark.defends("no-models")
@pytest.mark.parametrize("target", ["predict", "annotate"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MODELS_DIR": "nowhere"}, "unknown model 'agn-v2'; available: none (run `make models`)"),
        ({"ATTRIBUTE_MODEL": "agn"}, "unknown model 'agn'; available: agn-v2, agn-v2-research"),
    ],
)
def test_it_does_not_start_without_models(
    tmp_path: Path, target: str, changes: dict[str, str], message: str
) -> None:
    places = {"INPUT_BUCKET": "in", "OUTPUT_BUCKET": "out"}
    service = Service(tmp_path / "log", target, **places, **changes)
    with pytest.raises(RuntimeError, match="exited at once"), service:
        pass
    assert service.process.returncode not in (0, None)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(f"cannot start: {message}")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "http"), ("GPU_FRACTION", "2"), ("ENGINE", "onnx"), ("BASIC_AUTH_PASSWORD", "kubes")],
)
def test_wrong_settings_stop_the_start_with_one_line(variable: str, value: str) -> None:
    environment = {**os.environ, variable: value, "REQUIRE_STRONG_AUTH": "true"}
    if variable != "BASIC_AUTH_PASSWORD":
        environment["BASIC_AUTH_PASSWORD"] = "a-better-one"
    command = [sys.executable, "-c", "import main"]
    ended = subprocess.run(
        command,
        cwd=ROOT / "function",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("cannot start: ")
    assert variable in line.upper()


def test_picture_by_address(tmp_path: Path, service: Service, web: str) -> None:
    refused = service.post(json={"url": f"{web}/astronaut.jpg"})
    assert (refused.status_code, refused.json()["code"]) == (400, "url-not-allowed")
    with Service(tmp_path / "log", ALLOW_PRIVATE_URLS="true") as local:
        answer = local.post(
            json={"url": f"{web}/astronaut.jpg", "face_detector": "accurate", "draw": False}
        ).json()
        assert [row[8] for row in answer["faces"]] == ["F"]
        missing = local.post(json={"url": f"{web}/nothing.jpg"})
        assert (missing.status_code, missing.json()["code"]) == (424, "fetch-failed")


def test_sigterm_ends_the_server(tmp_path: Path) -> None:
    with Service(tmp_path / "log") as service:
        process = service.process
    assert process.returncode == 0
