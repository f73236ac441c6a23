"""HTTP messages: from gunicorn's parser to a WSGI environment, and from an answer to bytes."""

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from flask import Response
from gunicorn import util
from gunicorn.asgi import parser as http

from age_gender.edge.completion import Environ
from age_gender.edge.problems import Problem

MAX_FIRST_LINE_BYTES = 8190
MAX_FIELDS = 100
MAX_HEAD_BYTES = 32 * 1024
"""First line and headers together."""

FORWARDED = frozenset({"SCRIPT_NAME", "PATH_INFO"})
"""Headers by which a proxy could move the application; no one is trusted to."""

Address = tuple[str, int]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A whole response.

    Attributes:
        status: code and reason.
        headers: without those that belong to the connection.
        body: in pieces.
        close: called when it is sent, or will not be.
    """

    status: str
    headers: list[tuple[str, str]]
    body: list[bytes]
    close: Callable[[], object] = lambda: None

    @classmethod
    def of(cls, response: Response) -> Self:
        """Convert a whole response that holds nothing."""
        return cls(response.status, list(response.headers), [response.get_data()])

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.body))

    def head(self, *, keep_alive: bool) -> bytes:
        """Build the status line and headers."""
        headers = [*self.headers]
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        # RFC 9110, 8.6: none has a body, and of a 304 it would be the length of the file.
        if not has_length and not self.status.startswith(("204", "304")):
            headers.append(("Content-Length", str(self.size)))
        headers += [
            ("Date", util.http_date()),
            ("Connection", "keep-alive" if keep_alive else "close"),
        ]
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def error_of(error: http.ParseError) -> Problem:
    """Convert what the parser raises before a body."""
    if isinstance(error, http.LimitRequestLine):
        return Problem(
            "uri-too-long", f"the first line is longer than {MAX_FIRST_LINE_BYTES:,} bytes"
        )
    if isinstance(error, http.LimitRequestHeaders):
        return head_too_large()
    first_line = (http.InvalidRequestLine, http.InvalidRequestMethod, http.InvalidHTTPVersion)
    if isinstance(error, first_line):
        wrong = "its first line is malformed"
    elif isinstance(error, http.UnsupportedTransferCoding):
        wrong = "its Transfer-Encoding is not supported"
    elif isinstance(error, (http.InvalidHeaderName, http.InvalidHeader)):
        wrong = "its headers are malformed or contradict each other"
    else:
        wrong = "a line does not end with CR LF"
    return malformed(wrong)


def malformed(wrong: str) -> Problem:
    """Build the problem of a request that is not HTTP."""
    return Problem("malformed-request", f"the request is not valid HTTP/1.1: {wrong}")


def head_too_large() -> Problem:
    """Build the problem of a request with too many or too large headers."""
    return Problem(
        "headers-too-large",
        f"the headers are too large: at most {MAX_FIELDS} of them and {MAX_HEAD_BYTES:,} bytes "
        "are accepted",
    )


def size_of_head(message: Any) -> int:
    """Count the bytes of a request's first line and headers, without spaces around values.

    Args:
        message: gunicorn's ``PythonProtocol``.
    """
    first_line = len(message.method) + len(message.path) + len("  HTTP/1.1\r\n")
    return first_line + sum(len(name) + len(value) + 4 for name, value in message.headers)


def environ_of(message: Any, client: Address, server: Address) -> Environ:
    """Build the WSGI environment (PEP 3333) of a request whose headers are complete.

    Args:
        message: gunicorn's ``PythonProtocol``.
        client: address and port.
        server: address and port.

    Raises:
        Problem: 400.
    """
    uri = message.path.decode("ascii")
    try:
        parts = util.split_request_uri(uri)
    except ValueError:
        raise malformed("its first line is malformed") from None
    environ: Environ = {
        "REQUEST_METHOD": message.method.decode("ascii"),
        "SCRIPT_NAME": "",
        # As RFC 9112, 3.2.1 has it. Flask would redirect an empty path to where `Host` says.
        "PATH_INFO": util.unquote_to_wsgi_str(parts.path) or "/",
        "QUERY_STRING": parts.query,
        "RAW_URI": uri,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/{}.{}".format(*message.http_version),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    hosts = sum(name.upper() == b"HOST" for name, _ in message.headers)
    # RFC 9112, 3.2: a server must refuse both.
    if hosts > 1 or (hosts == 0 and message.http_version >= (1, 1)):
        raise malformed("it needs one Host header")
    for name_bytes, value_bytes in message.headers:
        name, value = name_bytes.decode("ascii").upper(), value_bytes.decode("latin-1")
        if name in FORWARDED:
            raise malformed(f"{name} is not a header for clients")
        if name == "TRANSFER-ENCODING" and value.lower() != "chunked":
            raise malformed("its Transfer-Encoding is not supported")
        if "_" in name:  # WSGI could not tell it from the one with a hyphen
            continue
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def run(application: WsgiApplication, environ: Environ) -> Answer:
    """Call a WSGI application and collect its answer.

    Raises:
        Exception: whatever the application raises.
    """
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        started.append((status, headers))

    result = application(environ, start)
    close: Callable[[], object] = getattr(result, "close", lambda: None)
    try:
        body = [piece for piece in result if piece]
    except BaseException:
        close()
        raise
    status, headers = started[-1]
    return Answer(status, headers, body, close)
