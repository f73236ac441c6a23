"""Fetches from the internet on behalf of strangers without reaching anything inside.

The guard sits where the connection is made, so there is nothing to get around above it: the host
is resolved once, every address of the answer is judged, and the connection goes to one of those
very addresses. A redirect makes a new connection and is judged in the same way.

Why not a library: ``requests-hardened`` 1.3 also pins the address that it checked, but it has no
total deadline and no limit on bytes, lets ``requests`` read the bodies of redirects whole, lets
the IPv4-compatible form of IPv6 and every port through, tries only the first address, and puts
the forbidden address into its error message. ``advocate`` has not been released since 2020,
``drawbridge`` is for httpx. With the deadline at the socket, the pinning is a dozen lines more.
"""

import http.client
import io
import math
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool

from age_gender.errors import Busy, ImageTooLarge, SourceError, SourceTimeout

NOT_ALLOWED = "url-not-allowed"

ALLOWED_PORTS = frozenset({80, 443, 8080, 8443})
"""Where web servers are. On any port, strangers could scan or talk to mail and database servers
in our name."""

CONNECT_SECONDS = 5.0
"""For one address, so that a dead one leaves time for the next."""
SILENCE_SECONDS = 10.0
"""Between two packets, where the total deadline is set higher."""

MAX_URL_LENGTH = 8192
MAX_ADDRESSES = 4
MAX_LOOKUPS = 64

# What IANA's special-purpose registries do not call globally reachable, spelled out because the
# ``ipaddress`` of the Python at hand may be older than they are.
_FORBIDDEN_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the local host on Linux
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, also used inside clouds
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, in public space
        "169.254.0.0/16",  # link-local: the clouds' metadata servers
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)

# All global unicast addresses given out so far. Outside it are loopback, the unspecified address,
# IPv4-mapped and IPv4-compatible ones, NAT64, unique local, link-local and multicast.
_GLOBAL_V6 = IPv6Network("2000::/3")
_FORBIDDEN_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which can carry a private IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which can carry a private IPv4 address
        "3fff::/20",
    )
)

# Characters at which parsers disagree about where a host or a URL ends.
_UNSAFE_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)

_AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

_INSIDE_SUFFIXES = (".localhost", ".internal", ".local", ".lan", ".home.arpa")


class Deadline:
    """The moment by which a fetch must have ended, however many steps it takes.

    Args:
        seconds: time from now.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self, at_most: float = math.inf) -> float:
        """Return the seconds left, or ``at_most`` if that is less; never 0.

        Raises:
            SourceTimeout: none is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return min(left, at_most)

    def error(self) -> SourceTimeout:
        """Return what to raise when the other side was too slow."""
        return SourceTimeout(
            f"The picture's server is too slow: it must answer in time and deliver the picture "
            f"within {self._seconds:g} s. Use a faster server or send the picture itself."
        )


@dataclass(frozen=True)
class FetchGuard:
    """What one fetch may do.

    Attributes:
        deadline: for the whole fetch: look-ups, connections, handshakes, redirects and bodies.
        max_wire_bytes: most bytes taken from one connection, headers and framing included.
        allow_private: connect to any address and port. Nothing else is lifted.
    """

    deadline: Deadline
    max_wire_bytes: int
    allow_private: bool = False


def is_public_address(address: IPv4Address | IPv6Address) -> bool:
    """Return whether this is an ordinary unicast address on the internet.

    IPv6 addresses that stand for IPv4 ones (mapped, compatible, NAT64, 6to4, Teredo) are not,
    whatever they stand for: no host that serves pictures is known only by such an address.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _FORBIDDEN_V6)


def prepare_get(url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """Return the request for ``url`` after checking that the URL has only one reading.

    The checks look at the URL as it will be used, after ``requests`` has normalised it (names in
    other scripts as ``xn--``, the rest percent-encoded).

    Raises:
        SourceError: with code ``url-not-allowed``: another scheme than http or https, too long,
            user-info, an odd host or port, or characters that do not belong in a URL.
    """
    if len(url) > MAX_URL_LENGTH:
        raise _refusal(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if _UNSAFE_CHARACTERS.search(url):
        raise _refusal("The URL has control characters or backslashes: percent-encode them.")
    try:
        # A scheme that requests does not know passes through it untouched.
        request = requests.Request("GET", url, headers=dict(headers)).prepare()
        parts = urlsplit(request.url or "")
    except (requests.RequestException, ValueError):
        raise _refusal("This is not a valid URL.") from None
    if parts.scheme not in ("http", "https"):
        raise _refusal("The URL must start with http:// or https://.")
    if "@" in parts.netloc:
        raise _refusal("The URL must not contain a user name or password.")
    _check_host(parts.hostname or "", bracketed=parts.netloc.startswith("["))
    return request


class GuardedAdapter(HTTPAdapter):
    """Transport of ``requests`` whose connections all obey one :class:`FetchGuard`.

    Use ``send`` of the adapter itself, without a ``requests.Session``: a session would bring
    proxies, ``.netrc`` and certificates from the environment, keep cookies, and read the body of
    every redirect into memory, even with ``allow_redirects=False``.
    """

    def __init__(self, guard: FetchGuard):
        self._guard = guard
        super().__init__(max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Make all connections share one TLS context."""
        super().init_poolmanager(
            connections, maxsize, block, ssl_context=_tls_context(), **pool_kwargs
        )

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the certificate authorities alone: the shared TLS context has them already."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,  # noqa: ARG002 - a proxy would make the connection instead of us
        cert: Any = None,
    ) -> HTTPConnectionPool:
        """Return a pool that makes guarded connections, never through a proxy."""
        pool = super().get_connection_with_tls_context(request, verify, None, cert)
        assert isinstance(pool, HTTPConnectionPool)
        is_https = pool.scheme == "https"
        pool.ConnectionCls = _GuardedHTTPSConnection if is_https else _GuardedHTTPConnection
        pool.conn_kw["guard"] = self._guard
        return pool


class _GuardedReader(io.RawIOBase):
    """Reads from a socket until the deadline.

    ``http.client`` reads in loops until it has a line or a block, and a time-out of the socket
    starts anew with each packet: a server that drips bytes would never run into it. So every
    single read asks the deadline first.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, guard: FetchGuard):
        self._raw = raw
        self._sock = sock
        self._guard = guard
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._guard.deadline.remaining(SILENCE_SECONDS))
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            raise self._guard.deadline.error() from None
        self._received += count or 0
        if self._received > self._guard.max_wire_bytes:
            raise ImageTooLarge("The server sends far more data than the largest picture has.")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _GuardedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, guard: FetchGuard, **kwargs: Any):
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_GuardedReader(self.fp.detach(), sock, guard))


class _GuardedHTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: FetchGuard, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._guard = guard
        self.response_class = partial(_GuardedResponse, guard=guard)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        # Unlike ``host``, this still has a trailing dot, which keeps the resolver from trying
        # the search domains of our own network.
        return _open_connection(self._dns_host, self.port, self._guard)


class _GuardedHTTPSConnection(_GuardedHTTPConnection, HTTPSConnection):
    pass


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    # Reading the certificate authorities takes longer than many a fetch: once is enough.
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _open_connection(host: str, port: int, guard: FetchGuard) -> socket.socket:
    if not guard.allow_private and port not in ALLOWED_PORTS:
        ports = ", ".join(str(allowed) for allowed in sorted(ALLOWED_PORTS))
        raise _refusal(f"The URL's port is not one of {ports}.")
    addresses = _look_up(host.strip("[]"), port, guard.deadline)
    # One forbidden address condemns the name: no honest one mixes both kinds, while an attacker's
    # may, to have us fall back from the one to the other.
    if not guard.allow_private and not all(_is_public(info) for info in addresses):
        raise _no_public_address(host)
    return _connect(addresses[:MAX_ADDRESSES], guard.deadline)


def _is_public(info: _AddressInfo) -> bool:
    return is_public_address(ip_address(info[4][0]))


def _connect(addresses: Sequence[_AddressInfo], deadline: Deadline) -> socket.socket:
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a kernel without IPv6
            failure = error
            continue
        try:
            sock.settimeout(deadline.remaining(CONNECT_SECONDS))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A TLS handshake comes next. The ssl module applies this to the whole of it.
            sock.settimeout(deadline.remaining(SILENCE_SECONDS))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError):
        raise deadline.error()
    raise SourceError("The picture's server does not accept a connection.")


def _look_up(host: str, port: int, deadline: Deadline) -> Sequence[_AddressInfo]:
    """Resolve ``host`` once.

    ``getaddrinfo`` cannot be interrupted, so it runs in a thread of its own, which is left to
    itself at the deadline and ends with the resolver's timeout. Their number is bounded.
    """
    answers: queue.SimpleQueue[Sequence[_AddressInfo] | OSError] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=deadline.remaining()):
        raise deadline.error()
    try:
        threading.Thread(target=work, name="look-up", daemon=True).start()
    except RuntimeError:  # the operating system has no thread left for us
        _lookups.release()
        raise Busy("The service is too busy to look up the URL's host.", retry_after=1) from None
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise deadline.error() from None
    if isinstance(answer, OSError):
        raise _look_up_failure(answer, host) from None
    return answer


def _look_up_failure(error: OSError, host: str) -> SourceError:
    if error.errno in _NO_SUCH_HOST:
        return _no_public_address(host)
    return SourceError("The URL's host cannot be looked up at the moment: try again later.")


def _no_public_address(host: str) -> SourceError:
    message = (
        "The URL's host has no public internet address: check its spelling. Hosts in private "
        "networks are not reachable from here."
    )
    if _is_inside(host):
        return _refusal(message)
    # The same for a name that does not exist and for one that is internal: the answer must not
    # tell strangers which names exist inside.
    return SourceError(message)


def _is_inside(host: str) -> bool:
    """Whether a host that is not public shows it: an address, or a name of private networks."""
    name = host.strip("[].").lower()
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_INSIDE_SUFFIXES)
    return True


def _check_host(host: str, *, bracketed: bool) -> None:
    if bracketed:
        _check_ipv6(host)
    elif not _HOST_NAME.fullmatch(host) or len(host) > 254:
        raise _refusal("The URL's host is not a valid name.")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _check_ipv4(host)


def _check_ipv6(host: str) -> None:
    try:
        has_scope = IPv6Address(host).scope_id is not None
    except AddressValueError:
        raise _refusal("The URL's host is not a valid IPv6 address.") from None
    if has_scope:
        raise _refusal("The URL's host must not name a network interface.")


def _check_ipv4(host: str) -> None:
    # The resolver would read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses, too.
    try:
        IPv4Address(host)
    except AddressValueError:
        raise _refusal("Write an IPv4 address as four decimal numbers.") from None


def _refusal(message: str) -> SourceError:
    return SourceError(message, code=NOT_ALLOWED)
