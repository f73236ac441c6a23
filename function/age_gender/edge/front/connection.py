"""One connection: reads requests one after the other, and sends each answer before the next."""

import enum
import io
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from gunicorn.asgi import parser as http

from age_gender.edge import completion
from age_gender.edge.front import messages
from age_gender.edge.front.incoming import IncomingBody, too_large
from age_gender.edge.front.messages import Answer
from age_gender.edge.front.policy import CONNECTED, RECEIVE_SECONDS, RESERVATION, Environ, Policy
from age_gender.edge.problems import Problem

RECEIVE_BYTES = 64 * 1024
SEND_BYTES = 256 * 1024
SOCKET_BYTES = 256 * 1024
"""Of the kernel's buffers for each connection and direction, which are memory, too."""

IDLE_SECONDS = 30.0
"""Between two requests."""
HEADER_SECONDS = 10.0
"""Time for a request's first line and headers."""
BODY_SECONDS = 30.0
"""Time for a body at any pace."""
GRACE_SECONDS = 5.0
"""Time before a client's pace counts."""
MIN_PACE = 16 * 1024
"""Bytes a second; slower than any connection worth sending a picture over."""
PRESSED_PACE = 64 * 1024
"""Bytes a second of a body that others do not have to wait for."""
STALL_SECONDS = 10.0
"""Time for a client that takes nothing of its answer, and before its pace counts."""
PRESSED_STALL_SECONDS = 2.0
"""Time without taking anything, after which others do not have to wait."""
SEND_SECONDS = 60.0
"""Time for taking an answer at any pace."""


@dataclass(frozen=True)
class Linger:
    """What a client may still send after a refusal, so that it reads the refusal first."""

    max_bytes: int
    seconds: float


BRIEF = Linger(256 * 1024, 0.5)
LONG = Linger(32 << 20, 3.0)
"""For clients with valid credentials."""
SENT_AFTER_AUTHENTICATION = frozenset({"body-too-large", "unsupported-media-type", "busy"})


class Phase(enum.Enum):
    """What a connection waits for."""

    IDLE = "the next request"
    HEAD = "the rest of the headers"
    BODY = "the rest of the body"
    DELAYED = "the time to send a refusal"
    WORKING = "the application"
    SENDING = "the client to take the answer"
    LINGERING = "the client to stop sending"
    CLOSED = "nothing"


class Server(Protocol):
    """What a connection needs of the loop."""

    policy: Policy
    now: float
    draining: bool

    def update(self, connection: "Connection", before: Phase) -> None:
        """Note a change of phase, or of the events that are wanted."""

    def work(self, connection: "Connection", environ: Environ, *, heavy: bool) -> None:
        """Have a thread call the application, or refuse the request if none is free."""

    def soon(self, connection: "Connection", callback: Callable[[], None]) -> None:
        """Call back before the next events are handled."""

    def may_delay(self) -> bool:
        """Whether another refusal may be delayed."""

    def count(self, event: str) -> None:
        """Count something for the log."""


class Connection:
    """The state of one connection. Everything but `is_connected` runs in the loop's thread.

    Attributes:
        phase: see `Phase`.
        since: when that began.
        body: what has arrived of the body, while there is one.
        waiting_since: when it began to wait for bytes to be released, if it waits.
    """

    def __init__(
        self,
        connection: socket.socket,
        client: messages.Address,
        address: messages.Address,
        server: Server,
    ):
        connection.setblocking(False)
        with suppress(OSError):  # closed by the client already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                connection.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
        self.socket = connection
        self.phase = Phase.IDLE
        self.since = server.now
        self.body: IncomingBody | None = None
        self.waiting_since: float | None = None
        self._client = client
        self._address = address
        self._server = server
        self._parser = http.PythonProtocol(
            on_headers_complete=self._on_head,
            on_body=self._on_body,
            limit_request_line=messages.MAX_FIRST_LINE_BYTES,
            limit_request_fields=messages.MAX_FIELDS,
        )
        self._environ: Environ = {}
        self._refused: Problem | None = None
        self._heavy = False
        self._head_bytes = 0
        self._served = False
        self._backlog = False
        self._due = 0.0
        self._answer: Answer | None = None
        self._out: deque[memoryview] = deque()
        self._sent = 0
        self._progress = 0.0
        self._keep_alive = True
        self._linger = BRIEF
        self._discarded = 0

    # ---- what the loop asks

    @property
    def is_reading(self) -> bool:
        """Whether the loop should wait for data."""
        if self.phase is Phase.BODY:
            return self.waiting_since is None
        if self.phase is Phase.LINGERING:
            return self._discarded <= self._linger.max_bytes
        return self.phase in (Phase.IDLE, Phase.HEAD) and not self._backlog

    @property
    def is_writing(self) -> bool:
        """Whether the loop should wait for space to send."""
        return self.phase is Phase.SENDING

    @property
    def held(self) -> int:
        """Bytes of a body that has not arrived completely."""
        return self.body.received if self.body and self.phase is Phase.BODY else 0

    @property
    def is_slow(self) -> bool:
        """Whether others need not wait for this client."""
        if self.phase is Phase.BODY and self.body:
            return self.waiting_since is None and self.body.pace < PRESSED_PACE
        if self.phase is Phase.SENDING:
            return self._server.now - self._progress > PRESSED_STALL_SECONDS
        return False

    def is_connected(self) -> bool:
        """Whether the client is still there, as far as the server can see; for any thread.

        A client that has closed its half of the connection counts as gone. Every client that
        gives up does so, and hardly any that still wants the answer.
        """
        try:
            return self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    # ---- events

    def on_readable(self) -> None:
        """Receive what there is."""
        if not self.is_reading:  # changed since the event
            return
        if self.phase is Phase.BODY and self.body and not self.body.reserve_next(RECEIVE_BYTES):
            self.waiting_since = self._server.now
            self._server.update(self, self.phase)
            return
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if self.phase is Phase.LINGERING:
            # Beyond the limit it is not read any more, which stops the client, but stays open for a
            # while: most clients read their refusal only if they can still send.
            self._discarded += len(data)
            if not data:
                self.close()
            self._server.update(self, self.phase)
        elif data:
            self._feed(data)
        elif self.phase is Phase.BODY:
            self.refuse(Problem("incomplete-body", "the body is incomplete: send it again"))
        elif self.phase is Phase.HEAD:
            self.refuse(messages.malformed("it is incomplete"))
        else:
            self.close()

    def on_writable(self) -> None:
        """Send what the client takes."""
        if self.phase is not Phase.SENDING:  # changed since the event
            return
        try:
            while self._out:
                sent = self.socket.send(self._out[0][:SEND_BYTES])
                self._sent += sent
                self._progress = self._server.now
                self._out[0] = self._out[0][sent:]
                if not self._out[0]:
                    self._out.popleft()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._on_sent()

    def on_answer(self, answer: Answer) -> None:
        """Send what the application answers."""
        if self.phase is not Phase.WORKING:
            answer.close()
            return
        if self.body:
            self.body.reservation.resize(answer.size)
        self._send(answer)

    def resume(self) -> bool:
        """Go on receiving a body if its next bytes can be reserved; return whether they can."""
        if self.waiting_since is None:
            return True
        if self.body is None or not self.body.reserve_next(RECEIVE_BYTES):
            return False
        self.since += self._server.now - self.waiting_since
        self.body.restart_sample(self._server.now)
        self.waiting_since = None
        self._server.update(self, self.phase)
        return True

    def enforce_limits(self) -> None:
        """End what takes too long."""
        age = self._server.now - self.since
        if self.phase is Phase.IDLE:
            if age > (IDLE_SECONDS if self._served else HEADER_SECONDS):
                self.close()
        elif self.phase is Phase.HEAD:
            if age > HEADER_SECONDS:
                self._server.count("headers too slow")
                self.refuse(
                    Problem(
                        "headers-timeout",
                        f"the headers arrived too slowly: send them within {HEADER_SECONDS:g} s",
                    )
                )
        elif self.phase is Phase.BODY and self.body and self.waiting_since is None:
            self.body.sample(self._server.now)
            if age > min(BODY_SECONDS, GRACE_SECONDS + self.body.received / MIN_PACE):
                self._server.count("body too slow")
                self.refuse(
                    Problem(
                        "body-timeout",
                        f"the body arrived too slowly: send at least {MIN_PACE:,} bytes a second, "
                        f"and all of it within {BODY_SECONDS:g} s",
                    )
                )
        elif self.phase is Phase.DELAYED:
            if self._server.now >= self._due and self._answer:
                self._send(self._answer)
        elif self.phase is Phase.SENDING:
            stalled = self._server.now - self._progress > STALL_SECONDS
            if stalled or age > min(SEND_SECONDS, STALL_SECONDS + self._sent / MIN_PACE):
                self._server.count("answer not taken")
                self.close()
        elif self.phase is Phase.LINGERING and age > self._linger.seconds:
            self.close()

    def refuse(self, problem: Problem, *, keep_alive: bool = False) -> None:
        """Answer a request without the application."""
        self._release()
        self.waiting_since = None
        self._keep_alive = keep_alive
        self._linger = LONG if problem.code in SENT_AFTER_AUTHENTICATION else BRIEF
        delayed = problem.delay > 0
        if delayed and not self._server.may_delay():
            self._server.count("too many wrong passwords at a time")
            delayed, self._keep_alive = False, False
            detail = "too many wrong passwords at a time: try again later"
            problem = Problem("busy", detail, headers={"Retry-After": "5"}, counted=True)
        answer = Answer.of(self._server.policy.refuse(self._environ, problem))
        if delayed:
            self._answer, self._due = answer, self._server.now + problem.delay
            self._enter(Phase.DELAYED)
        else:
            self._send(answer)

    def close(self) -> None:
        """Close the connection."""
        if self.phase is not Phase.CLOSED:
            self._release()
            self._enter(Phase.CLOSED)
            self.socket.close()

    # ---- from bytes to a request

    def _feed(self, data: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._environ = {}
            self._refused = None
            self._head_bytes = 0
            self._enter(Phase.HEAD)
        try:
            if self.phase is Phase.HEAD:
                self._head_bytes += len(data)
            self._parser.feed(data)
            complete: bool = self._parser.is_complete
            too_large_head = self._head_bytes > messages.MAX_HEAD_BYTES
            if self.phase is Phase.HEAD and too_large_head and not complete:
                raise messages.head_too_large()
        except http.ParseError as error:
            if self.phase is Phase.HEAD:
                self._server.count("malformed")
                self.refuse(messages.error_of(error))
            else:
                self.refuse(Problem("incomplete-body", "the body is incomplete: send it again"))
        except Problem as problem:
            self.refuse(problem)
        else:
            if complete:
                self._on_request()

    def _on_head(self) -> bool:
        """Decide on a request by its headers.

        Returns:
            False, which has the parser go on to the body.

        Raises:
            Problem: the request is refused and the connection closed, with its body unread.
        """
        self._environ = messages.environ_of(self._parser, self._client, self._address)
        completion.begin(self._environ, self.since)
        announced: int | None = self._parser.content_length
        has_body = self._parser.is_chunked or bool(announced)
        try:
            admission = self._server.policy.admit(self._environ)
        except Problem as problem:
            if has_body:
                raise
            self._refused = problem
            return False
        self._heavy = admission.heavy
        if not has_body:
            return False
        if announced is not None and announced > admission.max_bytes:
            raise too_large(admission.max_bytes)
        self.body = IncomingBody(
            admission.max_bytes, announced, self._server.policy.reserve, self._server.now
        )
        self._enter(Phase.BODY)
        if self._environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self._send_continue()
        return False

    def _send_continue(self) -> None:
        line = b"HTTP/1.1 100 Continue\r\n\r\n"
        with suppress(OSError):  # a client that takes nothing waits until its body times out
            if self._parser.http_version >= (1, 1):
                self.socket.send(line)

    def _on_body(self, piece: bytes) -> None:
        if self.body:
            self.body.add(piece)

    def _on_request(self) -> None:
        keep_alive = self._parser.should_keep_alive and self._parser.method != b"CONNECT"
        if self._refused:
            self.refuse(self._refused, keep_alive=keep_alive)
            return
        environ = self._environ
        environ[CONNECTED] = self.is_connected
        if self.body:
            environ["wsgi.input"] = self.body.finish()
            environ[RECEIVE_SECONDS] = self._server.now - self.since
            environ[RESERVATION] = self.body.reservation
        else:
            environ["wsgi.input"] = io.BytesIO()
        self._keep_alive = keep_alive
        self._linger = BRIEF
        self._enter(Phase.WORKING)
        self._server.work(self, environ, heavy=self._heavy)

    # ---- from an answer to bytes

    def _send(self, answer: Answer) -> None:
        self._answer = answer
        self._keep_alive = self._keep_alive and not self._server.draining
        pieces = [answer.head(keep_alive=self._keep_alive)]
        if self._environ.get("REQUEST_METHOD") != "HEAD":
            pieces += answer.body
        if sum(map(len, pieces)) <= RECEIVE_BYTES:
            pieces = [b"".join(pieces)]
        self._out = deque(memoryview(piece) for piece in pieces)
        self._sent = 0
        self._progress = self._server.now
        self._enter(Phase.SENDING)
        self.on_writable()

    def _on_sent(self) -> None:
        self._release()
        self._served = True
        if not self._keep_alive:
            self._discarded = 0
            with suppress(OSError):  # closed by the client already
                self.socket.shutdown(socket.SHUT_WR)
            self._enter(Phase.LINGERING)
            return
        rest = self._parser.remaining()
        self._parser.reset()
        self._enter(Phase.IDLE)
        if rest:  # the next request; others have their turn first
            self._backlog = True
            self._server.update(self, self.phase)
            self._server.soon(self, lambda: self._feed_backlog(rest))

    def _feed_backlog(self, rest: bytes) -> None:
        self._backlog = False
        if self.phase is Phase.IDLE:
            self._feed(rest)
            self._server.update(self, self.phase)

    def _release(self) -> None:
        if self._answer:
            self._answer.close()
            self._answer = None
        if self.body and self.phase is not Phase.WORKING:
            self.body.release()
            self.body = None
        self._out.clear()

    def _enter(self, phase: Phase) -> None:
        before, self.phase = self.phase, phase
        self.since = self._server.now
        self._server.update(self, before)
