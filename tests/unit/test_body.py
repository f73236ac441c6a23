"""Bodies are read within limits, for any client."""

import io
import socket
import threading
from collections.abc import Iterator

import pytest
from flask import Request
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from werkzeug.test import EnvironBuilder

from age_gender.edge import body
from age_gender.edge.problems import Problem
from age_gender.errors import Busy

LIMIT = 1000
LONG = 60.0


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
    assert body.read(got, LIMIT, LONG) == data[:size]


def test_a_body_announced_as_too_large_is_not_read() -> None:
    stream = Stream(bytes(LIMIT + 1))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, LIMIT + 1), LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (413, "body-too-large")
    assert stream.taken == 0


@pytest.mark.defends("large-body")
def test_an_endless_body_is_cut_off() -> None:
    stream = Stream(bytes(50 * LIMIT))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, None), LIMIT, LONG)
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
        body.read(got, LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")


@pytest.mark.parametrize("error", [NoMoreData(), InvalidChunkSize(b"x"), ConnectionResetError()])
def test_chunks_that_break_off_are_an_incomplete_body(error: Exception) -> None:
    class Broken(Stream):
        def read(self, size: int = -1) -> bytes:
            if self.taken:
                raise error
            return super().read(10)

    with pytest.raises(Problem) as caught:
        body.read(request(Broken(bytes(100)), None), LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")


def test_every_chunk_is_reserved() -> None:
    size = 3 * body.CHUNK_BYTES + 5
    chunks: list[int] = []
    body.read(request(Stream(bytes(size)), None), size, LONG, chunks.append)
    assert sum(chunks) == size
    assert max(chunks) <= body.CHUNK_BYTES


def test_a_chunk_without_capacity_ends_the_reading() -> None:
    def refuse(_: int) -> None:
        raise Busy("full", retry_after=1)

    stream = Stream(bytes(10 * body.CHUNK_BYTES))
    with pytest.raises(Busy):
        body.read(request(stream, None), 10 * body.CHUNK_BYTES, LONG, refuse)
    assert stream.taken <= body.CHUNK_BYTES


def test_nothing_is_left_to_the_framework_after_reading() -> None:
    got = request(Stream(bytes(100)), 100)
    body.read(got, LIMIT, LONG)
    assert got.stream.read() == b""


class TestDiscard:
    def test_the_rest_of_a_body(self) -> None:
        stream = Stream(bytes(600))
        got = request(stream, 600)
        body.discard(got, LIMIT, LONG)
        assert stream.taken == 600
        assert got.stream.read() == b""

    def test_not_without_end(self) -> None:
        stream = Stream(bytes(50 * LIMIT))
        body.discard(request(stream, None), LIMIT, LONG)
        assert stream.taken <= LIMIT + 1

    @pytest.mark.parametrize("length", [500, None])
    def test_a_client_that_is_gone(self, length: int | None) -> None:
        got = request(Gone(b""), length)
        body.discard(got, LIMIT, LONG)
        assert got.stream.read() == b""


class TestConnection:
    """With a real connection, as gunicorn passes it on."""

    @pytest.fixture
    def ends(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        server, client = socket.socketpair()
        with server, client:
            yield server, client

    @staticmethod
    def from_client(server: socket.socket, length: int | None) -> Request:
        got = request(server.makefile("rb"), length)
        # A bare connection does not end where a body does, as gunicorn's stream would.
        if length is not None:
            del got.environ["wsgi.input_terminated"]
        got.environ["gunicorn.socket"] = server
        return got

    def test_a_client_that_stops_sending_times_out(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        server, client = ends
        client.sendall(b"begun")
        with pytest.raises(Problem) as caught:
            body.read(self.from_client(server, 500), LIMIT, 0.05)
        assert (caught.value.status, caught.value.code) == (408, "body-timeout")
        server.sendall(b"answer")  # still reaches the client
        assert client.recv(100) == b"answer"

    def test_a_client_that_keeps_sending_is_cut_off(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        server, client = ends
        client.sendall(bytes(LIMIT + 500))
        client.settimeout(LONG)
        body.discard(self.from_client(server, None), LIMIT, LONG)
        with pytest.raises(OSError, match="Broken pipe"):
            client.sendall(bytes(1 << 22))

    def test_the_deadline_ends_with_the_reading(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        server, client = ends
        client.sendall(bytes(100))
        assert body.read(self.from_client(server, 100), LIMIT, LONG) == bytes(100)
        client.sendall(b"the next request")
        assert server.recv(100) == b"the next request"

    @pytest.mark.defends("slow-body")
    def test_a_client_that_dribbles_times_out_early(
        self, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(body, "GRACE_SECONDS", 0.1)
        server, client = ends
        ended = threading.Event()

        def dribble() -> None:
            while not ended.wait(0.02):
                client.sendall(b"x")

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            with pytest.raises(Problem) as caught:
                body.read(self.from_client(server, LIMIT), LIMIT, LONG)
        finally:
            ended.set()
            thread.join()
        assert caught.value.code == "body-timeout"

    def test_a_client_that_keeps_its_pace_gets_more_time(
        self, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(body, "GRACE_SECONDS", 0.3)
        monkeypatch.setattr(body, "MIN_PACE", 10)  # so that its first chunk gives it a minute
        monkeypatch.setattr(body, "CHUNK_BYTES", 600)
        server, client = ends
        client.sendall(bytes(600))
        later = threading.Timer(1.0, client.sendall, [bytes(200)])
        later.start()
        assert len(body.read(self.from_client(server, 800), LIMIT, LONG)) == 800
        later.join()

    def test_is_connected(self, ends: tuple[socket.socket, socket.socket]) -> None:
        server, client = ends
        got = self.from_client(server, 0)
        assert body.is_connected(got)
        client.sendall(b"the next request")
        assert body.is_connected(got)
        assert server.recv(100) == b"the next request"  # which is still there
        client.close()
        assert not body.is_connected(got)

    def test_without_access_to_the_connection_a_client_counts_as_connected(self) -> None:
        assert body.is_connected(request(Stream(b""), 0))
