"""Pages of other origins: what a browser learns, with and without `CORS_ORIGINS`."""

import pytest
from werkzeug.test import TestResponse

from age_gender.settings import Settings
from tests.contract.conftest import Client, Serve

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "Authorization": None,
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def cross_origin(response: TestResponse) -> dict[str, str]:
    """The headers of an answer that concern other origins."""
    found = {n: v for n, v in response.headers.items() if n.startswith("Access-Control-")}
    return found | ({"Vary": response.headers["Vary"]} if "Vary" in response.headers else {})


def preflight(client: Client, path: str = "/predict", **headers: str | None) -> TestResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method="OPTIONS", headers={**PREFLIGHT, **names})


class TestWithoutTheSetting:
    @pytest.mark.defends("foreign-page")
    @pytest.mark.parametrize("origin", [None, ORIGIN, "null"])
    def test_no_header(self, client: Client, origin: str | None) -> None:
        for response in (
            preflight(client, Origin=origin),
            client.get("/health", headers={"Origin": origin}),
            client.post(json={}, headers={"Origin": origin}),
        ):
            assert cross_origin(response) == {}


class TestSomeOrigins:
    @pytest.fixture
    def client(self, serve: Serve) -> Client:
        settings = Settings.model_validate({"cors_origins": f"{ORIGIN}/, http://localhost:3000"})
        return serve(cors_origins=settings.cors_origins)

    @pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000"])
    def test_preflight_needs_no_credentials(self, client: Client, origin: str) -> None:
        response = preflight(client, Origin=origin)
        assert response.status_code == 204
        found = cross_origin(response)
        assert found["Access-Control-Allow-Origin"] == origin
        assert "POST" in found["Access-Control-Allow-Methods"]
        allowed = found["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "content-type", "x-request-id"} <= set(allowed.split(", "))
        assert int(found["Access-Control-Max-Age"]) > 0
        assert "Origin" in found["Vary"]
        assert "Access-Control-Allow-Credentials" not in found

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example.com", "http://app.example.com", f"{ORIGIN}.evil.com", "null", ""],
    )
    def test_no_other_origin(self, client: Client, origin: str) -> None:
        for response in (
            preflight(client, Origin=origin),
            client.get("/health", headers={"Origin": origin}),
        ):
            assert response.status_code in (200, 204)
            assert cross_origin(response) == {"Vary": "Origin"}

    @pytest.mark.parametrize("authorization", [None, "Basic nonsense"])
    def test_errors_can_be_read(self, client: Client, authorization: str | None) -> None:
        headers = {"Origin": ORIGIN, "Authorization": authorization}
        response = client.post(json={}, headers=headers)
        assert response.status_code == 401
        found = cross_origin(response)
        assert found["Access-Control-Allow-Origin"] == ORIGIN
        exposed = found["Access-Control-Expose-Headers"]
        assert set(exposed.split(", ")) == {
            *("X-Request-Id", "Retry-After", "Server-Timing", "X-Face-Count", "X-Warnings")
        }

    def test_answers_differ_by_origin(self, client: Client) -> None:
        assert cross_origin(client.get("/health")) == {"Vary": "Origin"}

    def test_a_route_that_is_not_there(self, client: Client) -> None:
        response = preflight(client, "/nowhere")
        assert response.status_code == 404
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_all_origins(serve: Serve) -> None:
    client = serve(cors_origins=("*",))
    for origin in (ORIGIN, "null"):
        response = preflight(client, Origin=origin)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
