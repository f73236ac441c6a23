"""Fetching pictures. All servers listen on loopback and live as long as their test."""

import base64
import binascii
import contextlib
import datetime
import gzip
import ipaddress
import itertools
import json
import os
import random
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from age_gender import __version__
from age_gender.errors import (
    AgeGenderError,
    Busy,
    ImageError,
    ImageTooLarge,
    SourceError,
    SourceTimeout,
)
from age_gender.fetch import net_guard, objects
from age_gender.fetch.addresses import domain_of, network_of
from age_gender.fetch.base64 import from_base64
from age_gender.fetch.urls import from_url
from age_gender.settings import Settings

PICTURE = bytes(range(256)) * 8
LIMIT = 4096
PUBLIC = "93.184.216.34"

SHORT = 0.25
"""A deadline, in seconds, that slow servers run into."""
ENDED = 5.0
"""A generous bound, in seconds, between "ended at the deadline" and "hung"."""

Handler = Callable[[socket.socket], None]


def local_settings(**changes: Any) -> Settings:
    values = {"allow_private_urls": True, "max_picture_bytes": LIMIT, "url_timeout": 5.0}
    return Settings.model_validate(values | changes)


def public_settings(**changes: Any) -> Settings:
    return local_settings(allow_private_urls=False, **changes)


class Server:
    """A TCP server that lets ``handler`` talk to each connection in a thread of its own."""

    def __init__(self, handler: Handler, certificate: Path | None = None):
        self.connections = 0
        self._handler = handler
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(timeout=5)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True, name="test server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._start(self._talk, connection)

    def _talk(self, connection: socket.socket) -> None:
        self._open.append(connection)
        # In many of these tests the client disconnects early.
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                self._handler(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                self._open.append(secure)
                self._handler(secure)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(handler: Handler | bytes, certificate: Path | None = None) -> Server:
        if isinstance(handler, bytes):
            handler = saying(handler)
        servers.append(Server(handler, certificate))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(4096)
        if not data:
            break
        head += data
    return head


def saying(*parts: bytes, pause: float = 0.0) -> Handler:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return handler


def dripping(start: bytes, drip: bytes = b"x") -> Handler:
    """Send ``start``, then ``drip`` byte by byte, faster than the timeout of a single read."""

    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(start)
        for byte in itertools.cycle(drip):
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    return handler


def flooding(start: bytes, flood: bytes) -> Handler:
    """Send ``start``, then ``flood`` over and over, as fast as possible."""

    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(start)
        while True:
            connection.sendall(flood)

    return handler


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def answer(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    headers = {"Content_Length": str(len(body)), "Content_Type": "image/jpeg"} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


CHUNKED_HEAD = answer(b"", Content_Length="", Transfer_Encoding="chunked")


def chunked(body: bytes, size: int, extension: bytes = b"") -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return (
        CHUNKED_HEAD
        + b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in parts)
        + b"0\r\n\r\n"
    )


def redirect(target: str, status: str = "302 Found") -> bytes:
    return answer(b"moved", status, Location=target)


def seconds_since(start: float) -> float:
    return time.monotonic() - start


# --- base64 ------------------------------------------------------------------------------------

TRICKY = bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFF])  # ++++//8= in base64
STANDARD = base64.b64encode(TRICKY).decode()


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        base64.urlsafe_b64encode(TRICKY).decode(),
        STANDARD.rstrip("="),
        f"  {STANDARD}\n",
        "\r\n".join(STANDARD),
        f"data:image/jpeg;base64,{STANDARD}",
        f"data:;base64,{STANDARD}",
        f"data:image/png;charset=x;base64,{STANDARD.rstrip('=')}",
        f"\n DATA:IMAGE/PNG;BASE64, {STANDARD}",
    ],
)
def test_base64_in_all_its_spellings(text: str) -> None:
    assert from_base64(text, LIMIT) == TRICKY


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_base64_one_of_two_padding_characters_may_be_missing(length: int) -> None:
    text = base64.b64encode(PICTURE[:length]).decode()
    assert from_base64(text.removesuffix("="), LIMIT) == PICTURE[:length]


def test_base64_wrapped_as_mime_encoders_do() -> None:
    assert from_base64(base64.encodebytes(PICTURE).decode(), LIMIT) == PICTURE


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "=",
        "A",
        "AAAAA",
        "AA=A",
        "AAAA====",
        "QUI==",
        "AAA*",
        "AAAé",
        "AAAA\udc80",
        "AAAA\0",
        "http://example.com/a.jpg",
        "data:image/jpeg;base64,",
        "data:image/jpeg;base64",
        f"data:image/jpeg,{STANDARD}",
        f"data:,{STANDARD}",
        "data:image/svg+xml;utf8,<svg/>",
        f"data:{'x' * 300};base64,{STANDARD}",
    ],
)
def test_bad_base64(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        from_base64(text, LIMIT)
    assert caught.value.code == "bad-base64"


@pytest.mark.parametrize("encode", [base64.b64encode, lambda data: base64.b64encode(data)[:-1]])
def test_base64_limit_is_exact_and_checked_before_decoding(
    encode: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = encode(PICTURE[:2000]).decode()
    assert from_base64(text, 2000) == PICTURE[:2000]
    monkeypatch.setattr(binascii, "a2b_base64", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(ImageTooLarge):
        from_base64(text, 1999)


def test_base64_of_20_mb_takes_no_python_loops() -> None:
    data = bytes(20_000_000)
    text = "data:image/png;base64," + base64.encodebytes(data).decode()
    start = time.monotonic()
    assert from_base64(text, len(data)) == data
    assert seconds_since(start) < 3


# --- the addresses that may be contacted -------------------------------------------------------

FORBIDDEN_ADDRESSES = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    f"::{PUBLIC}",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    f"::ffff:{PUBLIC}",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    f"64:ff9b::{PUBLIC}",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff::1",
]

PUBLIC_ADDRESSES = [
    PUBLIC,
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00::1",
]


@pytest.mark.defends("private-address")
@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_forbidden_addresses(address: str) -> None:
    assert not net_guard.is_public_address(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses(address: str) -> None:
    assert net_guard.is_public_address(ip_address(address))


def test_addresses_that_python_calls_private_are_not_public() -> None:
    dice = random.Random(0)
    v4 = [ipaddress.IPv4Address(dice.getrandbits(32)) for _ in range(20_000)]
    v6 = [ipaddress.IPv6Address(dice.getrandbits(128)) for _ in range(20_000)]
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [*v4, *v6]
    public = [address for address in addresses if net_guard.is_public_address(address)]
    assert len(public) > 15_000
    assert all(address.is_global and not address.is_multicast for address in public)


class Internet:
    """A resolver and a network in which public addresses lead to servers on loopback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.names: dict[str, list[list[str]]] = {}
        """Answers by name, one for each look-up; the last is repeated."""
        self.routes: dict[tuple[str, int], int] = {}
        """Loopback ports by address and port."""
        self.lookups: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._getaddrinfo = socket.getaddrinfo
        self._connect = socket.socket.connect
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)
        monkeypatch.setattr(socket.socket, "connect", lambda *args: self._dial(*args))

    def host(self, name: str, server: Server, port: int = 80, address: str = PUBLIC) -> None:
        self.names[name] = [[address]]
        self.routes[address, port] = server.port

    def _resolve(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        self.lookups.append(host)
        answers = self.names.get(host)
        if answers is None:
            return self._getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **kwargs)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            info
            for address in addresses
            for info in self._getaddrinfo(address, port, flags=socket.AI_NUMERICHOST, **kwargs)
        ]

    def _dial(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        self.connected.append(address[:2])
        if address[:2] not in self.routes:
            raise ConnectionRefusedError
        self._connect(sock, ("127.0.0.1", self.routes[address[:2]]))


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


def refused(
    url: str, settings: Settings | None = None, code: str = "url-not-allowed"
) -> SourceError:
    with pytest.raises(SourceError) as caught:
        from_url(url, settings or public_settings())
    assert caught.value.code == code, caught.value.message
    return caught.value


def test_public_host(serve: Serve, internet: Internet) -> None:
    internet.host("pictures.test", serve(answer()))
    assert from_url("http://pictures.test/a.jpg", public_settings()) == PICTURE
    assert internet.lookups == ["pictures.test"]
    assert internet.connected == [(PUBLIC, 80)]


@pytest.mark.defends("private-address")
@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_no_connection_to_a_forbidden_address(address: str, internet: Internet) -> None:
    internet.names["pictures.test"] = [[address]]
    refused(f"http://[{address}]/" if ":" in address else f"http://{address}/")
    message = refused("https://pictures.test/", code="fetch-failed").message
    assert address not in message
    assert internet.connected == []


@pytest.mark.defends("internal-name")
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("localhost.", "127.0.0.1"),
        ("metadata.google.internal", "169.254.169.254"),
        ("METADATA.google.internal.", "169.254.169.254"),
        ("metadata", "169.254.169.254"),
        ("instance-data.internal", "fd00:ec2::254"),
        ("127.0.0.1.names.test", "127.0.0.1"),
    ],
)
def test_internal_names(name: str, address: str, internet: Internet) -> None:
    internet.names[name.lower()] = [[address]]
    code = "fetch-failed" if name.endswith(".test") else "url-not-allowed"
    refused(f"http://{name}/computeMetadata/v1/", code=code)
    assert internet.lookups == [name.lower()]
    assert internet.connected == []


@pytest.mark.defends("mixed-addresses")
@pytest.mark.parametrize("addresses", [[PUBLIC, "10.0.0.1"], ["::1", PUBLIC]])
def test_one_forbidden_address_is_enough_to_refuse(
    addresses: list[str], internet: Internet
) -> None:
    internet.names["mixed.test"] = [addresses]
    refused("http://mixed.test/", code="fetch-failed")
    assert internet.connected == []


@pytest.mark.defends("dns-rebinding")
def test_rebinding_name_is_resolved_once_and_connected_where_checked(
    serve: Serve, internet: Internet
) -> None:
    internet.host("rebinding.test", serve(answer()))
    internet.names["rebinding.test"].append(["127.0.0.1"])
    assert from_url("http://rebinding.test/", public_settings()) == PICTURE
    assert internet.lookups == ["rebinding.test"]
    assert internet.connected == [(PUBLIC, 80)]


def test_rebinding_between_redirects_is_refused(serve: Serve, internet: Internet) -> None:
    internet.host("rebinding.test", serve(redirect("/again")))
    internet.names["rebinding.test"].append(["127.0.0.1"])
    refused("http://rebinding.test/", code="fetch-failed")
    assert internet.lookups == ["rebinding.test"] * 2
    assert internet.connected == [(PUBLIC, 80)]


@pytest.mark.defends("name-probing")
def test_unknown_and_internal_names_get_the_same_answer(internet: Internet) -> None:
    internet.names["database.internal"] = [["10.1.2.3"]]
    internal = refused("http://database.internal/")
    unknown = refused("http://nowhere.internal/")
    assert internal.message == unknown.message
    internet.names["inside.test"] = [["10.1.2.3"]]
    internal = refused("http://inside.test/", code="fetch-failed")
    unknown = refused("http://nowhere.test/", code="fetch-failed")
    assert internal.message == unknown.message


def test_the_resolver_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(SourceError, match="looked up") as caught:
        from_url("http://pictures.test/", public_settings())
    assert caught.value.code == "fetch-failed"


def test_second_address_is_tried_when_the_first_is_dead(serve: Serve, internet: Internet) -> None:
    internet.host("pictures.test", serve(answer()))
    internet.names["pictures.test"] = [["93.184.216.1", PUBLIC]]
    assert from_url("http://pictures.test/", public_settings()) == PICTURE
    assert internet.connected == [("93.184.216.1", 80), (PUBLIC, 80)]


def test_few_addresses_are_tried(internet: Internet) -> None:
    internet.names["many.test"] = [[f"93.184.216.{i}" for i in range(100)]]
    with pytest.raises(SourceError) as caught:
        from_url("http://many.test/", public_settings())
    assert caught.value.code == "fetch-failed"
    assert len(internet.connected) == net_guard.MAX_ADDRESSES


@pytest.mark.defends("odd-spelling")
@pytest.mark.parametrize("port", [1, 22, 25, 81, 3306, 5432, 6379, 8081, 11211, 65535])
def test_ports_that_are_not_of_web_servers(port: int, internet: Internet) -> None:
    refused(f"http://{PUBLIC}:{port}/")
    assert internet.connected == []


@pytest.mark.parametrize("port", sorted(net_guard.ALLOWED_PORTS))
def test_ports_of_web_servers(port: int, internet: Internet) -> None:
    with pytest.raises(SourceError, match="connection"):
        from_url(f"http://{PUBLIC}:{port}/", public_settings())
    assert internet.connected == [(PUBLIC, port)]


# --- ambiguous URLs ----------------------------------------------------------------------------


@pytest.mark.defends("odd-spelling")
@pytest.mark.parametrize("settings", [public_settings(), local_settings()])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "pictures.test/a.jpg",
        "//pictures.test/a.jpg",
        "ftp://pictures.test/",
        "file:///etc/passwd",
        "gopher://pictures.test:6379/_",
        "javascript:alert(1)",
        "http:",
        "http://",
        "http:///a.jpg",
        "http:pictures.test/",
        "https:/pictures.test/",
        "http+unix://%2Frun%2Fdocker.sock/",
        "http://user@pictures.test/",
        "http://user:pass@pictures.test/",
        "http://93.184.216.34@127.0.0.1/",
        "http://pictures.test\\@127.0.0.1/",
        "http://127.0.0.1\\.pictures.test/",
        "http://pictures.test/\r\nHost: inside",
        "http://pic\ttures.test/",
        "http://pictures.test/\0",
        "http://pictures.test/\x7f",
        "http://pictures.test/\x85a",
        "http://pic tures.test/",
        "http://pictures%00.test/",
        "http://pictures%2f.test/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0X7F.1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://127.0.0.01/",
        "http://134744072/",
        "http://8.8.8.0x8/",
        "http://999.1.1.1/",
        "http://1.2.3.4.5/",
        "http://①②⑦.⓪.⓪.①/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
        "http://pic\u00adtures.test/",
        "http://pictures.test\u2028/",
        "http://*.pictures.test/",
        "http://.pictures.test/",
        "http://pictures..test/",
        "http://pictures.test../",
        "http://-pictures.test/",
        f"http://{'a' * 64}.test/",
        f"http://{'a.' * 130}test/",
        "http://pictures.test:99999/",
        "http://pictures.test:port/",
        "http://pictures.test:-1/",
        "http://[::1/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://[v1.x]/",
        "http://pictures.test/" + "a" * 9000,
    ],
)
def test_url_is_refused_before_anything_is_looked_up(
    url: str, settings: Settings, internet: Internet
) -> None:
    refused(url, settings)
    assert internet.lookups == []


@pytest.mark.parametrize(
    ("url", "looked_up", "path"),
    [
        ("HTTP://PICTURES.TEST/A.jpg", "pictures.test", b"/A.jpg"),
        ("http://pictures.test", "pictures.test", b"/"),
        ("  http://pictures.test/a.jpg\n", "pictures.test", b"/a.jpg"),
        ("http://pictures.test/my photo.jpg#top", "pictures.test", b"/my%20photo.jpg"),
        ("http://pictures.test/é?q=a%20b&c=@", "pictures.test", b"/%C3%A9?q=a%20b&c=@"),
        ("http://pictures.test./a.jpg", "pictures.test.", b"/a.jpg"),
        ("http://my_pictures.s3.test/", "my_pictures.s3.test", b"/"),
        ("http://bücher.test/", "xn--bcher-kva.test", b"/"),
    ],
)
def test_ordinary_urls(
    url: str, looked_up: str, path: bytes, serve: Serve, internet: Internet
) -> None:
    heads: list[bytes] = []

    def handler(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(answer())

    internet.host(looked_up, serve(handler))
    assert from_url(url, public_settings()) == PICTURE
    assert internet.lookups == [looked_up]
    assert heads[0].split()[1] == path


def test_data_url() -> None:
    url = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert from_url(url, public_settings()) == PICTURE
    with pytest.raises(ImageTooLarge):
        from_url(url, public_settings(max_picture_bytes=1024))


# --- requests and answers ----------------------------------------------------------------------


def test_the_request_has_our_headers_and_nothing_from_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heads: list[str] = []

    def handler(connection: socket.socket) -> None:
        heads.append(read_head(connection).decode())
        first = len(heads) == 1
        connection.sendall(
            answer(b"", "302 Found", Location="/b", Set_Cookie="a=b") if first else answer()
        )

    server = serve(handler)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert from_url(f"{server.url}/a", local_settings()) == PICTURE
    assert len(heads) == 2
    for head in heads:
        assert f"User-Agent: age-gender-estimation/{__version__}\r\n" in head
        assert "Accept-Encoding: identity\r\n" in head
        assert "Connection: close\r\n" in head
        assert "Authorization" not in head
        assert "Cookie" not in head


def test_the_adapter_ignores_proxies() -> None:
    deadline = net_guard.Deadline(1)
    turn = net_guard.Turn(net_guard.FreePlaces(), deadline)
    guard = net_guard.FetchGuard(deadline, max_wire_bytes=1, turn=turn)
    with contextlib.closing(net_guard.GuardedAdapter(guard)) as adapter:
        request = net_guard.prepare_get("http://pictures.test/", {})
        proxies = {"http": "http://127.0.0.1:1"}
        assert adapter.get_connection_with_tls_context(request, True, proxies).proxy is None


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer(Content_Length=""),
        chunked(PICTURE, 1000),
        chunked(PICTURE, 3000, b";name=value"),
        answer(Content_Type=""),
        answer(Content_Type="text/plain"),
        answer(Content_Type="application/octet-stream"),
        answer(Content_Encoding="identity"),
        answer(Content_Encoding="none"),
    ],
)
def test_accepted_answers(reply: bytes, serve: Serve) -> None:
    assert from_url(serve(reply).url, local_settings()) == PICTURE


@pytest.mark.parametrize("status", ["400 x", "401 x", "404 x", "429 x", "500 x", "503 x", "999 x"])
@pytest.mark.parametrize("kind", ["image/jpeg", "text/html"])
def test_another_status_is_named_without_the_server_s_text(
    status: str, kind: str, serve: Serve
) -> None:
    reply = answer(b"secret", status.replace("x", "secret"), Content_Type=kind)
    with pytest.raises(SourceError, match=status[:3]) as caught:
        from_url(serve(reply).url, local_settings())
    assert caught.value.code == "fetch-failed"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "304 Not Modified"])
def test_a_status_other_than_200_is_an_error(status: str, serve: Serve) -> None:
    with pytest.raises(SourceError, match=status[:3]):
        from_url(serve(answer(b"", status)).url, local_settings())


@pytest.mark.defends("web-page")
@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_web_page_instead_of_a_picture(kind: str, serve: Serve) -> None:
    with pytest.raises(ImageError, match="web page"):
        from_url(serve(answer(b"<html>", Content_Type=kind)).url, local_settings())


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-9\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
)
def test_broken_answers(reply: bytes, serve: Serve) -> None:
    server = serve(reply)
    with pytest.raises(SourceError) as caught:
        from_url(server.url, local_settings())
    assert caught.value.code == "fetch-failed"
    assert "127.0.0.1" not in caught.value.message


def test_no_server_listens(serve: Serve) -> None:
    server = serve(b"")
    server.stop()
    with pytest.raises(SourceError, match="connection") as caught:
        from_url(server.url, local_settings())
    assert caught.value.code == "fetch-failed"
    server.stop = lambda: None  # type: ignore[method-assign]


def test_garbled_answers_never_raise_anything_else(serve: Serve) -> None:
    dice = random.Random(1)
    templates = [
        answer(PICTURE[:300]),
        chunked(PICTURE[:300], 50),
        redirect("/again"),
        answer(PICTURE[:300], Content_Encoding="gzip"),
    ]

    def garbled() -> bytes:
        reply = bytearray(dice.choice(templates))
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(min(len(reply), 150))
            reply[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
        return bytes(reply)

    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(garbled())

    server = serve(handler)
    settings = local_settings()
    for _ in range(400):
        with contextlib.suppress(AgeGenderError):
            from_url(server.url, settings)
    assert server.connections >= 400


# --- redirects ---------------------------------------------------------------------------------


def routed(routes: dict[str, bytes]) -> Handler:
    def handler(connection: socket.socket) -> None:
        path = read_head(connection).split()[1].decode()
        connection.sendall(routes[path])

    return handler


@pytest.mark.parametrize(
    "status",
    [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ],
)
def test_redirects_are_followed(status: str, serve: Serve) -> None:
    target = serve(routed({"/c/pict%C3%BCre.jpg": answer()}))
    routes = {"/a/x": redirect("../b", status), "/b": redirect(f"{target.url}/c/pictüre.jpg")}
    assert from_url(f"{serve(routed(routes)).url}/a/x", local_settings()) == PICTURE


@pytest.mark.defends("redirect")
@pytest.mark.parametrize(("allowed", "needed"), [(0, 1), (3, 4)])
def test_redirects_are_limited(allowed: int, needed: int, serve: Serve) -> None:
    routes = {f"/{i}": redirect(f"/{i - 1}") for i in range(1, needed + 1)} | {"/0": answer()}
    server = serve(routed(routes))
    settings = local_settings(url_max_redirects=allowed)
    assert from_url(f"{server.url}/{needed - 1}", settings) == PICTURE
    with pytest.raises(SourceError, match=f"more than {allowed} times") as caught:
        from_url(f"{server.url}/{needed}", settings)
    assert caught.value.code == "fetch-failed"


@pytest.mark.defends("redirect")
@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/computeMetadata/v1/",
        "//10.0.0.1/",
        "http://[::1]/",
        "http://inside.test/",
        "http://2130706433/",
        "http://pictures.test:22/",
        "http://user@pictures.test/",
        "ftp://pictures.test/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "gs://bucket/object",
    ],
)
def test_redirects_are_checked_like_the_first_url(
    target: str, serve: Serve, internet: Internet
) -> None:
    internet.host("pictures.test", serve(redirect(target)))
    internet.names["inside.test"] = [["192.168.1.1"]]
    code = "fetch-failed" if "inside.test" in target else "url-not-allowed"
    error = refused("http://pictures.test/", public_settings(gcs_buckets=("*",)), code)
    assert error.message.startswith("after a redirect, ") == (code == "url-not-allowed")
    assert internet.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize("target", ["http://[oops", "http://127.0.0.1:x/", "//"])
def test_redirect_to_nonsense(target: str, serve: Serve) -> None:
    with pytest.raises(SourceError):
        from_url(serve(redirect(target)).url, local_settings())


def test_body_of_a_redirect_is_not_read(serve: Serve) -> None:
    def handler(connection: socket.socket) -> None:
        if read_head(connection).split()[1] == b"/end":
            connection.sendall(answer())
            return
        connection.sendall(redirect("/end").replace(b"Content-Length: 5", b"X: y"))
        silent(connection)

    assert from_url(serve(handler).url, local_settings()) == PICTURE


# --- TLS ---------------------------------------------------------------------------------------


class Authority:
    """A certificate authority that exists in memory and in a temporary folder only."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._sign(self._name, self._key, basic)
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(self, *hosts: str) -> Path:
        """Return a file with a certificate for ``hosts`` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        certificate = self._sign(subject, key, names)
        file = self._folder / f"{hosts[0]}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    monkeypatch.setattr(net_guard, "DEFAULT_CA_BUNDLE_PATH", str(authority.file))
    net_guard._cached_context.cache_clear()
    yield authority
    net_guard._cached_context.cache_clear()


def test_tls_to_the_pinned_address_verifies_the_name(
    serve: Serve, internet: Internet, trusted: Authority
) -> None:
    certificate = trusted.certificate("pictures.test")
    internet.host("pictures.test", serve(answer(), certificate), 443)
    assert from_url("https://pictures.test/", public_settings()) == PICTURE
    assert internet.connected == [(PUBLIC, 443)]


def test_tls_certificate_for_another_name(
    serve: Serve, internet: Internet, trusted: Authority
) -> None:
    certificate = trusted.certificate("other.test")
    internet.host("pictures.test", serve(answer(), certificate), 443)
    with pytest.raises(SourceError, match="certificate") as caught:
        from_url("https://pictures.test/", public_settings())
    assert caught.value.code == "fetch-failed"
    assert "other.test" not in caught.value.message


def test_tls_certificate_of_an_unknown_authority(
    serve: Serve, internet: Internet, authority: Authority
) -> None:
    certificate = authority.certificate("pictures.test")
    internet.host("pictures.test", serve(answer(), certificate), 443)
    with pytest.raises(SourceError, match="certificate"):
        from_url("https://pictures.test/", public_settings())


def test_tls_is_verified_for_private_hosts_as_well(serve: Serve, authority: Authority) -> None:
    server = serve(answer(), authority.certificate("pictures.test"))
    with pytest.raises(SourceError, match="certificate"):
        from_url(server.url, local_settings())


@pytest.mark.defends("redirect")
def test_redirect_from_http_to_https_but_not_back(
    serve: Serve, internet: Internet, trusted: Authority
) -> None:
    certificate = trusted.certificate("up.test", "down.test")
    internet.host("pictures.test", serve(redirect("https://up.test/")))
    internet.host("up.test", serve(answer(), certificate), 443, "93.184.216.1")
    internet.host(
        "down.test", serve(redirect("HTTP://pictures.test/"), certificate), 443, "93.184.216.2"
    )
    assert from_url("http://pictures.test/", public_settings()) == PICTURE
    assert "from https to http" in refused("https://down.test/").message


# --- bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("allow_length", [True, False])
def test_size_limit_is_exact(allow_length: bool, serve: Serve) -> None:
    length = {} if allow_length else {"Content_Length": ""}
    fits, too_large = bytes(LIMIT), bytes(LIMIT + 1)
    assert from_url(serve(answer(fits, **length)).url, local_settings()) == fits
    with pytest.raises(ImageTooLarge, match=f"{LIMIT:,}"):
        from_url(serve(answer(too_large, **length)).url, local_settings())


def test_size_limit_is_exact_for_chunks(serve: Serve) -> None:
    fits, too_large = bytes(LIMIT), bytes(LIMIT + 1)
    assert from_url(serve(chunked(fits, 1000)).url, local_settings()) == fits
    with pytest.raises(ImageTooLarge):
        from_url(serve(chunked(too_large, 1000)).url, local_settings())


def test_a_declared_length_is_checked_before_the_body(serve: Serve) -> None:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer(b"", Content_Length=str(LIMIT + 1)))
        silent(connection)

    with pytest.raises(ImageTooLarge):
        from_url(serve(handler).url, local_settings())


@pytest.mark.defends("endless-upstream")
@pytest.mark.parametrize(
    "handler",
    [
        flooding(answer(b"", Content_Length=""), bytes(65536)),
        flooding(
            CHUNKED_HEAD,
            b"8000\r\n" + bytes(0x8000) + b"\r\n",
        ),
    ],
)
def test_endless_bodies_stop_at_the_size_limit(handler: Handler, serve: Serve) -> None:
    start = time.monotonic()
    with pytest.raises(ImageTooLarge, match=f"{LIMIT:,}"):
        from_url(serve(handler).url, local_settings(url_timeout=60))
    assert seconds_since(start) < ENDED


@pytest.mark.defends("endless-upstream")
@pytest.mark.parametrize(
    "handler",
    [
        flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        flooding(
            CHUNKED_HEAD,
            b"1;" + b"x" * 1000 + b"\r\nx\r\n",
        ),
        flooding(CHUNKED_HEAD, b"-1\r\n" + bytes(65536)),
        flooding(CHUNKED_HEAD + b"0\r\n", b"a: b\r\n" * 99),
    ],
    ids=["interim answers", "chunk extensions", "chunk of length -1", "endless trailers"],
)
def test_endless_framing_stops(handler: Handler, serve: Serve) -> None:
    start = time.monotonic()
    with pytest.raises(ImageTooLarge, match="far more"):
        from_url(serve(handler).url, local_settings(url_timeout=60))
    assert seconds_since(start) < ENDED


@pytest.mark.defends("compressed-upstream")
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "a, gzip"])
def test_a_compressed_body_is_refused(encoding: str, serve: Serve) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    assert len(bomb) < LIMIT
    with pytest.raises(SourceError, match="compressed") as caught:
        from_url(serve(answer(bomb, Content_Encoding=encoding)).url, local_settings())
    assert caught.value.code == "fetch-failed"


# --- time --------------------------------------------------------------------------------------


def assert_times_out(url: str, settings: Settings) -> None:
    start = time.monotonic()
    with pytest.raises(SourceTimeout) as caught:
        from_url(url, settings)
    assert caught.value.code == "fetch-timeout"
    assert seconds_since(start) < ENDED


@pytest.mark.defends("slow-upstream")
@pytest.mark.parametrize(
    "handler",
    [
        silent,
        dripping(b""),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\na: "),
        dripping(answer(b"", Content_Length="4000")),
        dripping(answer(b"", Content_Length="")),
        dripping(CHUNKED_HEAD, b"1\r\nx\r\n"),
        dripping(CHUNKED_HEAD + b"1;"),
        dripping(CHUNKED_HEAD + b"0\r\n", b"a: b\r\n"),
    ],
    ids=[
        "silent",
        "status line",
        "interim answers",
        "headers",
        "one header",
        "body",
        "body without length",
        "chunks",
        "chunk extension",
        "trailers",
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_slow_server(
    handler: Handler, secure: bool, serve: Serve, internet: Internet, trusted: Authority
) -> None:
    certificate = trusted.certificate("slow.test") if secure else None
    internet.host("slow.test", serve(handler, certificate), 443 if secure else 80)
    scheme = "https" if secure else "http"
    assert_times_out(f"{scheme}://slow.test/", public_settings(url_timeout=SHORT))


@pytest.mark.defends("slow-upstream")
@pytest.mark.parametrize("drip", [b"", b"\x16\x03\x03\x40\x00" + bytes(1000)])
def test_slow_tls_handshake(drip: bytes, serve: Serve) -> None:
    def handler(connection: socket.socket) -> None:
        for byte in drip:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
        silent(connection)

    server = serve(handler)
    url = server.url.replace("http:", "https:")
    assert_times_out(url, local_settings(url_timeout=SHORT))


@pytest.mark.defends("slow-upstream")
def test_one_deadline_for_all_redirects(serve: Serve) -> None:
    server = serve(saying(b"", redirect("/again"), pause=0.05))
    assert_times_out(server.url, local_settings(url_timeout=SHORT, url_max_redirects=20))


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that never answers; yields the names it was asked for."""
    calls: list[str] = []
    wake_up = threading.Event()

    def hang(host: str, *_: Any, **__: Any) -> list[Any]:
        calls.append(host)
        wake_up.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(net_guard, "_lookups", threading.BoundedSemaphore(2))
    yield calls
    wake_up.set()
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join()


@pytest.mark.defends("slow-resolver")
def test_slow_resolver(hanging_resolver: list[str]) -> None:
    assert_times_out("http://slow.test/", public_settings(url_timeout=SHORT))
    assert hanging_resolver == ["slow.test"]


@pytest.mark.defends("slow-resolver")
def test_abandoned_look_ups_are_bounded(hanging_resolver: list[str]) -> None:
    for _ in range(4):
        assert_times_out("http://slow.test/", public_settings(url_timeout=SHORT))
    assert hanging_resolver == ["slow.test"] * 2


def test_no_thread_left_for_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(net_guard, "_lookups", threading.BoundedSemaphore(1))
    monkeypatch.setattr(threading.Thread, "start", fail)
    for _ in range(2):
        with pytest.raises(Busy):
            from_url("http://pictures.test/", public_settings())


@pytest.mark.parametrize("limit", ["CONNECT_SECONDS", "SILENCE_SECONDS"])
def test_one_step_may_not_use_up_a_long_deadline(
    limit: str, serve: Serve, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_guard, limit, 0.2)
    internet.host("slow.test", serve(silent))
    if limit == "CONNECT_SECONDS":
        # Nothing answers: connecting waits until the socket's timeout.
        def wait(sock: socket.socket, _: Any) -> None:
            seconds = sock.gettimeout()
            time.sleep(seconds if seconds is not None else 60)
            raise TimeoutError

        monkeypatch.setattr(socket.socket, "connect", wait)
    assert_times_out("http://slow.test/", public_settings(url_timeout=30))


# --- leaks -------------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_socket_and_no_thread_leaks(serve: Serve, trusted: Authority) -> None:
    slow_handlers = [dripping(answer(b"", Content_Length="4000")), silent]
    handlers: list[Handler | bytes] = [
        answer(),
        chunked(PICTURE, 100),
        answer(b"", "404 Not Found"),
        answer(bytes(LIMIT + 1)),
        redirect("/again"),
        redirect("ftp://pictures.test/"),
        b"nonsense",
        slow_handlers[0],
        flooding(answer(b"", Content_Length=""), bytes(65536)),
        slow_handlers[1],
    ]
    outcomes: list[bytes | AgeGenderError] = []
    urls = [serve(handler).url for handler in handlers]
    urls.append(serve(answer(), trusted.certificate("other.test")).url)
    slow = [url for url, handler in zip(urls, handlers, strict=False) if handler in slow_handlers]
    accepting = set(threading.enumerate())
    sockets = open_files()
    for url in urls:
        try:
            seconds = SHORT if url in slow else ENDED
            outcomes.append(from_url(url, local_settings(url_timeout=seconds)))
        except AgeGenderError as error:
            # Kept with its traceback, so that garbage collection closes nothing.
            outcomes.append(error)
    # The servers may need a moment to notice.
    end = time.monotonic() + ENDED
    while (open_files() > sockets or set(threading.enumerate()) - accepting) and (
        time.monotonic() < end
    ):
        time.sleep(0.02)
    assert open_files() == sockets
    assert set(threading.enumerate()) <= accepting
    assert [getattr(outcome, "code", "picture") for outcome in outcomes] == [
        "picture",
        "picture",
        "fetch-failed",
        "picture-too-large",
        "fetch-failed",
        "url-not-allowed",
        "fetch-failed",
        "fetch-timeout",
        "picture-too-large",
        "fetch-timeout",
        "fetch-failed",
    ]


def test_socket_is_closed_when_the_deadline_passes_while_connecting(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[socket.socket] = []

    def succeed_too_late(sock: socket.socket, _: Any) -> None:
        opened.append(sock)
        time.sleep(SHORT)

    monkeypatch.setattr(socket.socket, "connect", succeed_too_late)
    assert_times_out(f"http://{PUBLIC}/", public_settings(url_timeout=SHORT))
    assert [sock.fileno() for sock in opened] == [-1]


# --- what a fetch may cost ----------------------------------------------------------------------


@pytest.mark.defends("fetched-bytes")
@pytest.mark.parametrize("framed", [answer, partial(chunked, size=1000)])
def test_bytes_are_booked_before_they_are_kept(
    serve: Serve, framed: Callable[[bytes], bytes]
) -> None:
    booked = 0

    def reserve(amount: int) -> None:
        nonlocal booked
        if booked + amount > 200_000:
            raise Busy("no room", retry_after=1)
        booked += amount

    settings = local_settings(max_picture_bytes=1 << 20)
    server = serve(framed(bytes(150_000)))
    assert len(from_url(server.url, settings, reserve)) == booked == 150_000
    booked, server = 0, serve(framed(bytes(1 << 20)))
    tracemalloc.start()
    with pytest.raises(Busy):
        from_url(server.url, settings, reserve)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 19


@pytest.mark.defends("tiny-chunks")
def test_a_picture_in_tiny_chunks_is_refused(serve: Serve) -> None:
    settings = local_settings(max_picture_bytes=1 << 20)
    with pytest.raises(SourceError, match="too small chunks"):
        from_url(serve(chunked(bytes(20_000), 2)).url, settings)
    assert from_url(serve(chunked(PICTURE, 3)).url, settings) == PICTURE


class Limited:
    """Places of which each share has one; who asked for which."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held: list[str] = []

    @contextlib.contextmanager
    def look_up(self, domain: str) -> Iterator[None]:
        with self._hold(f"look-up {domain}"):
            yield

    @contextlib.contextmanager
    def connect(self, network: str) -> Iterator[None]:
        with self._hold(network):
            yield

    @contextlib.contextmanager
    def _hold(self, share: str) -> Iterator[None]:
        self.asked.append(share)
        if share in self.held:
            raise Busy("its share is used up")
        self.held.append(share)
        try:
            yield
        finally:
            self.held.remove(share)


@pytest.mark.defends("many-names")
def test_all_names_of_one_address_share_its_places(serve: Serve, internet: Internet) -> None:
    server = serve(answer())
    places = Limited()
    for number in range(3):
        internet.host(f"n{number}.pictures.test", server)
        url = f"http://n{number}.pictures.test/a.jpg"
        assert from_url(url, public_settings(), places=places) == PICTURE
    assert places.asked == ["look-up pictures.test", PUBLIC] * 3
    assert places.held == []
    with places.connect(PUBLIC), pytest.raises(Busy):
        from_url("http://n0.pictures.test/a.jpg", public_settings(), places=places)


@pytest.mark.defends("many-names")
def test_a_redirect_needs_a_place_at_its_target_and_gives_up_the_first(
    serve: Serve, internet: Internet
) -> None:
    target, other = serve(answer()), "93.184.216.35"
    internet.host("slow.test", target, address=other)
    first = serve(redirect("http://slow.test/b.jpg"))
    internet.host("first.test", first)
    places = Limited()
    assert from_url("http://first.test/", public_settings(), places=places) == PICTURE
    assert places.asked == ["look-up first.test", PUBLIC, "look-up slow.test", other]
    with places.connect(other), pytest.raises(Busy):
        from_url("http://first.test/", public_settings(), places=places)
    assert places.held == []


def test_waiting_for_a_place_does_not_count_against_the_deadline(
    serve: Serve, internet: Internet
) -> None:
    internet.host("a.test", serve(answer()))

    class Slow(Limited):
        @contextlib.contextmanager
        def connect(self, network: str) -> Iterator[None]:
            time.sleep(2 * SHORT)
            yield

    assert from_url("http://a.test/", public_settings(url_timeout=SHORT), places=Slow()) == PICTURE


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("93.184.216.34", "93.184.216.34"),
        ("2001:4860:1:2:3:4:5:6", "2001:4860:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("localhost", "localhost"),
    ],
)
def test_domain_of_a_name(host: str, domain: str) -> None:
    assert domain_of(host) == domain


# --- buckets -----------------------------------------------------------------------------------


class Storage:
    """The two calls of Cloud Storage's JSON API that read an object."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {
            "name": "a b/c.jpg",
            "bucket": "pictures",
            "generation": "17",
            "size": str(len(PICTURE)),
        }
        self.metadata_status = "200 OK"
        self.download = answer()
        self.download_pause = 0.0
        self.requests: list[str] = []

    def talk(self, connection: socket.socket) -> None:
        while head := read_head(connection):
            target = head.split()[1].decode()
            self.requests.append(target)
            if not target.startswith("/download/"):
                body = json.dumps(self.metadata).encode()
                connection.sendall(
                    answer(body, self.metadata_status, Content_Type="application/json")
                )
                continue
            for start in range(0, len(self.download), 16384):
                connection.sendall(self.download[start : start + 16384])
                time.sleep(self.download_pause)


@pytest.fixture
def storage(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    fake = Storage()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", serve(fake.talk).url)
    # The client asks for the bucket's location in the background, to name it in traces.
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    objects._storage_client.cache_clear()
    yield fake
    objects._storage_client()._http.close()
    objects._storage_client.cache_clear()


BUCKET_URL = "gs://pictures/a b/c.jpg"


def bucket_settings(*buckets: str, **changes: Any) -> Settings:
    return public_settings(gcs_buckets=buckets or ("pictures",), **changes)


@pytest.mark.parametrize("buckets", [("pictures",), ("other", "pictures"), ("*",)])
def test_object_in_a_bucket(buckets: tuple[str, ...], storage: Storage) -> None:
    assert from_url(BUCKET_URL, bucket_settings(*buckets)) == PICTURE
    metadata, download = (urlsplit(target) for target in storage.requests)
    assert metadata.path == "/storage/v1/b/pictures/o/a%20b%2Fc.jpg"
    assert download.path == "/download/storage/v1/b/pictures/o/a%20b%2Fc.jpg"
    assert parse_qs(download.query)["ifGenerationMatch"] == ["17"]


@pytest.mark.parametrize("buckets", [(), ("picture",), ("pictures2", "other")])
def test_buckets_that_are_not_allowed(buckets: tuple[str, ...], storage: Storage) -> None:
    refused(BUCKET_URL, public_settings(gcs_buckets=buckets))
    assert storage.requests == []


@pytest.mark.parametrize(
    "url",
    [
        *("gs:", "gs://", "gs://pictures", "gs://pictures/", "gs:///a", "gs://../a", "gs://A/a"),
        *("gs://pictures/.", "gs://pictures/..", "gs://a..b/a", "gs://./a", "gs:// /a"),
        *("gs://pictures/a\0b", "gs://pictures/a\nb", "gs://pictures/\ud800"),
        "gs://pictures/" + "é" * 513,
    ],
)
@pytest.mark.defends("bucket-path")
def test_bad_bucket_urls(url: str, storage: Storage) -> None:
    refused(url, bucket_settings("*"))
    assert storage.requests == []


def test_large_object_is_not_downloaded(storage: Storage) -> None:
    storage.metadata["size"] = str(LIMIT + 1)
    with pytest.raises(ImageTooLarge):
        from_url(BUCKET_URL, bucket_settings())
    assert len(storage.requests) == 1


@pytest.mark.defends("forged-size")
def test_object_longer_than_its_description_is_not_kept(storage: Storage) -> None:
    storage.download = answer(bytes(4 * LIMIT))
    with pytest.raises(ImageTooLarge):
        from_url(BUCKET_URL, bucket_settings())


def test_compressed_object_is_not_unpacked(storage: Storage) -> None:
    storage.metadata["contentEncoding"] = "gzip"
    with pytest.raises(SourceError, match="compressed"):
        from_url(BUCKET_URL, bucket_settings())
    assert len(storage.requests) == 1


def test_object_that_is_compressed_on_the_way_is_not_unpacked(storage: Storage) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    storage.download = answer(bomb, Content_Encoding="gzip")
    assert from_url(BUCKET_URL, bucket_settings()) == bomb


@pytest.mark.parametrize(
    ("status", "words"),
    [("404 Not Found", "no such object"), ("403 Forbidden", "role"), ("401 No", "role")],
)
def test_object_that_cannot_be_read(status: str, words: str, storage: Storage) -> None:
    storage.metadata_status = status
    with pytest.raises(SourceError, match=words) as caught:
        from_url(BUCKET_URL, bucket_settings())
    assert caught.value.code == "fetch-failed"


@pytest.mark.parametrize("status", ["412 Precondition Failed", "404 Not Found"])
def test_object_replaced_while_it_is_read(status: str, storage: Storage) -> None:
    storage.download = answer(b"", status)
    with pytest.raises(SourceError, match="replaced"):
        from_url(BUCKET_URL, bucket_settings())


def test_storage_is_unavailable(storage: Storage) -> None:
    storage.metadata_status = "503 Service Unavailable"
    assert_times_out(BUCKET_URL, bucket_settings(url_timeout=SHORT))


def test_bad_request_to_storage(storage: Storage) -> None:
    storage.metadata_status = "400 Bad Request"
    with pytest.raises(SourceError, match="Cloud Storage"):
        from_url(BUCKET_URL, bucket_settings())


def test_slow_download_from_a_bucket(storage: Storage) -> None:
    size = 100 * 16384
    storage.metadata["size"] = str(size)
    storage.download = answer(bytes(size))
    storage.download_pause = 0.1
    assert_times_out(BUCKET_URL, bucket_settings(url_timeout=SHORT, max_picture_bytes=size))
