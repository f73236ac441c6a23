"""One connection: what it waits for, and what happens then (docs/adr/0008).

It reads requests one after the other (`reading`), and sends each answer before the next
(`outgoing`), within `deadlines`.
"""

import enum
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from age_gender.edge.completion import Environ
from age_gender.edge.front import deadlines, messages, reading
from age_gender.edge.front.deadlines import Linger
from age_gender.edge.front.messages import Answer
from age_gender.edge.front.outgoing import OutgoingAnswer
from age_gender.edge.front.policy import CONNECTED, Policy
from age_gender.edge.problems import Problem

RECEIVE_BYTES = 64 * 1024
SOCKET_BYTES = 256 * 1024
"""Of the kernel's buffers for each connection and direction, which are memory, too."""

_NOT_HTTP = frozenset({"malformed-request", "uri-too-long", "headers-too-large"})


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
        self.waiting_since: float | None = None
        self._server = server
        self._reader = reading.RequestReader(client, address, server.policy, self._on_body_begins)
        self._out: OutgoingAnswer | None = None
        self._delayed: tuple[float, Answer] | None = None
        self._served = False
        self._backlog = False
        self._keep_alive = True
        self._linger: Linger = deadlines.BRIEF
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
        body = self._reader.body
        return body.received if body and self.phase is Phase.BODY else 0

    @property
    def is_slow(self) -> bool:
        """Whether others need not wait for this client."""
        if self.phase is Phase.BODY and self._reader.body:
            is_slow = self._reader.body.pace < deadlines.PRESSED_PACE
            return self.waiting_since is None and is_slow
        if self.phase is Phase.SENDING and self._out:
            return self._server.now - self._out.progress > deadlines.PRESSED_STALL_SECONDS
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
        body = self._reader.body if self.phase is Phase.BODY else None
        if body and not body.reserve_next(RECEIVE_BYTES):
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
            self.refuse(reading.incomplete())
        elif self.phase is Phase.HEAD:
            self.refuse(messages.malformed("it is incomplete"))
        else:
            self.close()

    def on_writable(self) -> None:
        """Send what the client takes."""
        if self.phase is not Phase.SENDING or not self._out:  # changed since the event
            return
        try:
            is_done = self._out.send(self.socket, self._server.now)
        except OSError:
            self.close()
            return
        if is_done:
            self._on_sent()

    def on_answer(self, answer: Answer) -> None:
        """Send what the application answers."""
        if self.phase is not Phase.WORKING:
            answer.close()
            return
        if self._reader.body:
            self._reader.body.reservation.resize(answer.size)
        self._send(answer)

    def resume(self) -> bool:
        """Go on receiving a body if its next bytes can be reserved; return whether they can."""
        if self.waiting_since is None:
            return True
        body = self._reader.body
        if body is None or not body.reserve_next(RECEIVE_BYTES):
            return False
        waited = self._server.now - self.waiting_since
        self.since += waited
        self._reader.exclude(waited)
        body.restart_sample(self._server.now)
        self.waiting_since = None
        self._server.update(self, self.phase)
        return True

    def enforce_limits(self) -> None:
        """End what takes too long."""
        now, age = self._server.now, self._server.now - self.since
        if self.phase is Phase.IDLE:
            if deadlines.is_idle_too_long(age, served=self._served):
                self.close()
        elif self.phase is Phase.HEAD:
            self._refuse_if(deadlines.head_problem(age), "headers too slow")
        elif self.phase is Phase.BODY and self._reader.body and self.waiting_since is None:
            body = self._reader.body
            body.sample(now)
            self._refuse_if(deadlines.body_problem(age, body.received), "body too slow")
        elif self.phase is Phase.DELAYED and self._delayed:
            due, answer = self._delayed
            if now >= due:
                self._send(answer)
        elif self.phase is Phase.SENDING and self._out:
            if deadlines.is_taken_too_slowly(age, now - self._out.progress, self._out.sent):
                self._server.count("answer not taken")
                self.close()
        elif self.phase is Phase.LINGERING and age > self._linger.seconds:
            self.close()

    def refuse(self, problem: Problem, *, keep_alive: bool = False) -> None:
        """Answer a request without the application."""
        self._release()
        self.waiting_since = None
        self._keep_alive = keep_alive
        self._linger = deadlines.linger_after(problem)
        delayed = problem.delay > 0
        if delayed and not self._server.may_delay():
            self._server.count("too many wrong passwords at a time")
            delayed, self._keep_alive = False, False
            detail = "too many wrong passwords at a time: try again later"
            problem = Problem("busy", detail, headers={"Retry-After": "5"}, counted=True)
        answer = Answer.of(self._server.policy.refuse(self._reader.environ, problem))
        if delayed:
            self._delayed = (self._server.now + problem.delay, answer)
            self._enter(Phase.DELAYED)
        else:
            self._send(answer)

    def close(self) -> None:
        """Close the connection."""
        if self.phase is not Phase.CLOSED:
            self._release()
            self._enter(Phase.CLOSED)
            self.socket.close()

    # ---- from a request to its answer

    def _feed(self, data: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._reader.begin(self._server.now)
            self._enter(Phase.HEAD)
        try:
            complete = self._reader.feed(data, self._server.now)
        except Problem as problem:
            if problem.code in _NOT_HTTP:
                self._server.count("malformed")
            self.refuse(problem)
        else:
            if complete:
                self._on_request()

    def _on_body_begins(self) -> None:
        self._enter(Phase.BODY)
        if self._reader.expects_continue:
            with suppress(OSError):  # a client that takes nothing waits until its body times out
                self.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_request(self) -> None:
        keep_alive = self._reader.keep_alive
        if self._reader.refused:
            self.refuse(self._reader.refused, keep_alive=keep_alive)
            return
        environ = self._reader.finish()
        environ[CONNECTED] = self.is_connected
        self._keep_alive = keep_alive
        self._linger = deadlines.BRIEF
        self._enter(Phase.WORKING)
        self._server.work(self, environ, heavy=self._reader.heavy)

    def _send(self, answer: Answer) -> None:
        self._delayed = None
        self._keep_alive = self._keep_alive and not self._server.draining
        self._out = OutgoingAnswer(
            answer,
            self._server.now,
            keep_alive=self._keep_alive,
            with_body=self._reader.environ.get("REQUEST_METHOD") != "HEAD",
        )
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
        rest = self._reader.rest()
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

    def _refuse_if(self, problem: Problem | None, event: str) -> None:
        if problem:
            self._server.count(event)
            self.refuse(problem)

    def _release(self) -> None:
        if self._out:
            self._out.release()
            self._out = None
        self._delayed = None
        if self.phase is not Phase.WORKING:
            self._reader.release()

    def _enter(self, phase: Phase) -> None:
        before, self.phase = self.phase, phase
        self.since = self._server.now
        self._server.update(self, before)
