"""Which answers are compressed, and that clients get the same from them."""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from flask import Request, Response
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from age_gender.edge import compression
from age_gender.edge.compression import MAX_BYTES, MIN_BYTES, compress
from tests.unit.pictures import noise

BODY = b'{"a": 1}'.ljust(MIN_BYTES)


def answered(body: bytes = BODY, accept: str | None = "gzip", **options: Any) -> Response:
    headers = Headers({} if accept is None else {"Accept-Encoding": accept})
    request = Request(EnvironBuilder(headers=headers).get_environ())
    return compress(Response(body, mimetype="application/json"), request, **options)


@pytest.mark.parametrize(
    "accept", ["gzip", "gzip, deflate, br", "*", "br;q=1, gzip;q=0.1", "deflate, GZIP"]
)
def test_accepted(accept: str) -> None:
    response = answered(accept=accept)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.get_data()) == BODY
    assert response.content_length == len(response.get_data()) < len(BODY)


@pytest.mark.parametrize("accept", [None, "", "identity", "br", "gzip;q=0", "*;q=0", "\xff"])
def test_not_accepted(accept: str | None) -> None:
    response = answered(accept=accept)
    assert "Content-Encoding" not in response.headers
    assert response.get_data() == BODY


@pytest.mark.parametrize("accept", [None, "gzip"])
def test_caches_are_informed(accept: str | None) -> None:
    assert answered(accept=accept).headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, False),
        (MIN_BYTES - 1, False),
        (MIN_BYTES, True),
        (MAX_BYTES, True),
        (MAX_BYTES + 1, False),
    ],
)
def test_sizes(size: int, expected: bool) -> None:
    assert ("Content-Encoding" in answered(bytes(size)).headers) == expected


def test_an_image_in_base64_loses_its_quarter() -> None:
    body = b'{"image": "' + base64.b64encode(noise(100, 80).tobytes()) + b'"}'
    response = answered(body)
    assert zlib.decompress(response.get_data(), 31) == body
    assert len(response.get_data()) < 0.77 * len(body)


def test_rows_of_faces_lose_most() -> None:
    face = {"box": [1, 2, 3, 4], "landmarks": None, "quality": {"size": 3.5}}
    body = json.dumps({"details": [{**face, "age": age} for age in range(300)]}).encode()
    assert len(answered(body).get_data()) < 0.1 * len(body)


def test_what_everybody_gets_is_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = compression.compressed

    def counted(body: bytes, *more: int) -> bytes:
        calls.append(body)
        return real(body, *more)

    monkeypatch.setattr(compression, "compressed", counted)
    body = b"shared".ljust(5000)
    first, second = (answered(bytes(body), shared=True).get_data() for _ in range(2))
    assert first == second
    assert len(calls) == 1
