"""Soaks the service in small containers with 64 clients of many kinds, most of them difficult.

``python -m benchmarks.containers`` runs both kinds of service in memory control groups of 512 MiB
and of 1 GiB, and writes ``benchmarks/containers.json`` and a table of docs/security.md. Where no
group can be made, memory is only measured, and the table says so. Loopback only; every loop ends in
time.
"""

import argparse
import base64
import itertools
import json
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from benchmarks import machine
from benchmarks.bystanders import Bystander, beside, percentiles
from benchmarks.markers import write_section
from benchmarks.report import table
from testing import photos, web
from testing.buckets import OUT, SOURCE, BucketServer, Courier, event_headers
from testing.cgroups import MemoryGroup, memory_group
from testing.sampling import sampled
from testing.service import AUTHORIZATION, CREDENTIALS, ROOT, Service

RESULTS = ROOT / "benchmarks" / "containers.json"
PAGE = ROOT / "docs" / "security.md"
SECONDS = 60.0
LIMITS_MIB = (512, 1024)
SERVICES = ("predict", "annotate")
TIMEOUT = 90.0
"""Of a client, longer than anything that the service allows."""
SAMPLE_SECONDS = 0.5
ALONE_SECONDS = 6.0
"""For which the bystanders are measured before the others come."""
PAUSE = 0.1
"""Seconds between two requests of a bystander."""
IDLE_SECONDS = 5.0
DRIP_SECONDS = 0.5

EXPECTED = {
    "predict": {200, 400, 401, 408, 413, 415, 422, 424, 429, 504},
    "annotate": {200, 408, 503},
}
"""Statuses by which a request is answered as it should be, 429 and 503 for lack of capacity."""

Client = Callable[[], int]
"""Sends a request and returns its status; 0 if the server ended the connection."""


@dataclass
class Tally:
    """Number of requests by kind of client and status."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, status: int) -> None:
        """Count a request."""
        with self.lock:
            self.statuses.setdefault(kind, Counter())[status] += 1


class _Contained(Service):
    """The service in a memory group, if there is one."""

    group: MemoryGroup | None = None

    def command(self) -> list[str]:
        inner = super().command()
        return self.group.command(inner) if self.group else inner


@dataclass
class Watch:
    """What the service's processes hold, sampled.

    Attributes:
        peak: bytes of all of them together, without caches of files.
        workers: process numbers of the workers seen; more than one means that one died.
    """

    peak: int = 0
    workers: set[int] = field(default_factory=set)

    def sample(self, process: psutil.Process, group: MemoryGroup | None) -> None:
        """Look at the processes once."""
        with suppress(psutil.Error):
            children = process.children(recursive=True)
            self.workers |= {child.pid for child in children if child.ppid() == process.pid}
            held = sum(each.memory_info().rss for each in [process, *children])
            self.peak = max(self.peak, group.anonymous() if group else held)


def measure(target: str, limit_mib: int, seconds: float) -> dict[str, Any]:
    """Soak one kind of service in one size of container."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = stack.enter_context(memory_group(limit_mib << 20))
        clients, variables = CLIENTS[target](stack)
        it = _Contained(folder / "log", target, **variables)
        it.group = group
        stack.enter_context(it)
        kinds = clients(it)
        tally, watch = Tally(), Watch()
        alone = _bystanders(it, target)
        with beside([*alone.values()]):
            time.sleep(ALONE_SECONDS)
        meanwhile = _bystanders(it, target)
        process = psutil.Process(it.process.pid)
        with sampled(partial(watch.sample, process, group), SAMPLE_SECONDS):
            end = time.monotonic() + seconds
            threads = [
                threading.Thread(target=_repeat, args=(kind, client, end, tally))
                for kind, client in kinds
            ]
            for thread in threads:
                thread.start()
            with beside([*meanwhile.values()]):
                time.sleep(seconds)
            for thread in threads:
                thread.join()
        kills = group.kills() if group else None
    return {
        "service": target,
        "limit_mib": limit_mib,
        "in_group": group is not None,
        "clients": len(kinds),
        "seconds": seconds,
        "peak_mib": round(watch.peak / 2**20),
        "killed": kills,
        "workers_lost": len(watch.workers) - 1,
        "statuses": {kind: dict(sorted(s.items())) for kind, s in sorted(tally.statuses.items())},
        "unexpected": sum(
            count
            for kind, statuses in tally.statuses.items()
            for status, count in statuses.items()
            if status not in EXPECTED[target] and kind not in ENDED
        ),
        "alone": {name: _seen(bystander) for name, bystander in alone.items()},
        "bystanders": {name: _seen(bystander) for name, bystander in meanwhile.items()},
    }


def _seen(it: Bystander) -> dict[str, int]:
    """Summarise what one saw, with percentiles of the requests that succeeded."""
    return {"count": len(it.good), "failed": len(it.failed), **percentiles(it.good)}


def _repeat(kind: str, client: Client, end: float, tally: Tally) -> None:
    while time.monotonic() < end:
        try:
            status = client()
        except (requests.RequestException, OSError):
            status = 0
        tally.add(kind, status)
        if status != 200:
            time.sleep(0.2)


def _bystanders(it: Service, target: str) -> dict[str, Bystander]:
    """Those who send one request after the other, by what they ask for."""
    if target == "annotate":  # it answers nothing but events
        return {"refusal": Bystander(lambda: it.get("/").status_code == 405, PAUSE)}
    send = partial(
        _post,
        it,
        data=photos.resized("astronaut", 320, 320),
        headers={"Content-Type": "image/jpeg"},
    )
    return {
        "health": Bystander(lambda: it.get("/health").ok, PAUSE),
        "predict": Bystander(lambda: send() == 200, PAUSE),
    }


# ---- clients of any service


def _idle(it: Service) -> int:
    with socket.create_connection(("127.0.0.1", it.port), timeout=TIMEOUT):
        time.sleep(IDLE_SECONDS)
    return 200


def _slow(it: Service, head: bytes, drip: bytes) -> int:
    """Send a drop now and then until the server has enough."""
    with socket.create_connection(("127.0.0.1", it.port), timeout=TIMEOUT) as made:
        made.sendall(head)
        made.setblocking(False)
        for _ in range(int(60 / DRIP_SECONDS)):
            time.sleep(DRIP_SECONDS)
            made.send(drip)
            try:
                received = made.recv(100)
            except BlockingIOError:
                continue
            return int(received.split(b" ", 2)[1]) if received else 0
    return 0


def _slow_ones(it: Service) -> list[tuple[str, Client]]:
    authorized = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n".encode()
    body = authorized + b"Content-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n"
    return [
        *[("idle", partial(_idle, it))] * 10,
        *[("slow headers", partial(_slow, it, b"GET / HTTP/1.1\r\nX: ", b"y"))] * 4,
        *[("slow body", partial(_slow, it, body, b"x"))] * 4,
    ]


ENDED = frozenset({"idle", "slow headers", "slow body"})
"""Kinds whose connections the server may end without an answer."""


# ---- clients of `predict`


def _post(it: Service, **arguments: Any) -> int:
    parameters = {"face_detector": "accurate", "return_image": "false"}
    arguments = {"params": parameters, "auth": CREDENTIALS, **arguments}
    return requests.post(f"{it.url}/predict", timeout=TIMEOUT, **arguments).status_code


Clients = Callable[[Service], list[tuple[str, Client]]]


def _predict_clients(stack: ExitStack) -> tuple[Clients, dict[str, str]]:
    # Servers of their own, since each address has a share of the fetches.
    good, slow, large_ones = (
        stack.enter_context(_pictures(f"127.0.0.{number}")) for number in (1, 2, 3)
    )

    def clients(it: Service) -> list[tuple[str, Client]]:
        group = photos.collage(5, 1024, 768)
        portrait = photos.resized("astronaut", 640, 480)
        large = photos.encoded(np.zeros((3000, 4000, 3), np.uint8))
        text = base64.b64encode(portrait).decode()
        image = {"Content-Type": "image/jpeg"}
        several = {
            "images": [{"b64": text}, {"url": f"{good}/good.jpg"}] * 4,
            "return_image": False,
        }
        wrong = {"Authorization": "Basic " + base64.b64encode(b"sugar:wrong").decode()}
        return [
            *[("picture", partial(_post, it, data=group, headers=image))] * 12,
            *[("picture, fast", partial(_post, it, json={"b64": text}))] * 6,
            *[("by address", partial(_post, it, json={"url": f"{good}/good.jpg"}))] * 8,
            *[("by address, slow", partial(_post, it, json={"url": f"{slow}/slow.jpg"}))] * 6,
            *[("by address, 20 MiB", partial(_post, it, json={"url": f"{large_ones}/large.jpg"}))]
            * 3,
            *[("12 megapixels, drawn", partial(_post, it, data=large, headers=image, params={}))]
            * 3,
            *[("several", partial(_post, it, json=several))] * 3,
            *[("20 MiB of nothing", partial(_post, it, data=bytes(20 << 20), headers=image))] * 2,
            *[("no picture", partial(_post, it, data=b"x" * 1000, headers=image))] * 2,
            ("wrong password", partial(_post, it, data=portrait, headers=image | wrong, auth=None)),
            *_slow_ones(it),
        ]

    return clients, {"ALLOW_PRIVATE_URLS": "true"}


@contextmanager
def _pictures(host: str) -> Iterator[str]:
    """A web server with pictures, one of which never ends; yields its address."""
    portrait = photos.resized("astronaut", 640, 480)
    bodies = {"/good.jpg": portrait, "/large.jpg": portrait + bytes((20 << 20) - len(portrait))}

    class Pictures(web.Handler):
        def do_GET(self) -> None:
            body = bodies.get(self.path, portrait)
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # the service does not wait for ever
                if self.path != "/slow.jpg":
                    self.wfile.write(body)
                for drop in body[:60] if self.path == "/slow.jpg" else b"":
                    self.wfile.write(bytes([drop]))
                    time.sleep(DRIP_SECONDS)

    with web.serve(Pictures, host) as address:
        yield address


# ---- clients of `annotate`


def _annotate_clients(stack: ExitStack) -> tuple[Clients, dict[str, str]]:
    bucket = stack.enter_context(BucketServer())
    portrait, group = photos.resized("astronaut", 640, 480), photos.collage(5, 1024, 768)
    large = photos.encoded(np.zeros((3000, 4000, 3), np.uint8))
    files = {"portrait": portrait, "group": group, "large": large, "none": b"x" * 1000}
    numbers = itertools.count()

    def clients(it: Service) -> list[tuple[str, Client]]:
        courier = Courier(it.url)
        repeated = {name: bucket.put(f"{name}.jpg", data) for name, data in files.items()}

        def new(name: str) -> int:
            described = bucket.put(f"new/{name}-{next(numbers)}.jpg", files[name])
            return courier.once(described).status_code

        def again() -> int:
            return courier.once(random.choice([*repeated.values()])).status_code  # noqa: S311

        def forged() -> int:
            return courier.once({**repeated["large"], "size": "10", "generation": "7"}).status_code

        def hopeless() -> int:
            body = "[" * 100_000 + "]" * 100_000
            return courier.send(event_headers(repeated["group"]), body).status_code

        return [
            *[("new portrait", partial(new, "portrait"))] * 14,
            *[("new group", partial(new, "group"))] * 8,
            *[("new, 12 megapixels", partial(new, "large"))] * 6,
            *[("no picture", partial(new, "none"))] * 4,
            *[("repeated", again)] * 8,
            *[("gone", forged)] * 3,
            *[("hopeless", hopeless)] * 3,
            *_slow_ones(it),
        ]

    storage = {"STORAGE_EMULATOR_HOST": bucket.url, "INPUT_BUCKET": SOURCE, "OUTPUT_BUCKET": OUT}
    return clients, storage


CLIENTS: dict[str, Callable[[ExitStack], tuple[Clients, dict[str, str]]]] = {
    "predict": _predict_clients,
    "annotate": _annotate_clients,
}


# ---- the report


def section(results: dict[str, Any]) -> str:
    """Text and table of docs/security.md."""
    head = [
        *("service", "container", "requests", "memory", "killed, workers lost"),
        *("unexpected", "bystanders: p50 alone; p50, p99 meanwhile"),
    ]
    rows = [
        (
            run["service"],
            f"{run['limit_mib']} MiB" + ("" if run["in_group"] else " (not enforced)"),
            f"{sum(sum(s.values()) for s in run['statuses'].values()):,}",
            f"{run['peak_mib']} MiB",
            f"{'?' if run['killed'] is None else run['killed']}, {run['workers_lost']}",
            run["unexpected"],
            "; ".join(
                _bystander(name, run["alone"][name], found)
                for name, found in run["bystanders"].items()
            ),
        )
        for run in results["runs"]
    ]
    described = results["machine"]
    return (
        f"\n{results['runs'][0]['clients']} clients at once for {results['runs'][0]['seconds']:g} "
        f"s each, on {described['cores']} cores of an {described['cpu']} that the clients share; "
        f"load average before the run {described['load_before']}.\n\n{table(head, rows)}\n"
    )


def _bystander(name: str, alone: dict[str, Any], found: dict[str, Any]) -> str:
    shown = [f"{ms / 1000:.2f}" for ms in (alone["p50_ms"], found["p50_ms"], found["p99_ms"])]
    refused = f"{found['failed']} of {found['count'] + found['failed']} refused"
    return f"{name} {shown[0]}; {shown[1]}, {shown[2]} s ({refused})"


def main() -> None:
    """Soak and write; fail if anything was killed or answered unexpectedly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run")
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=SERVICES)
    parser.add_argument("--mib", nargs="+", type=int, default=LIMITS_MIB, help="of memory")
    parser.add_argument("--report-only", action="store_true", help="write the stored results")
    arguments = parser.parse_args()
    if not arguments.report_only:
        described = machine.describe()
        runs = []
        for target, limit in itertools.product(arguments.services, arguments.mib):
            runs.append(measure(target, limit, arguments.seconds))
            print(json.dumps(runs[-1]), flush=True)
        results = {"machine": described, "runs": runs}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_section(PAGE, "containers", section(results))
    if any(run["killed"] or run["workers_lost"] or run["unexpected"] for run in results["runs"]):
        raise SystemExit("something was killed or answered unexpectedly: see the results")


if __name__ == "__main__":
    main()
