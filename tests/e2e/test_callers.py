"""Who may call the real service, from where, and what its log says about them."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from testing import photos
from testing.service import ROOT, Service
from testing.web import serve_folder

OLD, NEW = "old-" + "k" * 20, "new-" + "k" * 20
KEYS = f"app-2025={OLD},app-2026={NEW},ann=ann:her:password"
PARAMETERS = {"return_image": "false", "face_detector": "accurate"}
IMAGE = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def portrait() -> bytes:
    return photos.resized("astronaut", 200, 200)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a web server on another origin, with a page that predicts."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "index.html").write_text("<!doctype html><title>Elsewhere</title>")
    with serve_folder(folder) as address:
        yield address


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, page: str) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with Service(log, AUTH="keys", AUTH_KEYS=KEYS, CORS_ORIGINS=page) as running:
        yield running


def ask(service: Service, portrait: bytes, headers: dict[str, str]) -> requests.Response:
    return service.post(data=portrait, params=PARAMETERS, headers=IMAGE | headers, auth=None)


def line_of(service: Service, request_id: str) -> dict[str, Any]:
    (found,) = (line for line in lines_of(service) if line.get("request_id") == request_id)
    return found


def lines_of(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log.read_text().splitlines() if line[0] == "{"]


@pytest.mark.parametrize(("key", "name"), [(OLD, "app-2025"), (NEW, "app-2026")])
def test_keys_are_taken_side_by_side_and_named_in_the_log(
    service: Service, portrait: bytes, key: str, name: str
) -> None:
    answer = ask(service, portrait, {"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    line = line_of(service, answer.headers["X-Request-Id"])
    assert (line["caller"], line["status"], line["faces"]) == (name, 200, 1)


def test_the_same_as_basic_pairs(service: Service, portrait: bytes) -> None:
    for pair in (("ann", "her:password"), ("app-2026", NEW)):
        answer = service.post(data=portrait, params=PARAMETERS, headers=IMAGE, auth=pair)
        assert answer.status_code == 200
    assert service.post(data=portrait, headers=IMAGE).status_code == 401  # sugar:kubes


def test_an_error_is_found_in_the_log_by_its_id(service: Service, portrait: bytes) -> None:
    """Also one that is answered before the body, without the application."""
    answer = ask(service, portrait, {"Authorization": "Bearer wrong-key-of-somebody"})
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    line = line_of(service, answer.json()["request_id"])
    assert (line["route"], line["status"], line["code"]) == ("/predict", 401, "unauthorized")
    counted = [line for line in lines_of(service) if line["message"] == "failed logins"]
    assert counted
    assert counted[0]["counts"]["127.0.0.1"] >= 1
    log = service.log.read_text()
    assert "wrong-key" not in log
    assert NEW not in log


def test_expecting_100_continue(service: Service) -> None:
    """Only those who may call are asked for their body."""
    for key, first in ((NEW, b"HTTP/1.1 100 Continue"), ("wrong", b"HTTP/1.1 401 ")):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as made:
            lines = [
                *("POST /predict HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"),
                *("Content-Type: image/jpeg", "Content-Length: 9", "Expect: 100-continue"),
            ]
            made.sendall("\r\n".join([*lines, "", ""]).encode())
            assert made.recv(1000).startswith(first)


PREDICT = """async ([service, key, picture]) => {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const answer = await fetch(`${service}/predict?return_image=false&face_detector=accurate`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "image/jpeg" },
    body: bytes,
  });
  const timing = answer.headers.get("Server-Timing");
  const id = answer.headers.get("X-Request-Id");
  return { status: answer.status, timing, id, body: await answer.json() };
}"""


@pytest.mark.defends("foreign-page")
def test_a_page_of_another_origin_predicts(
    service: Service, page: str, portrait: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("playwright", reason="CORS is NOT tested: playwright is missing")
    from tests.e2e.web.browser import chromium, find_chromium

    executable = find_chromium()
    if executable is None:
        pytest.skip("CORS is NOT tested in a browser: no Chromium (apt install chromium)")
    picture = base64.b64encode(portrait).decode()
    with chromium(executable) as browser:
        tab = browser.new_page()
        tab.goto(page)
        good = tab.evaluate(PREDICT, [service.url, NEW, picture])
        assert good["status"] == 200
        assert len(good["body"]["faces"]) == 1
        assert "detect;dur=" in good["timing"]
        assert line_of(service, good["id"])["faces"] == 1
        wrong = tab.evaluate(PREDICT, [service.url, "wrong", picture])
        assert (wrong["status"], wrong["body"]["code"]) == (401, "unauthorized")
        assert wrong["id"] == wrong["body"]["request_id"]
        # Another port is another origin, which was not allowed.
        tab.goto(page.replace("127.0.0.1", "localhost"))
        with pytest.raises(Exception, match="Failed to fetch"):
            tab.evaluate(PREDICT, [service.url, NEW, picture])


@pytest.mark.defends("public-iam")
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"AUTH": "keys"}, "auth_keys"),
        ({"AUTH": "iam"}, "PUBLIC_ACCESS"),
        ({"AUTH": "iam", "PUBLIC_ACCESS": "true", "K_SERVICE": "x"}, "public_access"),
    ],
)
def test_it_does_not_start_open_by_mistake(
    tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import main"],
        cwd=ROOT / "function",
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("cannot start: ")
    assert reason in line
