"""The predecessor's page, line by line: what its users have written goes on working.

Its container was `sugarkubes/tensorflow-age-gender`. Its page had, in this order: two detectors,
how to run it, routes, a curl line, the parameters, variables, a configuration file, a response.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from age_gender.fetch import urls
from age_gender.schema import PredictRequest
from age_gender.settings import OLD_CONFIG_FILE, Settings, load_settings
from testing.service import Service, free_port
from tests.contract.conftest import Client, FakeRuntime, Listen, Serve
from tests.contract.test_predict import B64, PICTURE
from tests.unit.fakes import FakeDetector, detections

FRIENDS = (
    "https://s3.us-west-1.wasabisys.com/public.sugarkubes/repos/sugar-cv/object-detection/"
    "friends.jpg"
)
CURL = rf"""curl -X POST \
http://0.0.0.0:8080/predict \
-H 'Content-Type: application/json' \
-H 'Authorization: Basic c3VnYXI6a3ViZXM=' \
-d '{{ "get_attributes": true, "url": "{FRIENDS}" }}'
"""
"""Word for word."""
PARAMETERS: dict[str, Any] = {
    "confidence": 0.5,
    "nms": 0.5,
    "draw": True,
    "face_detector": "fast",
    "get_attributes": True,
    "return_image": True,
    "url": "https://your-image.jpg",
    "b64": "",
}
VARIABLES = {"PORT": "8080", "GPU": "None", "GPU_FRACTION": "0.25"}
CONFIG: dict[str, Any] = {
    "host": "0.0.0.0",
    "port": 8080,
    "log": False,
    "basic_auth_username": "sugar",
    "basic_auth_password": "kubes",
}
ROW = [int, int, int, int, int, int, float, int, str]
"""x1, y1, x2, y2, w, h, conf, age, gender; its conf was always -1."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are fetched; every one has a picture."""
    asked: list[str] = []

    def from_url(url: str, *_: object) -> bytes:
        asked.append(url)
        return PICTURE

    monkeypatch.setattr(urls, "from_url", from_url)
    return asked


def check_response(answer: dict[str, Any], size: list[int]) -> None:
    """Check the fields that the page shows."""
    assert answer["confidence"] == 0.5
    assert answer["image_size"] == size
    assert answer["inference_time"] > 0
    (row,) = answer["faces"]
    assert [type(value) for value in row] == ROW
    x1, y1, x2, y2, width, height, confidence, _, gender = row
    assert (width, height) == (x2 - x1, y2 - y1)
    assert 0 <= confidence <= 1
    assert gender in ("M", "F")


@pytest.mark.parametrize("name", ["Fast", "Accurate", "fast", "accurate"])
def test_detectors_as_its_tables_write_them(client: Client, name: str) -> None:
    answer = client.post(json={"b64": B64, "face_detector": name}).get_json()
    assert answer["model"]["detector"].startswith({"f": "dlib", "a": "retinaface"}[name[0].lower()])


@pytest.mark.parametrize("path", ["/", "/health", "/healthz"])
def test_routes_of_the_health_check(client: Client, path: str) -> None:
    assert client.get(path, headers={"Authorization": None}).status_code == 200


def test_its_curl_line(listen: Listen, fetched: list[str], tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: the predecessor's curl line, there is no curl")
    with listen() as url:
        # The address is its own, too; only the connection goes to where we listen.
        address = url.removeprefix("http://")
        (tmp_path / ".curlrc").write_text(f'connect-to = "0.0.0.0:8080:{address}"\nsilent\n')
        done = subprocess.run(
            ["sh", "-c", CURL],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CURL_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert fetched == [FRIENDS]
    answer = json.loads(done.stdout)
    check_response(answer, [80, 60])
    assert answer["image"]


def test_its_parameters_and_their_defaults(client: Client, fetched: list[str]) -> None:
    for name, value in PARAMETERS.items():
        if name not in ("url", "b64"):
            assert PredictRequest.model_fields[name].default == value
    response = client.post(json=PARAMETERS)
    assert response.status_code == 200
    assert fetched == [PARAMETERS["url"]]
    check_response(response.get_json(), [80, 60])
    assert response.get_json()["warnings"] == []
    of_base64 = client.post(json={**PARAMETERS, "url": "", "b64": B64}).get_json()
    assert of_base64["faces"] == response.get_json()["faces"]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("nothing", ["", None])
def test_nothing_means_the_default(client: Client, name: str, nothing: str | None) -> None:
    if name in ("url", "b64"):
        fields: dict[str, Any] = {"b64": B64} if name == "url" else {"url": f"data:;base64,{B64}"}
    else:
        fields = {"b64": B64}
    answer = client.post(json={**fields, name: nothing}).get_json()
    assert answer["faces"] == client.post(json=fields).get_json()["faces"]
    assert "image" in answer


def test_its_variables_and_their_defaults() -> None:
    settings = load_settings(Path("none.json"), VARIABLES)
    assert (settings.port, settings.gpu, settings.gpu_fraction) == (8080, False, 0.25)
    assert settings == Settings()
    assert load_settings(Path("none.json"), {"GPU": "True"}).gpu is True


def test_its_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    settings = load_settings(file, {})
    assert settings == Settings(log="warning")
    assert load_settings(file, {"LOG": "true"}).log == "info"
    assert str(OLD_CONFIG_FILE) == "/age-gender-estimateion/config.json"


class Mounted(Service):
    """The image's command, with a file where the predecessor's image had its configuration."""

    def __init__(self, log: Path, config: Path, **environment: str):
        super().__init__(log, **{"FUNCTION_TARGET": "predict", "PORT": "", **environment})
        self.config = config

    def command(self) -> list[str]:
        python, *_ = super().command()
        start = (
            "import pathlib, sys; from age_gender import settings; "
            f"settings.OLD_CONFIG_FILE = pathlib.Path({str(self.config)!r}); "
            "from functions_framework._cli import _cli; sys.argv = ['functions-framework']; _cli()"
        )
        return [python, "-c", start]


OWN = {"basic_auth_username": "me", "basic_auth_password": "my own"}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    folder = tmp_path_factory.mktemp("mounted")
    service = Mounted(folder / "log", folder / "config.json")
    address = {"host": "127.0.0.1", "port": service.port}
    service.config.write_text(json.dumps({**CONFIG, **OWN, **address, "model": "x"}))
    with service:
        yield service


class TestMounted:
    def test_its_address_counts(self, mounted: Mounted) -> None:
        assert mounted.get("/health").status_code == 200

    def test_its_credentials_count(self, mounted: Mounted) -> None:
        assert mounted.post(data=b"{}").status_code == 401
        assert mounted.post(data=b"{}", auth=("me", "my own")).status_code == 400

    def test_what_it_has_in_vain_is_logged(self, mounted: Mounted) -> None:
        lines = [json.loads(line) for line in mounted.log.read_text().splitlines()]
        (line,) = [line for line in lines if "is no setting" in line["message"]]
        assert "'model'" in line["message"]
        assert line["severity"] == "WARNING"
        assert "my own" not in mounted.log.read_text()
        assert not [line for line in lines if line["severity"] == "INFO"]

    def test_the_health_check_of_the_image_finds_the_port(self, mounted: Mounted) -> None:
        python, *_ = mounted.command()
        check = (
            "import pathlib; from age_gender import settings; "
            f"settings.OLD_CONFIG_FILE = pathlib.Path({str(mounted.config)!r}); "
            "from age_gender.edge.health_check import main; main()"
        )
        for port, status in (("", 0), (str(free_port()), 1)):
            done = subprocess.run(
                [python, "-c", check],
                cwd=mounted.root / "function",
                env={**os.environ, "PORT": port},
                capture_output=True,
                timeout=60,
            )
            assert done.returncode == status, done.stderr


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    port = free_port()
    service = Mounted(tmp_path / "log", tmp_path / "config.json", PORT=str(port))
    service.port, service.url = port, f"http://127.0.0.1:{port}"
    service.config.write_text(json.dumps({**CONFIG, "host": "127.0.0.1", "port": free_port()}))
    with service:
        assert requests.get(f"{service.url}/health", timeout=10).status_code == 200


def test_rows_without_attributes_end_after_the_confidence(client: Client) -> None:
    answer = client.post(json={"b64": B64, "get_attributes": False}).get_json()
    assert [type(value) for value in answer["faces"][0]] == ROW[:7]


def test_no_face_is_no_error(serve: Serve) -> None:
    nothing = FakeRuntime(detector=FakeDetector(detections()))
    assert serve(nothing).post(json={"b64": B64}).get_json()["faces"] == []
