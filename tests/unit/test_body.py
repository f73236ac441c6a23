"""Bodies are read within limits, whatever the client does."""

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
    """A body as the server hands it on, which knows how much of it was read."""

    def __init__(self, data: bytes):
        self._data = io.BytesIO(data)
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size)
        self.taken += len(data)
        return data


class Gone(Stream):
    """The connection of a client that is no longer there."""

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


def test_announced_as_too_large_is_not_even_read() -> None:
    stream = Stream(bytes(LIMIT + 1))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, LIMIT + 1), LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (413, "body-too-large")
    assert stream.taken == 0


@pytest.mark.defends("large-body")
def test_endless_without_announcement_is_cut() -> None:
    stream = Stream(bytes(50 * LIMIT))
    with pytest.raises(Problem) as caught:
        body.read(request(stream, None), LIMIT, LONG)
    assert caught.value.status == 413
    assert stream.taken <= LIMIT + 1


@pytest.mark.parametrize("stream", [Stream(bytes(10)), Gone(b"")])
@pytest.mark.parametrize("server_ends_bodies", [True, False])
def test_client_that_goes_away(stream: Stream, server_ends_bodies: bool) -> None:
    got = request(stream, 500)
    # Not every server does as gunicorn does; the framework checks the length itself then.
    if not server_ends_bodies:
        del got.environ["wsgi.input_terminated"]
    with pytest.raises(Problem) as caught:
        body.read(got, LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")


@pytest.mark.parametrize("error", [NoMoreData(), InvalidChunkSize(b"x"), ConnectionResetError()])
def test_chunks_that_break_off_are_no_whole_body(error: Exception) -> None:
    class Broken(Stream):
        def read(self, size: int = -1) -> bytes:
            if self.taken:
                raise error
            return super().read(10)

    with pytest.raises(Problem) as caught:
        body.read(request(Broken(bytes(100)), None), LIMIT, LONG)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")


def test_every_piece_is_accounted_for() -> None:
    size = 3 * body.CHUNK + 5
    pieces: list[int] = []
    body.read(request(Stream(bytes(size)), None), size, LONG, pieces.append)
    assert sum(pieces) == size
    assert max(pieces) <= body.CHUNK


def test_a_piece_for_which_there_is_no_room_ends_the_reading() -> None:
    def refuse(_: int) -> None:
        raise Busy("full", retry_after=1)

    stream = Stream(bytes(10 * body.CHUNK))
    with pytest.raises(Busy):
        body.read(request(stream, None), 10 * body.CHUNK, LONG, refuse)
    assert stream.taken <= body.CHUNK


def test_nothing_is_left_to_the_framework_after_reading() -> None:
    got = request(Stream(bytes(100)), 100)
    body.read(got, LIMIT, LONG)
    assert got.stream.read() == b""


class TestAbandon:
    def test_the_rest_is_dropped(self) -> None:
        stream = Stream(bytes(600))
        got = request(stream, 600)
        body.abandon(got, LIMIT, LONG)
        assert stream.taken == 600
        assert got.stream.read() == b""

    def test_but_not_without_end(self) -> None:
        stream = Stream(bytes(50 * LIMIT))
        body.abandon(request(stream, None), LIMIT, LONG)
        assert stream.taken <= LIMIT + 1

    @pytest.mark.parametrize("length", [500, None])
    def test_a_client_that_is_gone_does_no_harm(self, length: int | None) -> None:
        got = request(Gone(b""), length)
        body.abandon(got, LIMIT, LONG)
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

    def test_a_client_that_stops_sending_is_given_up(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        server, client = ends
        client.sendall(b"begun")
        with pytest.raises(Problem) as caught:
            body.read(self.from_client(server, 500), LIMIT, 0.05)
        assert (caught.value.status, caught.value.code) == (408, "body-timeout")
        server.sendall(b"answer")  # which still reaches the client
        assert client.recv(100) == b"answer"

    def test_a_client_that_sends_on_and_on_is_cut_off(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        server, client = ends
        client.sendall(bytes(LIMIT + 500))
        client.settimeout(LONG)
        body.abandon(self.from_client(server, None), LIMIT, LONG)
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
    def test_a_client_that_dribbles_is_given_up_long_before_the_longest_time(
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
        monkeypatch.setattr(body, "MIN_PACE", 10)  # so that its first piece gives it a minute
        monkeypatch.setattr(body, "CHUNK", 600)
        server, client = ends
        client.sendall(bytes(600))
        later = threading.Timer(1.0, client.sendall, [bytes(200)])
        later.start()
        assert len(body.read(self.from_client(server, 800), LIMIT, LONG)) == 800
        later.join()

    def test_whether_the_client_is_there(self, ends: tuple[socket.socket, socket.socket]) -> None:
        server, client = ends
        got = self.from_client(server, 0)
        assert body.is_awaited(got)
        client.sendall(b"the next request")
        assert body.is_awaited(got)
        assert server.recv(100) == b"the next request"  # it was only looked at
        client.close()
        assert not body.is_awaited(got)

    def test_where_the_server_does_not_show_the_connection_all_are_there(self) -> None:
        assert body.is_awaited(request(Stream(b""), 0))
