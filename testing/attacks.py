"""Clients that try to take the service from the others, over the loopback and for seconds only.

``python -m testing.attacks NAME PORT SECONDS`` runs one in a process of its own, so that it does
not slow down those who measure.
"""

import base64
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from testing.service import AUTHORIZATION, ROOT

MAX_SECONDS = 120.0
ROUND_SECONDS = 1.0
"""How often each connection sends its next byte, and is opened again if it was closed."""

MiB = 1 << 20


def _head(*lines: str, path: str = "/predict") -> bytes:
    first = f"POST {path} HTTP/1.1"
    return "\r\n".join([first, "Host: x", "Content-Type: image/jpeg", *lines, "", ""]).encode()


def _connect(port: int, data: bytes, receive_buffer: int | None = None) -> socket.socket | None:
    made = socket.socket()
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(5)
    try:
        made.connect(("127.0.0.1", port))
        made.sendall(data)
    except OSError:
        made.close()
        return None
    made.setblocking(False)
    return made


def _is_open(connection: socket.socket, *, deaf: bool) -> bool:
    """Whether the server still listens to it; one that was answered counts as closed."""
    try:
        return connection.recv(1, socket.MSG_PEEK) != b"" and deaf
    except BlockingIOError:
        return True
    except OSError:
        return False


def _crowd(
    port: int,
    end: float,
    *,
    count: int,
    data: Callable[[int], bytes],
    drip: bytes = b"",
    deaf: bool = False,
) -> None:
    """Hold connections, sending a little on each, and open them again when they are closed.

    Args:
        port: of the service.
        end: when to stop, of the monotonic clock.
        count: number of connections.
        data: what each sends first, by its index.
        drip: what it sends in each round.
        deaf: whether it never reads.
    """
    held: dict[int, socket.socket | None] = dict.fromkeys(range(count))
    while time.monotonic() < end:
        for index, made in held.items():
            if made is None or not _is_open(made, deaf=deaf):
                if made:
                    made.close()
                held[index] = _connect(port, data(index), 4096 if deaf else None)
            elif drip:
                with suppress(OSError):
                    made.send(drip)
            if time.monotonic() > end:
                return
        time.sleep(ROUND_SECONDS)


def _chunked(port: int, end: float) -> None:
    """Send chunked bodies of 20 MiB without credentials, on eight connections."""
    threads = [threading.Thread(target=_send_chunks, args=(port, end)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_chunks(port: int, end: float) -> None:
    chunks = (b"400\r\n" + bytes(1 << 10) + b"\r\n") * 64
    while time.monotonic() < end:
        made = _connect(port, _head("Transfer-Encoding: chunked"))
        if made is None:
            time.sleep(0.05)
            continue
        made.settimeout(2)
        with made, suppress(OSError):
            for _ in range(20 * MiB // (1 << 16)):
                made.sendall(chunks)
            made.sendall(b"0\r\n\r\n")
            made.recv(100)
        time.sleep(0.05)


def _guess(port: int, end: float) -> None:
    """Try a hundred wrong passwords a second."""
    asked: list[tuple[float, socket.socket]] = []
    number = 0
    while time.monotonic() < end:
        number += 1
        wrong = base64.b64encode(f"sugar:wrong{number}".encode()).decode()
        made = _connect(port, _head(f"Authorization: Basic {wrong}", "Content-Length: 3") + b"abc")
        if made:
            asked.append((time.monotonic(), made))
        while asked and time.monotonic() - asked[0][0] > 3:
            asked.pop(0)[1].close()
        time.sleep(0.01)


def _held_body(index: int) -> bytes:
    """All but the last byte of a body as large as allowed, twice; then what is left."""
    announced, sent = (32 * MiB, 32 * MiB - 1) if index < 2 else (MiB, MiB // 8)
    head = _head(f"Authorization: {AUTHORIZATION}", f"Content-Length: {announced}")
    return head + bytes(sent)


_GET = b"GET /assets/sample.jpg HTTP/1.1\r\nHost: x\r\n\r\n"

ATTACKS: dict[str, Callable[[int, float], None]] = {
    "400 idle connections": partial(_crowd, count=400, data=lambda _: b""),
    "300 slow headers, reconnecting": partial(
        _crowd, count=300, data=lambda _: b"GET / HTTP/1.1\r\nX: ", drip=b"y"
    ),
    "200 slow bodies without credentials": partial(
        _crowd, count=200, data=lambda _: _head("Content-Length: 1000000"), drip=b"x"
    ),
    "120 times 50 pipelined pictures, never read": partial(
        _crowd, count=120, data=lambda _: _GET * 50, deaf=True
    ),
    "chunked bodies of 20 MiB without credentials": _chunked,
    "two bodies held at 32 MiB less a byte": partial(_crowd, count=3, data=_held_body),
    "100 wrong passwords a second": _guess,
}
"""Each takes a port and the time at which to stop."""


@contextmanager
def running(name: str, port: int, seconds: float) -> Iterator[None]:
    """Run an attack in another process while inside, for that many seconds at most."""
    command = [sys.executable, "-m", "testing.attacks", name, str(port), str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main(name: str, port: str, seconds: str) -> None:
    """Attack the service on a port of the loopback."""
    ATTACKS[name](int(port), time.monotonic() + min(float(seconds), MAX_SECONDS))


if __name__ == "__main__":
    main(*sys.argv[1:])
