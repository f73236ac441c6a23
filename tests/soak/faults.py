"""Faults during the soak, and the environment that makes them possible.

The silent name server and the full disk need root, Linux and ``unshare``; otherwise they are
skipped.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from testing import photos
from testing.service import Service
from testing.web import serve_folder

NAME = "pictures.test"
NAME_SERVER = "127.0.0.77"
FAULT_SECONDS = 12.0
AFTERMATH_SECONDS = 10.0
"""During which requests from the time of the fault may still fail."""


@dataclass(frozen=True)
class Event:
    """A fault that is over.

    Attributes:
        name: of the fault.
        start: seconds since the start of the run.
        end: likewise.
    """

    name: str
    start: float
    end: float


class Environment:
    """A web server, and where possible a name server and a small disk."""

    def __init__(self, folder: Path):
        self.can_mount = _can_mount()
        self.temporary = folder / "tmp"
        self._folder = folder
        self._stack = ExitStack()
        self.names_answered = threading.Event()
        self.address = ""

    def __enter__(self) -> Self:
        web = self._folder / "web"
        web.mkdir()
        self.temporary.mkdir()
        (web / "portrait.jpg").write_bytes(photos.resized("astronaut", 320, 320))
        self.address = self._stack.enter_context(serve_folder(web))
        if self.can_mount:
            self._mount()
            self._serve_names()
            self.address = self.address.replace("127.0.0.1", NAME)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def service(self, log: Path) -> Service:
        """The service in this environment, not yet started."""
        variables = {"ALLOW_PRIVATE_URLS": "true", "TMPDIR": str(self.temporary)}
        if not self.can_mount:
            return Service(log, **variables)
        resolver = self._folder / "resolv.conf"
        resolver.write_text(f"nameserver {NAME_SERVER}\noptions timeout:2 attempts:2\n")
        return _WithNameServer(log, resolver, variables)

    def _mount(self) -> None:
        target = str(self.temporary)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", target], check=True)
        self._stack.callback(subprocess.run, ["umount", "--lazy", target], check=False)

    def _serve_names(self) -> None:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stack.callback(server.close)
        server.bind((NAME_SERVER, 53))
        self.names_answered.set()

        def answer() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    query, client = server.recvfrom(1500)
                    if self.names_answered.is_set():
                        server.sendto(dns_answer(query), client)

        threading.Thread(target=answer, daemon=True).start()


class _WithNameServer(Service):
    """The service with its own ``resolv.conf``."""

    def __init__(self, log: Path, resolver: Path, variables: Mapping[str, str]):
        super().__init__(log, **variables)
        self._resolver = resolver

    def command(self) -> list[str]:
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self._resolver), *super().command()]


class Faults:
    """Starts and ends one fault after the other."""

    def __init__(self, service: Service, environment: Environment):
        self._service = service
        self._environment = environment
        self.current = ""
        self.events: list[Event] = []
        self._undo: Callable[[], object] = lambda: None
        self._start = self._ended = 0.0
        self._since = 0.0
        # The worker last: its successor starts with fresh memory.
        self._plan: list[tuple[float, str, Callable[[], Callable[[], object]]]] = [
            (0.35, "few open files", self._few_files),
            (0.92, "worker killed", self._kill_worker),
        ]
        if environment.can_mount:
            self._plan += [
                (0.50, "temporary folder full", self._fill_disk),
                (0.65, "name server silent", self._silence_names),
            ]
        self._plan.sort(key=lambda entry: entry[0])

    def update(self, progress: float, seconds: float) -> None:
        """Start or end a fault when due.

        Args:
            progress: share of the requests done, 0-1.
            seconds: since the start of the run.
        """
        self._since = seconds
        if self.current and seconds - self._start >= FAULT_SECONDS:
            self.end()
        elif not self.current and self._plan and progress >= self._plan[0][0]:
            _, self.current, begin = self._plan.pop(0)
            self._start = seconds
            self._undo = begin()

    def end(self) -> None:
        """End the current fault, if any."""
        if not self.current:
            return
        self._undo()
        self.events.append(Event(self.current, round(self._start, 1), round(self._since, 1)))
        self._ended = time.monotonic()
        self.current = ""

    def just_ended(self) -> str:
        """Name of the last fault while it may still have effects, or an empty string."""
        if self.events and time.monotonic() - self._ended < AFTERMATH_SECONDS:
            return self.events[-1].name
        return ""

    def _worker(self) -> psutil.Process:
        return psutil.Process(self._service.process.pid).children()[0]

    def _few_files(self) -> Callable[[], object]:
        worker = self._worker()
        before = worker.rlimit(psutil.RLIMIT_NOFILE)
        worker.rlimit(psutil.RLIMIT_NOFILE, (worker.num_fds() + 3, before[1]))
        return partial(worker.rlimit, psutil.RLIMIT_NOFILE, before)

    def _kill_worker(self) -> Callable[[], object]:
        self._worker().send_signal(signal.SIGKILL)
        return lambda: None

    def _fill_disk(self) -> Callable[[], object]:
        filler = self._environment.temporary / "filler"
        with suppress(OSError), filler.open("wb") as file:  # until it is full
            while True:
                file.write(bytes(1 << 16))
        return filler.unlink

    def _silence_names(self) -> Callable[[], object]:
        self._environment.names_answered.clear()
        return self._environment.names_answered.set


def _can_mount() -> bool:
    tools = all(shutil.which(tool) for tool in ("mount", "umount", "unshare"))
    if not tools or sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def dns_answer(query: bytes) -> bytes:
    """Answer an A query with the loopback address, others with nothing (RFC 1035, section 4)."""
    end = query.index(b"\0", 12) + 5
    is_address = query[end - 4 : end - 2] == b"\0\1"
    header = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, int(is_address), 0, 0)
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"
    return header + query[12:end] + (answer if is_address else b"")
