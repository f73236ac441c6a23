"""Bodies are read within limits, from any server."""

import io

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from age_gender.edge import body
from age_gender.edge.front.policy import RESERVATION
from age_gender.edge.problems import Problem
from age_gender.errors import Busy

LIMIT = 1000


class Stream:
    """A body as the server passes it on.

    Attributes:
        taken: bytes read.
    """

    def __init__(self, data: bytes):
        self._data = io.BytesIO(data)
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size)
        self.taken += len(data)
        return data


class Gone(Stream):
    """The connection of a client that is gone."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


def request(stream: Stream | io.BufferedReader, length: int | None) -> Request:
    """A request as gunicorn passes it on; without ``length`` its body comes in chunks."""
    environ = EnvironBuilder(method="POST").get_environ()
    environ |= {"wsgi.input": stream, "wsgi.input_terminated": True}
    if length is None:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        environ.pop("CONTENT_LENGTH", None)
    else:
        environ["CONTENT_LENGTH"] = str(length)
    return Request(environ)


@pytest.mark.parametrize("size", [0, 1, LIMIT])
@pytest.mark.parametrize("announced", [True, False])
def test_whole(size: int, announced: bool) -> None:
    data = bytes(range(256)) * 4
    got = request(Stream(data[:size]), size if announced else None)
    assert body.read(got, LIMIT) == data[:size]


def test_a_body_announced_as_too_large_is_not_read() -> None:
    stream = Stream(bytes(LIMIT + 1))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, LIMIT + 1), LIMIT)
    assert (caught.value.status, caught.value.code) == (413, "body-too-large")
    assert stream.taken == 0


@pytest.mark.defends("large-body")
def test_an_endless_body_is_cut_off() -> None:
    stream = Stream(bytes(50 * LIMIT))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, None), LIMIT)
    assert caught.value.status == 413
    assert stream.taken <= LIMIT + 1


@pytest.mark.parametrize("stream", [Stream(bytes(10)), Gone(b"")])
@pytest.mark.parametrize("server_ends_bodies", [True, False])
def test_a_client_that_disconnects(stream: Stream, server_ends_bodies: bool) -> None:
    got = request(stream, 500)
    # Without this flag of gunicorn's, the framework checks the length itself.
    if not server_ends_bodies:
        del got.environ["wsgi.input_terminated"]
    with pytest.raises(Problem) as caught:
        body.read(got, LIMIT)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")


def test_every_chunk_is_reserved() -> None:
    size = 3 * body.CHUNK_BYTES + 5
    chunks: list[int] = []
    body.read(request(Stream(bytes(size)), None), size, chunks.append)
    assert sum(chunks) == size
    assert max(chunks) <= body.CHUNK_BYTES


def test_a_chunk_without_capacity_ends_the_reading() -> None:
    def refuse(_: int) -> None:
        raise Busy("full", retry_after=1)

    stream = Stream(bytes(10 * body.CHUNK_BYTES))
    with pytest.raises(Busy):
        body.read(request(stream, None), 10 * body.CHUNK_BYTES, refuse)
    assert stream.taken <= body.CHUNK_BYTES


def test_nothing_is_left_to_the_framework_after_reading() -> None:
    got = request(Stream(bytes(100)), 100)
    body.read(got, LIMIT)
    assert got.stream.read() == b""


def test_what_the_server_has_reserved_is_not_reserved_again() -> None:
    got = request(Stream(b""), 3)
    got.environ |= {"wsgi.input": io.BytesIO(b"abc"), RESERVATION: object()}
    chunks: list[int] = []
    assert body.read(got, LIMIT, chunks.append) == b"abc"
    assert chunks == []
    assert got.stream.read() == b""
