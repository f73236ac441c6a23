"""Routes, methods, pages and headers; everything but predictions."""

import gzip
import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from age_gender import __version__
from age_gender.edge.app import ROUTES
from age_gender.edge.compression import MIN_BYTES
from age_gender.edge.openapi import description
from age_gender.edge.pages import STATIC
from age_gender.edge.problems import STATUSES
from age_gender.edge.responses import ModelSpecBody
from age_gender.settings import FUNCTION_DIR
from modelbuild.catalogue import CATALOGUE
from tests.contract.conftest import Client, Serve, validate

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def loads_nothing() -> Any:
    raise AssertionError("a model was loaded")


class TestHealth:
    @pytest.mark.parametrize("path", ["/", "/health", "/healthz"])
    def test_answers_at_once_without_models_or_credentials(self, serve: Serve, path: str) -> None:
        response = serve(loads_nothing).get(path, headers={"Authorization": None})
        assert response.status_code == 200
        assert response.mimetype == "application/json"
        assert response.get_json() == {"status": "ok", "version": __version__}

    @pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/model", "/docs"])
    def test_head(self, client: Client, path: str) -> None:
        response = client.open(path, method="HEAD")
        assert response.status_code == 200
        assert response.data == b""
        assert response.mimetype == client.get(path).mimetype

    def test_healthy_without_any_model(self, serve: Serve, tmp_path: Any) -> None:
        assert serve(loads_nothing, models_dir=tmp_path).get("/health").status_code == 200


class TestIndex:
    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            (BROWSER, "text/html"),
            ("text/html", "text/html"),
            ("text/html;q=0.9, application/json;q=0.5", "text/html"),
            ("*/*", "application/json"),
            (None, "application/json"),
            ("", "application/json"),
            ("application/json", "application/json"),
            ("text/html;q=0.1, application/json", "application/json"),
            ("image/png", "application/json"),
            ("nonsense;;;,,,=", "application/json"),
        ],
    )
    def test_pages_are_for_browsers(self, client: Client, accept: str | None, kind: str) -> None:
        response = client.get("/", headers={"Accept": accept})
        assert response.status_code == 200
        assert response.mimetype == kind

    @pytest.mark.defends("page-injection")
    @pytest.mark.parametrize("path", ["/", "/docs"])
    def test_pages_have_a_strict_policy(self, client: Client, path: str) -> None:
        response = client.get(path, headers={"Accept": BROWSER})
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Referrer-Policy"] == "no-referrer"

    @pytest.mark.parametrize("path", ["/", "/docs"])
    def test_every_reference_of_a_page_is_served(self, client: Client, path: str) -> None:
        page = client.get(path, headers={"Accept": BROWSER}).text
        addresses = set(re.findall(r'\b(?:src|href)="([^"#:]+)"', page))
        assert any(address.endswith(".js") for address in addresses)
        for address in addresses:
            target = "/" + address.removeprefix("./")
            assert client.get(target).status_code == 200, address

    @pytest.mark.defends("page-injection")
    @pytest.mark.parametrize("path", ["/", "/docs"])
    def test_pages_have_nothing_inline(self, client: Client, path: str) -> None:
        page = client.get(path, headers={"Accept": BROWSER}).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)

    @pytest.mark.parametrize("name", STATIC)
    def test_assets(self, client: Client, name: str) -> None:
        response = client.get(f"/assets/{name}")
        assert response.status_code == 200
        assert response.data == STATIC[name].read_bytes()
        expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        if STATIC[name].suffix in expected:
            assert response.mimetype == expected[STATIC[name].suffix]

    @pytest.mark.parametrize("name", STATIC)
    def test_assets_are_compressed_unless_they_are_already(self, client: Client, name: str) -> None:
        plain = STATIC[name].read_bytes()
        response = client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
        if name == "sample.jpg" or len(plain) < MIN_BYTES:
            assert (response.data, response.headers.get("Content-Encoding")) == (plain, None)
            return
        assert response.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in response.vary
        assert gzip.decompress(response.data) == plain
        assert len(response.data) < 0.6 * len(plain)

    @pytest.mark.parametrize("path", ["/docs", "/assets/app.js", "/assets/sample.jpg"])
    @pytest.mark.parametrize("encoding", ["gzip", "identity"])
    def test_what_a_browser_has_is_not_sent_again(
        self, client: Client, path: str, encoding: str
    ) -> None:
        headers = {"Accept-Encoding": encoding}
        tag = client.get(path, headers=headers).headers["ETag"]
        again = client.get(path, headers={**headers, "If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == tag
        other = client.get(path, headers={**headers, "If-None-Match": '"other"'})
        assert other.status_code == 200
        for condition in ("If-Match", "If-Modified-Since", "Range"):  # of no use here
            assert client.get(path, headers={**headers, condition: '"other"'}).status_code == 200

    def test_caches_keep_page_and_json_apart(self, client: Client) -> None:
        for accept in (BROWSER, "application/json"):
            assert "Accept" in client.get("/", headers={"Accept": accept}).vary


class TestElsewhere:
    @pytest.mark.defends("odd-path")
    @pytest.mark.parametrize(
        "path",
        [
            "/nowhere",
            "/predict/",
            "/Predict",
            "/health/",
            "/assets/",
            "/assets/http.py",
            "/assets/..%2fhttp.py",
            "/assets/%2e%2e/config.json",
            "/config.json",
            "/.env",
            "/%00",
            "/\u2603",
            "/%ff%fe",
            "/a//b",
            "/static/",
            "/static/main.py",
            "/favicon.ico",
            "/robots.txt",
            "/" + "x" * 10_000,
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_not_found(self, client: Client, path: str, method: str) -> None:
        response = client.open(path, method=method)
        assert response.status_code == 404
        assert len(response.data) < 2000

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
    def test_predict_accepts_post(self, client: Client, method: str) -> None:
        response = client.open("/predict", method=method)
        assert response.status_code == 405
        assert response.headers["Allow"] == "POST, OPTIONS"

    @pytest.mark.parametrize("path", sorted(set(ROUTES) - {"/predict"}))
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_the_others_accept_get(self, client: Client, path: str, method: str) -> None:
        response = client.open(path, method=method, data=b"x" * 1000)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}

    @pytest.mark.parametrize("path", ["/health", "/assets/app.js", "/predict"])
    def test_options(self, client: Client, path: str) -> None:
        response = client.open(path, method="OPTIONS", headers={"Authorization": None})
        assert (response.status_code, response.data) == (204, b"")
        expected = {"POST"} if path == "/predict" else {"GET", "HEAD"}
        assert set(response.headers["Allow"].split(", ")) == {*expected, "OPTIONS"}
        assert "Content-Type" not in response.headers

    def test_options_of_nothing(self, client: Client) -> None:
        assert client.open("/nowhere", method="OPTIONS").status_code == 404


class TestRequestId:
    @pytest.mark.parametrize("given", ["a", "0123-abc_DEF.9", "x" * 64])
    @pytest.mark.parametrize("path", ["/health", "/nowhere"])
    def test_harmless_ids_are_kept(self, client: Client, given: str, path: str) -> None:
        response = client.get(path, headers={"X-Request-Id": given})
        assert response.headers["X-Request-Id"] == given

    @pytest.mark.defends("log-injection")
    @pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<script>", "ü", "a/b", "a;b", "a\tb"])
    def test_other_ids_are_replaced(self, client: Client, given: str) -> None:
        response = client.get("/health", headers={"X-Request-Id": given})
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-Id"])

    def test_each_request_has_its_own(self, client: Client) -> None:
        made = {client.get("/health").headers["X-Request-Id"] for _ in range(20)}
        assert len(made) == 20


class TestDescriptions:
    def test_model_card(self, client: Client) -> None:
        card = client.get("/model").get_json()
        assert {"name", "version", "licence", "data", "chip", "calibration"} <= set(card)
        validate("Model", card)
        assert set(card) == set(ModelSpecBody.model_fields)

    @pytest.mark.parametrize("name", ["agn-v2", "agn-v2-research"])
    def test_licences_are_those_of_the_catalogue(self, serve: Serve, name: str) -> None:
        recorded = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))["own"][name]
        card = serve(attribute_model=name).get("/model").get_json()
        assert (card["name"], card["version"]) == (name, recorded["version"])
        assert card["licence"] == recorded["licence"]

    def test_health_as_described(self, client: Client) -> None:
        validate("Health", client.get("/health").get_json())

    def test_a_missing_model(self, serve: Serve, tmp_path: Any) -> None:
        assert serve(models_dir=tmp_path).get("/model").status_code == 503

    def test_openapi(self, client: Client) -> None:
        document = client.get("/openapi.json").get_json()
        assert document == json.loads(json.dumps(description()))
        assert document["openapi"].startswith("3.1")
        for path, methods in document["paths"].items():
            assert {method.upper() for method in methods} == set(ROUTES[path])

    def test_every_status_is_described(self) -> None:
        responses = description()["paths"]["/predict"]["post"]["responses"]
        described = {int(status) for status in responses}
        # 404 and 405 belong to other paths and methods; the client of a 499 is gone.
        elsewhere = {404, 405, 499}
        assert described == {200, *(status for status, _ in STATUSES.values())} - elsewhere

    def test_every_reference_resolves(self) -> None:
        references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(description())))
        assert references <= set(description()["components"]["schemas"])

    def test_examples_are_valid(self) -> None:
        examples = description()["components"]["schemas"]["PredictRequest"]["examples"]
        assert examples
        for example in examples:
            validate("PredictRequest", example)


@pytest.mark.parametrize("environment", [{"PORT": "high"}, {"REQUIRE_STRONG_AUTH": "true"}])
def test_a_wrong_setting_ends_the_start_with_one_line(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", "import main"]
    done = subprocess.run(
        command, cwd=FUNCTION_DIR, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("cannot start: ")
    assert next(iter(environment)).lower() in line.lower()
