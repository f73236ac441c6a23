"""Fetches from the internet for untrusted clients, without reaching internal hosts.

The guard is where connections are made, so nothing above can bypass it: the host is resolved once,
every address of the answer is checked, and the connection goes to one of the checked addresses. A
redirect makes a new connection and is checked in the same way.

Why not a library: ``requests-hardened`` 1.3 also pins the address that it checked, but has no total
deadline and no limit on bytes, lets ``requests`` read the bodies of redirects whole, accepts the
IPv4-compatible form of IPv6 and every port, tries only the first address, and puts the forbidden
address into its error message. ``advocate`` has not been released since 2020, ``drawbridge`` is for
httpx. With the deadline at the socket, pinning takes a dozen more lines.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
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
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool

from age_gender.errors import Busy, ImageTooLarge, SourceError, SourceTimeout
from age_gender.fetch.addresses import domain_of, is_address, network_of
from age_gender.fetch.checks import refuse

ALLOWED_PORTS = frozenset({80, 443, 8080, 8443})
"""Where web servers listen. With any port, clients could scan hosts or talk to mail and database
servers in our name."""

CONNECT_SECONDS = 5.0
"""Per address, so that an unreachable one leaves time for the next."""
SILENCE_SECONDS = 10.0
"""Between two packets, where the total deadline is longer."""

MAX_URL_LENGTH = 8192
MAX_ADDRESSES = 4
MAX_LOOKUPS = 64

# Networks that IANA's special-purpose registries do not call globally reachable. Listed here, since
# Python's ``ipaddress`` may be older than the registries.
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

# All global unicast addresses assigned so far. Outside it are loopback, the unspecified address,
# IPv4-mapped and IPv4-compatible addresses, NAT64, unique local, link-local and multicast.
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

# Parsers disagree about whether these end a host or a URL.
_UNSAFE_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)
_making_context = threading.Lock()

_AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

MAX_WAIT_SECONDS = 8.0
"""Of waiting for a place, which do not count against a fetch's deadline."""

_INSIDE_SUFFIXES = (".localhost", ".internal", ".local", ".lan", ".home.arpa")


class Deadline:
    """The time by which a whole fetch must have ended.

    Args:
        seconds: time from now.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._spare = MAX_WAIT_SECONDS

    def remaining(self, at_most: float = math.inf) -> float:
        """Return the seconds left, at most ``at_most`` and more than 0.

        Raises:
            SourceTimeout: no time is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return min(left, at_most)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave out the time in the block, up to `MAX_WAIT_SECONDS` in all."""
        start = time.monotonic()
        try:
            yield
        finally:
            waited = min(time.monotonic() - start, self._spare)
            self._spare -= waited
            self._end += waited

    def error(self) -> SourceTimeout:
        """Build the error for a server that was too slow."""
        return SourceTimeout(
            f"the picture's server is too slow: it must deliver the picture within "
            f"{self._seconds:g} s; use a faster server or send the picture itself"
        )


class Places(Protocol):
    """Bounds what is fetched at a time, from all and from one server."""

    def look_up(self, domain: str) -> AbstractContextManager[None]:
        """Wait for a place to look up a name in a domain."""

    def connect(self, network: str) -> AbstractContextManager[None]:
        """Wait for a place for a connection to an address, or to a bucket."""


class FreePlaces:
    """No bounds: for a single fetch."""

    def look_up(self, _: str) -> AbstractContextManager[None]:
        """See `Places`."""
        return nullcontext()

    def connect(self, _: str) -> AbstractContextManager[None]:
        """See `Places`."""
        return nullcontext()


class Turn:
    """The places of one fetch: one at a time, since each redirect gives up the last."""

    def __init__(self, places: Places, deadline: "Deadline"):
        """Hold none yet."""
        self._places = places
        self._deadline = deadline
        self._held = ExitStack()

    @contextmanager
    def look_up(self, host: str) -> Iterator[None]:
        """Hold a place for a look-up; raises what `Places` does."""
        with ExitStack() as stack:
            self.release()
            if not is_address(host):
                with self._deadline.suspended():
                    stack.enter_context(self._places.look_up(domain_of(host)))
            yield

    def connect(self, address: str) -> None:
        """Hold a place for a connection, until `release`; raises what `Places` does."""
        self.release()
        with self._deadline.suspended():
            self._held.enter_context(self._places.connect(network_of(address)))

    def release(self) -> None:
        """Give up the place."""
        self._held.close()


@dataclass(frozen=True)
class FetchGuard:
    """What one fetch may do.

    Attributes:
        deadline: for the whole fetch: look-ups, connections, handshakes, redirects and bodies.
        max_wire_bytes: maximum bytes read from one connection, with headers and framing.
        turn: the places that it holds.
        allow_private: allow any address and port. All other checks stay.
    """

    deadline: Deadline
    max_wire_bytes: int
    turn: Turn
    allow_private: bool = False


def is_public_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether this is an ordinary unicast address on the internet.

    IPv6 addresses that stand for IPv4 ones (mapped, compatible, NAT64, 6to4, Teredo) never are: no
    server of pictures has only such an address.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _FORBIDDEN_V6)


def prepare_get(url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """Check that ``url`` is unambiguous, and build the request for it.

    Checks the URL as it will be used, after ``requests`` has normalised it (names in other scripts
    as ``xn--``, the rest percent-encoded).

    Raises:
        SourceError: with code ``url-not-allowed``: a scheme other than http and https, too long,
            user info, an invalid host or port, or characters that do not belong in a URL.
    """
    if len(url) > MAX_URL_LENGTH:
        raise refuse(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    if _UNSAFE_CHARACTERS.search(url):
        raise refuse("the URL has control characters or backslashes: percent-encode them")
    try:
        # requests leaves a scheme that it does not know as it is.
        request = requests.Request("GET", url, headers=dict(headers)).prepare()
        parts = urlsplit(request.url or "")
    except (requests.RequestException, ValueError):
        raise refuse("this is not a valid URL") from None
    if parts.scheme not in ("http", "https"):
        raise refuse("the URL must start with http:// or https://")
    if "@" in parts.netloc:
        raise refuse("the URL must not contain a user name or password")
    _check_host(parts.hostname or "", bracketed=parts.netloc.startswith("["))
    return request


class GuardedAdapter(HTTPAdapter):
    """Transport for ``requests`` whose connections all obey one `FetchGuard`.

    Call the adapter's own ``send``, without a ``requests.Session``: a session takes proxies,
    ``.netrc`` and certificates from the environment, keeps cookies, and reads the body of every
    redirect into memory, even with ``allow_redirects=False``.
    """

    def __init__(self, guard: FetchGuard):
        self._guard = guard
        super().__init__(max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Share one TLS context among all connections."""
        super().init_poolmanager(
            connections, maxsize, block, ssl_context=_tls_context(), **pool_kwargs
        )

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the shared TLS context has the certificate authorities already."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,  # noqa: ARG002 - a proxy would bypass the guard
        cert: Any = None,
    ) -> HTTPConnectionPool:
        """Return a pool of guarded connections, never through a proxy."""
        pool = super().get_connection_with_tls_context(request, verify, None, cert)
        assert isinstance(pool, HTTPConnectionPool)
        is_https = pool.scheme == "https"
        pool.ConnectionCls = _GuardedHTTPSConnection if is_https else _GuardedHTTPConnection
        pool.conn_kw["guard"] = self._guard
        return pool


class _GuardedReader(io.RawIOBase):
    """Reads from a socket until the deadline.

    ``http.client`` loops until it has a line or a block, and a socket's timeout starts anew with
    each packet: a server that drips bytes would never reach it. So every single read checks the
    deadline.
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
            raise ImageTooLarge(
                "the picture's server sends far more data than the largest picture accepted"
            )
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
        # Unlike ``host``, this keeps a trailing dot, which stops the resolver from trying the
        # search domains of our own network.
        return _open_connection(self._dns_host, self.port, self._guard)


class _GuardedHTTPSConnection(_GuardedHTTPConnection, HTTPSConnection):
    pass


def _tls_context() -> ssl.SSLContext:
    # One thread makes it, and the others wait: it holds the interpreter's lock for long.
    with _making_context:
        return _cached_context()


@lru_cache(maxsize=1)
def _cached_context() -> ssl.SSLContext:
    # Cached: reading the certificate authorities takes longer than many a fetch.
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _open_connection(host: str, port: int, guard: FetchGuard) -> socket.socket:
    if not guard.allow_private and port not in ALLOWED_PORTS:
        ports = ", ".join(str(allowed) for allowed in sorted(ALLOWED_PORTS))
        raise refuse(f"the URL's port must be one of {ports}")
    name = host.strip("[]")
    with guard.turn.look_up(name):
        addresses = _look_up(name, port, guard.deadline)
    # One forbidden address is enough to refuse: honest names do not mix both kinds, while an
    # attacker's may, so that we fall back from the one to the other.
    if not guard.allow_private and not all(_is_public(info) for info in addresses):
        raise _no_public_address(host)
    return _connect(addresses[:MAX_ADDRESSES], guard)


def _is_public(info: _AddressInfo) -> bool:
    return is_public_address(ip_address(info[4][0]))


def _connect(addresses: Sequence[_AddressInfo], guard: FetchGuard) -> socket.socket:
    failure: OSError | None = None
    deadline = guard.deadline
    for family, kind, protocol, _, address in addresses:
        # By address, and not by name: one server can have any number of names.
        guard.turn.connect(address[0])
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a kernel without IPv6
            failure = error
            continue
        try:
            sock.settimeout(deadline.remaining(CONNECT_SECONDS))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # For the TLS handshake, which comes next; the ssl module applies it to the whole.
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
    raise SourceError("the picture's server does not accept connections")


def _look_up(host: str, port: int, deadline: Deadline) -> Sequence[_AddressInfo]:
    """Resolve ``host`` once.

    ``getaddrinfo`` cannot be interrupted. So it runs in its own thread, which is abandoned at the
    deadline and ends with the resolver's timeout. The number of such threads is bounded.
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
    except RuntimeError:  # the operating system allows no more threads
        _lookups.release()
        raise Busy(
            "the service is at capacity: it cannot look up the URL's host", retry_after=1
        ) from None
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
    return SourceError("the URL's host cannot be looked up at the moment: try again later")


def _no_public_address(host: str) -> SourceError:
    message = (
        "the URL's host has no public internet address: check its spelling; hosts in private "
        "networks cannot be reached from here"
    )
    if _is_inside(host):
        return refuse(message)
    # The same error for names that do not exist and for internal ones: the answer must not reveal
    # which internal names exist.
    return SourceError(message)


def _is_inside(host: str) -> bool:
    """Whether a host is recognisably internal: an address, or a name used in private networks."""
    name = host.strip("[].").lower()
    return is_address(name) or "." not in name or name.endswith(_INSIDE_SUFFIXES)


def _check_host(host: str, *, bracketed: bool) -> None:
    if bracketed:
        _check_ipv6(host)
    elif not _HOST_NAME.fullmatch(host) or len(host) > 254:
        raise refuse("the URL's host is not a valid name")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _check_ipv4(host)


def _check_ipv6(host: str) -> None:
    try:
        has_scope = IPv6Address(host).scope_id is not None
    except AddressValueError:
        raise refuse("the URL's host is not a valid IPv6 address") from None
    if has_scope:
        raise refuse("the URL's host must not name a network interface")


def _check_ipv4(host: str) -> None:
    # The resolver also takes 2130706433, 0x7f.1 and 0177.0.0.1 for addresses.
    try:
        IPv4Address(host)
    except AddressValueError:
        raise refuse("write the URL's IPv4 address as four decimal numbers") from None
