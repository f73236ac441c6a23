"""From a connection's bytes to its requests, one after the other."""

import io
from collections.abc import Callable

from gunicorn.asgi import parser as http

from age_gender.edge import completion
from age_gender.edge.completion import Environ
from age_gender.edge.front import messages
from age_gender.edge.front.incoming import IncomingBody, too_large
from age_gender.edge.front.messages import Address
from age_gender.edge.front.policy import RECEIVE_SECONDS, RESERVATION, Policy
from age_gender.edge.problems import Problem

MAX_CHUNK_BYTES = (1 << 64) - 1
"""As a chunk's size, what has more digits is a mistake or an attack rather than a large body."""


class RequestReader:
    """Reads one request at a time, within limits of size, and decides on it by its headers.

    Attributes:
        environ: of the present request, empty until its headers are complete.
        body: what has arrived of its body, if it has one and is admitted.
        refused: why it is refused, if it is and has no body.
        heavy: whether it may wait; see `Admission`.
    """

    def __init__(
        self, client: Address, address: Address, policy: Policy, on_body: Callable[[], None]
    ):
        """Read nothing yet.

        Args:
            client: address and port.
            address: the server's.
            policy: decides on requests.
            on_body: called when a request is admitted and its body begins.
        """
        self._client = client
        self._address = address
        self._policy = policy
        self._on_body_begins = on_body
        self._parser = http.PythonProtocol(
            on_headers_complete=self._on_head,
            on_body=self._on_body,
            limit_request_line=messages.MAX_FIRST_LINE_BYTES,
            limit_request_fields=messages.MAX_FIELDS,
        )
        self._head_bytes = 0
        self._has_head = False
        self._now = 0.0
        self._started = 0.0
        self._body_started = 0.0
        self.environ: Environ = {}
        self.body: IncomingBody | None = None
        self.refused: Problem | None = None
        self.heavy = False

    @property
    def keep_alive(self) -> bool:
        """Whether the client may send another request after this one."""
        return bool(self._parser.should_keep_alive) and self._parser.method != b"CONNECT"

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a ``100 Continue`` before it sends the body."""
        expect: str = self.environ.get("HTTP_EXPECT", "")
        return expect.lower() == "100-continue" and self._parser.http_version >= (1, 1)

    def begin(self, now: float) -> None:
        """Forget the last request; the next one's first bytes are here."""
        self._head_bytes = 0
        self._has_head = False
        self._started = now
        self.environ = {}
        self.refused = None

    def feed(self, data: bytes, now: float) -> bool:
        """Read more bytes; return whether the request is complete.

        Raises:
            Problem: the request is refused, and the connection cannot be used for another.
        """
        self._now = now
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed(data)
        except http.ParseError as error:
            raise incomplete() if self._has_head else messages.error_of(error) from None
        except ValueError:
            if self._has_head:  # not the parser's
                raise
            # Python converts no more than 4,300 digits.
            raise messages.malformed("its Content-Length has too many digits") from None
        if self._parser.is_complete:
            return True
        if self.body and self._parser.is_chunked:
            self._check_chunk(self._parser._chunk_remaining)
        if not self._has_head and self._head_bytes > messages.MAX_HEAD_BYTES:
            raise messages.head_too_large()
        return False

    def finish(self) -> Environ:
        """Return the complete request, with its body."""
        environ = self.environ
        if self.body:
            environ["wsgi.input"] = self.body.finish()
            environ[RECEIVE_SECONDS] = self._now - self._body_started
            environ[RESERVATION] = self.body.reservation
        else:
            environ["wsgi.input"] = io.BytesIO()
        return environ

    def exclude(self, seconds: float) -> None:
        """Leave out a time in which the server itself received nothing."""
        self._body_started += seconds

    def rest(self) -> bytes:
        """Return what came after the request, and get ready for the next."""
        rest: bytes = self._parser.remaining()
        self._parser.reset()
        return rest

    def release(self) -> None:
        """Give back what the body holds."""
        if self.body:
            self.body.release()
            self.body = None

    def _on_head(self) -> bool:
        """Decide on a request by its headers.

        Returns:
            False, which has the parser go on to the body.

        Raises:
            Problem: the request is refused, with its body unread.
        """
        self._has_head = True
        # All of them may have come at once, with a part of the body.
        if messages.size_of_head(self._parser) > messages.MAX_HEAD_BYTES:
            raise messages.head_too_large()
        self.environ = messages.environ_of(self._parser, self._client, self._address)
        completion.begin(self.environ, self._started)
        announced: int | None = self._parser.content_length
        has_body = self._parser.is_chunked or bool(announced)
        try:
            admission = self._policy.admit(self.environ)
        except Problem as problem:
            if has_body:
                raise
            self.refused = problem
            return False
        self.heavy = admission.heavy
        if not has_body:
            return False
        if announced is not None and announced > admission.max_bytes:
            raise too_large(admission.max_bytes)
        self._body_started = self._now
        self.body = IncomingBody(admission.max_bytes, announced, self._policy.reserve, self._now)
        self._on_body_begins()
        return False

    def _check_chunk(self, announced: int) -> None:
        """Refuse a chunk by its size, which need not wait for its bytes.

        Args:
            announced: bytes of it that have not arrived.
        """
        if announced > MAX_CHUNK_BYTES:
            raise messages.malformed("the size of a chunk has too many digits")
        if self.body:
            self.body.check_room(announced)

    def _on_body(self, piece: bytes) -> None:
        if self.body:
            self.body.add(piece)


def incomplete() -> Problem:
    """Build the problem of a body that ends too early."""
    return Problem("incomplete-body", "the body is incomplete: send it again")
