"""The server's loop, over real connections, with an application that does what a test needs."""

import io
import json
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from age_gender.edge.completion import Environ
from age_gender.edge.front import connection, deadlines, incoming, loop
from age_gender.edge.front.loop import Loop
from age_gender.edge.front.policy import CONNECTED, RESERVATION, Admission, Policy
from age_gender.edge.problems import Problem
from age_gender.limits.admission import Budget

TIMEOUT = 30.0
THREADS = 4
MAX_BODY = 1 << 20
MAX_HELD = 2 << 20

Start = Callable[[str, list[tuple[str, str]]], Any]


class Front:
    """A loop in a thread of its own.

    Attributes:
        environs: of the requests that reached the application.
        bodies: of these.
        application: answers them.
        refused: what `admit` raises for requests with this path.
        budget: what bodies may hold.
    """

    def __init__(self) -> None:
        self.environs: list[Environ] = []
        self.bodies: list[bytes] = []
        self.answer = b"hello"
        self.work: Callable[[Environ], None] = lambda _: None
        self.refused: dict[str, Problem] = {}
        self.budget = Budget(MAX_HELD)
        self.stopped = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        policy = Policy(self._admit, self.budget.reserve)
        self.loop = Loop(
            self._application,
            policy,
            [self.listener],
            threads=THREADS,
            alive=lambda: not self.stopped.is_set(),
        )
        self.thread = threading.Thread(target=self.loop.run, args=(5.0,), daemon=True)

    def _admit(self, environ: Environ) -> Admission:
        if problem := self.refused.get(environ["PATH_INFO"]):
            raise problem
        return Admission(MAX_BODY, heavy=environ["REQUEST_METHOD"] == "POST")

    def _application(self, environ: Environ, start: Start) -> list[bytes]:
        self.bodies.append(environ["wsgi.input"].read())
        self.environs.append(environ)
        self.work(environ)
        start("200 OK", [("Content-Type", "text/plain")])
        return [self.answer]

    def stop(self) -> None:
        self.stopped.set()
        self.loop.wake()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()

    @contextmanager
    def client(self, **options: Any) -> Iterator[socket.socket]:
        with socket.create_connection(self.listener.getsockname(), timeout=TIMEOUT) as made:
            for option, value in options.items():
                made.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
            yield made

    def ask(self, data: bytes, *, half_close: bool = False) -> tuple[int, bytes]:
        """Send something and return the status and body of the answer, which must end."""
        with self.client() as made:
            made.sendall(data)
            if half_close:
                made.shutdown(socket.SHUT_WR)
            return parts(everything(made))

    def held(self) -> int:
        return self.budget._held


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front()
    made.thread.start()
    with made.listener:
        yield made
        made.stop()


def everything(made: socket.socket) -> bytes:
    """Receive until the server closes the connection."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while piece := made.recv(1 << 16):
            received += piece
    return bytes(received)


def one_answer(made: socket.socket) -> tuple[int, bytes]:
    """Receive one answer, and nothing of the next."""
    received = bytearray()
    while not received.endswith(b"\r\n\r\n"):
        piece = made.recv(1)
        assert piece, received
        received += piece
    length = re.search(rb"content-length: (\d+)", received.lower())
    assert length
    while len(received) < received.index(b"\r\n\r\n") + 4 + int(length[1]):
        received += made.recv(1)
    return parts(bytes(received))


def parts(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def get(path: str = "/", *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(length: int, *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = "Connection: close"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestRequests:
    def test_what_the_application_gets(self, front: Front) -> None:
        request = b"POST /a%20b/c?d=e%20f HTTP/1.1\r\nHost: x:1\r\nContent-Type: a/b\r\n"
        request += (
            b"Content-Length: 3\r\nX-A: 1\r\nX-A: 2\r\nX_B: 3\r\nConnection: close\r\n\r\nabc"
        )
        assert front.ask(request) == (200, b"hello")
        (environ,) = front.environs
        assert front.bodies == [b"abc"]
        expected = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b/c",
            "QUERY_STRING": "d=e%20f",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "a/b",
            "CONTENT_LENGTH": "3",
            "HTTP_HOST": "x:1",
            "HTTP_X_A": "1,2",
        }
        assert {name: environ[name] for name in expected} == expected
        assert "HTTP_X_B" not in environ

    @pytest.mark.parametrize("sizes", [[1, 0, 70_000], [0], [300_000]])
    def test_bodies_by_length_and_in_chunks(self, front: Front, sizes: list[int]) -> None:
        with front.client() as made:
            for size in sizes:
                body = bytes(index % 251 for index in range(size))
                made.sendall(post(size) + body)
                assert one_answer(made) == (200, b"hello")
                pieces = [body[i : i + 5000] for i in range(0, size, 5000)]
                chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces)
                made.sendall(CHUNKED + chunks + b"0\r\n\r\n")
                assert one_answer(made) == (200, b"hello")
                assert front.bodies[-2:] == [body, body]

    def test_pipelined(self, front: Front) -> None:
        """Answered in order, each once, also those that are refused without the application."""
        front.refused["/no"] = Problem("not-found", "no")
        requests = [get("/1"), get("/no"), post(2, path="/2") + b"ab", get("/3", CLOSE)]
        with front.client() as made:
            made.sendall(b"".join(requests))
            answers = everything(made)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200", b"200"]
        assert [environ["PATH_INFO"] for environ in front.environs] == ["/1", "/2", "/3"]

    def test_a_thousand_pipelined(self, front: Front) -> None:
        front.refused["/no"] = Problem("not-found", "no")
        with front.client() as made:
            threading.Thread(
                target=made.sendall, args=(get("/no") * 1000 + get("/", CLOSE),)
            ).start()
            answers = everything(made)
        assert answers.count(b"HTTP/1.1 404") == 1000

    def test_byte_by_byte(self, front: Front) -> None:
        with front.client() as made:
            for byte in post(3, CLOSE) + b"abc":
                made.sendall(bytes([byte]))
            assert parts(everything(made)) == (200, b"hello")

    def test_head_has_no_body(self, front: Front) -> None:
        with front.client() as made:
            made.sendall(get("/").replace(b"GET", b"HEAD") + get("/", CLOSE))
            answers = everything(made)
        assert answers.count(b"Content-Length: 5") == 2
        assert answers.count(b"hello") == 1

    def test_http_1_0_closes(self, front: Front) -> None:
        assert front.ask(b"GET / HTTP/1.0\r\n\r\n") == (200, b"hello")

    def test_an_application_that_fails(
        self, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: Environ) -> None:
            raise RuntimeError("secret")

        front.work = fail
        status, body = front.ask(get("/", CLOSE))
        assert (status, json.loads(body)["code"]) == (500, "internal")
        assert b"secret" not in body

    def test_expecting_100_continue(self, front: Front) -> None:
        expect = "Expect: 100-continue"
        front.refused["/no"] = Problem("unauthorized", "no")
        with front.client() as made:
            made.sendall(post(3, expect, CLOSE))
            assert made.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            made.sendall(b"abc")
            assert parts(everything(made)) == (200, b"hello")
        assert front.ask(post(3, expect, path="/no"))[0] == 401


class TestMalformed:
    @pytest.mark.defends("request-smuggling")
    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed-request"),
            (b"get / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
            (b"GET  / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
            (b"GET /\x00 HTTP/1.1\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\nHost: x\n\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", 400, "malformed-request"),
            (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", 400, "malformed-request"),
            (post(1, "Content-Length: 1"), 400, "malformed-request"),
            (post(1, "Content-Length: 2"), 400, "malformed-request"),
            (post(1, "Transfer-Encoding: chunked"), 400, "malformed-request"),
            (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "malformed-request"),
            (CHUNKED.replace(b"chunked", b"gzip, chunked"), 400, "malformed-request"),
            (CHUNKED.replace(b"chunked", b"identity"), 400, "malformed-request"),
            (CHUNKED.replace(b"chunked", b"xchunked"), 400, "malformed-request"),
            (post(1).replace(b" 1\r", b" +1\r"), 400, "malformed-request"),
            (post(1).replace(b" 1\r", b" 1_0\r"), 400, "malformed-request"),
            (CHUNKED + b"0x1\r\na\r\n", 400, "incomplete-body"),
            (CHUNKED + b"1 \r\na\r\n", 400, "incomplete-body"),
            (CHUNKED + b"1\na\r\n", 400, "incomplete-body"),
            (CHUNKED + b"1\r\nabc\r\n", 400, "incomplete-body"),
            (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400, "incomplete-body"),
            (get("/" + "x" * 9000), 414, "uri-too-long"),
            (get("/", "X: " + "y" * 9000), 431, "headers-too-large"),
            (get("/", *["X: y"] * 200), 431, "headers-too-large"),
            (get("/", *[f"X{i}: {'y' * 4000}" for i in range(20)]), 431, "headers-too-large"),
            (get("/", *[f"X{i}: {'y' * 4000}" for i in range(9)]), 431, "headers-too-large"),
            (post(1).replace(b" 1\r", b" " + b"1" * 5000 + b"\r"), 400, "malformed-request"),
        ],
    )
    def test_is_refused(self, front: Front, data: bytes, status: int, code: str) -> None:
        """With a description of the problem, the connection closed, and the application unasked."""
        got, body = front.ask(data + get("/smuggled"))
        assert (got, json.loads(body)["code"]) == (status, code)
        assert front.environs == []

    @pytest.mark.parametrize("target", ["http://a", "http://a?b=c", "http://"])
    def test_an_empty_path_is_the_root(self, front: Front, target: str) -> None:
        assert front.ask(get(target, CLOSE))[0] == 200
        assert front.environs[0]["PATH_INFO"] == "/"

    @pytest.mark.defends("forwarded-header")
    @pytest.mark.parametrize("name", ["SCRIPT_NAME", "script_name", "PATH_INFO"])
    def test_headers_that_move_the_application(self, front: Front, name: str) -> None:
        status, body = front.ask(get("/", f"{name}: /x"))
        assert (status, json.loads(body)["code"]) == (400, "malformed-request")

    @pytest.mark.parametrize("data", [b"GET / HT", b"\x16\x03\x01\x02\x00" + bytes(100)])
    def test_a_request_that_breaks_off(self, front: Front, data: bytes) -> None:
        status, body = front.ask(data, half_close=True)
        assert (status, json.loads(body)["code"]) == (400, "malformed-request")

    @pytest.mark.defends("broken-chunks")
    @pytest.mark.parametrize("data", [post(5) + b"ab", CHUNKED + b"5\r\nab", CHUNKED])
    def test_a_body_that_breaks_off(self, front: Front, data: bytes) -> None:
        status, body = front.ask(data, half_close=True)
        assert (status, json.loads(body)["code"]) == (400, "incomplete-body")
        until(lambda: front.held() == 0)

    @pytest.mark.defends("broken-chunks")
    @pytest.mark.parametrize(
        ("size", "status", "code"),
        [
            (b"f" * 30, 400, "malformed-request"),
            (b"1" + b"0" * 16, 400, "malformed-request"),
            (b"f" * 16, 413, "body-too-large"),
            (b"%x" % (MAX_BODY + 1), 413, "body-too-large"),
            (b"0" * 30 + b"%x;a=b" % (MAX_BODY + 1), 413, "body-too-large"),
        ],
    )
    def test_the_size_of_a_chunk(self, front: Front, size: bytes, status: int, code: str) -> None:
        """Refused at once, though the client keeps the connection and sends nothing more."""
        with front.client() as made:
            made.sendall(CHUNKED + size + b"\r\n")
            got, body = one_answer(made)
        assert (got, json.loads(body)["code"]) == (status, code)
        until(lambda: front.held() == 0)

    @pytest.mark.parametrize("first", [b"", b"1\r\na\r\n"])
    def test_a_chunk_that_just_fits(self, front: Front, first: bytes) -> None:
        left = MAX_BODY - bool(first)
        chunk = b"0000%x\r\n" % left + bytes(left) + b"\r\n0\r\n\r\n"
        with front.client() as made:
            made.sendall(CHUNKED + first + chunk)
            assert one_answer(made)[0] == 200
        assert len(front.bodies[0]) == MAX_BODY


class TestBodies:
    def test_too_large(self, front: Front) -> None:
        """Refused by its length, or at the limit."""
        status, body = front.ask(post(MAX_BODY + 1))
        assert (status, json.loads(body)["code"]) == (413, "body-too-large")
        chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        status, body = front.ask(CHUNKED + chunk * (MAX_BODY // (1 << 16)) + b"1\r\na\r\n")
        assert (status, json.loads(body)["code"]) == (413, "body-too-large")
        until(lambda: front.held() == 0)

    def test_held_until_the_answer_is_sent(self, front: Front) -> None:
        seen: list[int] = []
        front.work = lambda _: seen.append(front.held())
        assert front.ask(post(1000, CLOSE) + bytes(1000))[0] == 200
        assert seen == [1000]
        assert front.environs[0][RESERVATION] is not None
        until(lambda: front.held() == 0)

    def test_the_body_is_kept_nowhere_else(self, front: Front) -> None:
        """What the application lets go of is free, even before it answers."""
        alive: list[bool] = []

        class Tracked(io.BytesIO):
            """Its memory can be watched."""

        def work(environ: Environ) -> None:
            watched = weakref.ref(environ["wsgi.input"])
            del environ["wsgi.input"]
            alive.append(watched() is not None)

        front.work = work
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{incoming.__name__}.io", SimpleNamespace(BytesIO=Tracked))
            assert front.ask(post(3, CLOSE) + b"abc")[0] == 200
        assert alive == [False]

    @pytest.mark.defends("tiny-body-chunks")
    def test_tiny_chunks(self, front: Front) -> None:
        """Each costs some microseconds of the thread that serves all connections."""
        data = CHUNKED + b"1\r\na\r\n" * (incoming.TINY_PIECES + 1000)
        status, body = front.ask(data)
        assert (status, json.loads(body)["code"]) == (400, "incomplete-body")
        few = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert front.ask(few + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")[0] == 200

    @pytest.mark.defends("slow-body")
    @pytest.mark.parametrize("drip", [b"", b"x"])
    def test_a_client_that_stops_or_dribbles(
        self, front: Front, drip: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "GRACE_SECONDS", 0.2)
        with front.client() as made:
            made.sendall(post(500))
            ended = threading.Event()

            def send() -> None:
                while not ended.wait(0.02):
                    with suppress(OSError):
                        made.sendall(drip)

            thread = threading.Thread(target=send)
            thread.start()
            try:
                status, body = parts(everything(made))
            finally:
                ended.set()
                thread.join()
        assert (status, json.loads(body)["code"]) == (408, "body-timeout")
        assert front.environs == []

    def test_a_client_that_keeps_its_pace_gets_more_time(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "GRACE_SECONDS", 0.3)
        monkeypatch.setattr(deadlines, "MIN_PACE", 10)  # so that its first bytes give it a minute
        with front.client() as made:
            made.sendall(post(800, CLOSE) + bytes(600))
            time.sleep(1.0)
            made.sendall(bytes(200))
            assert parts(everything(made)) == (200, b"hello")

    @pytest.mark.defends("unauthorized-body")
    @pytest.mark.parametrize("length", [20 << 20, None])
    def test_refused_by_the_headers(self, front: Front, length: int | None) -> None:
        """The body is neither awaited nor read, except a little that the client has on the way."""
        front.refused["/no"] = Problem("unauthorized", "no")
        head = CHUNKED.replace(b" / ", b" /no ") if length is None else post(length, path="/no")
        with front.client() as made:
            made.sendall(head)
            assert made.recv(12) == b"HTTP/1.1 401"
        with front.client() as made:
            made.sendall(head)
            sent = 0
            with suppress(OSError):
                while sent < 20 << 20:
                    sent += made.send(bytes(1 << 16))
        assert sent < 4 << 20  # the rest is in the kernel's buffers
        assert front.held() == 0

    @pytest.mark.defends("held-bodies")
    def test_slow_bodies_are_dropped_when_others_wait(self, front: Front) -> None:
        """Two take all there is and never end."""
        with ExitStack() as stack:
            slow = [stack.enter_context(front.client()) for _ in range(2)]
            for made in slow:
                made.sendall(post(MAX_BODY) + bytes(MAX_BODY - 1))
            until(lambda: front.held() >= 2 * (MAX_BODY - 1))
            start = time.monotonic()
            assert front.ask(post(300_000, CLOSE) + bytes(300_000))[0] == 200
            assert time.monotonic() - start < 10
            statuses = []
            for made in slow:
                made.settimeout(0.5)
                with suppress(TimeoutError):
                    statuses.append(parts(made.recv(1 << 16))[0])
            assert statuses == [429]

    @pytest.mark.defends("held-bodies")
    def test_the_largest_body_is_dropped_when_all_are_fast(self, front: Front) -> None:
        """They keep sending; yet a small one needs to wait for a second only."""
        ended = threading.Event()
        with ExitStack() as stack:
            fast = [stack.enter_context(front.client()) for _ in range(2)]

            def send(made: socket.socket) -> None:
                with suppress(OSError):
                    made.sendall(post(MAX_BODY) + bytes(MAX_BODY - 400_000))
                    while not ended.wait(0.1):
                        made.sendall(bytes(10_000))

            threads = [threading.Thread(target=send, args=(made,)) for made in fast]
            for thread in threads:
                thread.start()
            try:
                until(lambda: front.held() > 1_400_000)
                blocker = stack.enter_context(front.client())
                blocker.sendall(post(MAX_BODY) + bytes(600_000))
                assert front.ask(post(300_000, CLOSE) + bytes(300_000))[0] == 200
            finally:
                ended.set()
                for thread in threads:
                    thread.join()


class TestConnections:
    @pytest.mark.defends("slow-headers")
    def test_slow_headers(self, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deadlines, "HEADER_SECONDS", 0.2)
        status, body = front.ask(b"GET / HTTP/1.1\r\nX: ")
        assert (status, json.loads(body)["code"]) == (408, "headers-timeout")
        with front.client() as made:
            assert everything(made) == b""  # nothing was asked

    @pytest.mark.defends("idle-connections")
    def test_idle_ones_are_dropped_first(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loop, "MAX_CONNECTIONS", 20)
        working, finish = threading.Event(), threading.Event()

        def work(environ: Environ) -> None:
            if environ["PATH_INFO"] == "/long":
                working.set()
                assert finish.wait(TIMEOUT)

        front.work = work
        with ExitStack() as stack:
            busy = stack.enter_context(front.client())
            busy.sendall(get("/long", CLOSE))
            assert working.wait(TIMEOUT)
            sending = stack.enter_context(front.client())
            sending.sendall(post(3, CLOSE) + b"a")
            until(lambda: bool(front.loop._phases[connection.Phase.BODY]))
            for _ in range(60):
                stack.enter_context(front.client())
            assert front.ask(get("/", CLOSE)) == (200, b"hello")
            sending.sendall(b"bc")
            assert parts(everything(sending)) == (200, b"hello")
            finish.set()
            assert parts(everything(busy)) == (200, b"hello")

    @pytest.mark.defends("unread-response")
    def test_answers_that_are_not_taken_hold_no_thread(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "STALL_SECONDS", 3.0)
        front.answer = bytes(8 << 20)
        with ExitStack() as stack:
            deaf = [stack.enter_context(front.client(SO_RCVBUF=4096)) for _ in range(30)]
            for made in deaf:
                made.sendall(get() * 20)
            until(lambda: len(front.environs) == len(deaf))
            start = time.monotonic()
            front.answer = b"hello"
            assert front.ask(get("/", CLOSE)) == (200, b"hello")
            assert time.monotonic() - start < 2.5
            until(lambda: not front.loop._phases[connection.Phase.SENDING])  # cut off
        assert len(front.environs) == len(deaf) + 1

    def test_is_connected(self, front: Front) -> None:
        seen: list[bool] = []
        gone = threading.Event()

        def work(environ: Environ) -> None:
            seen.append(environ[CONNECTED]())
            assert gone.wait(TIMEOUT)
            seen.append(environ[CONNECTED]())

        front.work = work
        with front.client() as made:
            made.sendall(get() + get())  # a further request is no sign of a client that is gone
            until(lambda: len(seen) == 1)
        gone.set()
        until(lambda: len(seen) >= 2)
        assert seen[0]

    @pytest.mark.defends("overload")
    def test_requests_beyond_the_threads_are_refused(self, front: Front) -> None:
        """Others, which do not wait, have threads of their own."""
        finish = threading.Event()

        def work(environ: Environ) -> None:
            if environ["REQUEST_METHOD"] == "POST":
                assert finish.wait(TIMEOUT)

        front.work = work
        with ExitStack() as stack:
            working = [stack.enter_context(front.client()) for _ in range(THREADS)]
            for made in working:
                made.sendall(post(1, CLOSE) + b"a")
            until(lambda: len(front.environs) == THREADS)
            with front.client() as made:
                made.sendall(post(1) + b"a" + get("/", CLOSE))
                answers = everything(made)
            assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"429", b"200"]
            finish.set()
            assert [parts(everything(made))[0] for made in working] == [200] * THREADS
        until(lambda: front.held() == 0)

    @pytest.mark.defends("wrong-passwords")
    def test_delayed_refusals_hold_up_nobody(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loop, "MAX_DELAYED", 3)
        front.refused["/no"] = Problem("unauthorized", "no", delay=0.5)
        start = time.monotonic()
        with ExitStack() as stack:
            delayed = [stack.enter_context(front.client()) for _ in range(3)]
            for made in delayed:
                made.sendall(get("/no", CLOSE))
            until(lambda: len(front.loop._phases[connection.Phase.DELAYED]) == 3)
            assert front.ask(get("/no", CLOSE))[0] == 429
            assert front.ask(get("/", CLOSE))[0] == 200
            assert [parts(everything(made))[0] for made in delayed] == [401] * 3
        assert time.monotonic() - start >= 0.5

    @pytest.mark.defends("shutdown")
    def test_what_was_accepted_is_answered(self, front: Front) -> None:
        working = threading.Event()

        def work(_: Environ) -> None:
            working.set()
            time.sleep(0.5)

        front.work = work
        with ExitStack() as stack:
            first, late, idle = (stack.enter_context(front.client()) for _ in range(3))
            first.sendall(get())
            late.sendall(post(3) + b"a")
            assert working.wait(TIMEOUT)
            front.stopped.set()
            front.loop.wake()
            until(lambda: front.loop.draining)
            late.sendall(b"bc")
            for made in (first, late):
                answer = everything(made)
                assert parts(answer) == (200, b"hello")
                assert b"Connection: close" in answer
            assert everything(idle) == b""

    def test_an_unexpected_error_ends_one_connection(
        self, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        front.refused["/no"] = ValueError()  # type: ignore[assignment]
        with front.client() as made:
            made.sendall(get("/no"))
            assert everything(made) == b""
        assert front.ask(get("/", CLOSE)) == (200, b"hello")
        assert "unexpected error with a connection" in caplog.text
