"""Measures what single requests, or a few at once, cost: the bounds on CPU time, memory and log.

``python -m benchmarks.bounds`` sends what docs/security.md lists to a new service each, writes
``benchmarks/bounds.json`` and a table of that page. With ``--before CHECKOUT`` the code of another
checkout is measured, too, each case right before ours. Loopback only; every loop ends in time.
"""

import argparse
import base64
import io
import json
import socket
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import requests
from PIL import Image

from benchmarks import machine
from benchmarks.bystanders import Bystander, beside
from benchmarks.markers import write_section
from benchmarks.report import table
from testing import photos
from testing.service import ROOT, Service
from tests.unit.pictures import bmp_file, png_chunk, png_of

RESULTS = ROOT / "benchmarks" / "bounds.json"
PAGE = ROOT / "docs" / "security.md"
TIMEOUT = 120.0
"""Of one request; one that takes longer is abandoned."""
SETTLE_SECONDS = 1.0
MiB = 1 << 20

Parts = dict[str, Any]
"""Arguments of a POST."""


def _json_values(_: str) -> list[Parts]:
    text = b'{"b64": "AAAA", "ignored": [' + b"[]," * (31 * MiB // 3) + b"[]]}"
    return [{"data": text, "headers": {"Content-Type": "application/json"}}]


def _overlapping(_: str) -> list[Parts]:
    stream = io.BytesIO()
    Image.new("RGB", (6780, 6780), (200, 150, 120)).save(stream, "WebP", quality=50)
    query = {"confidence": "0", "nms": "1", "face_detector": "accurate", "return_image": "false"}
    return [_raw(stream.getvalue(), params=query)]


def _inflated(_: str) -> list[Parts]:
    packed = zlib.compress(bytes(300 * MiB), 9)
    return [_raw(png_of(500, png_chunk(b"IDAT", packed)))]


def _repeated_chunks(_: str) -> list[Parts]:
    exif = png_chunk(b"eXIf", b"MM\0*")
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(301 * 100)))
    return [_raw(png_of(100, *[exif] * 500_000, pixels))]


def _empty_raster(_: str) -> list[Parts]:
    return [_raw(bmp_file(7000, 1, 0, b""))] * 4


def _drawn(_: str) -> list[Parts]:
    text = base64.b64encode(photos.resized("astronaut", 320, 320)).decode()
    return [{"json": {"b64": text}}] * 96


def _raw(data: bytes, **more: Any) -> Parts:
    query = {"params": {"return_image": "false"}}
    return {"data": data, "headers": {"Content-Type": "image/x"}, **query, **more}


def _large_files(host: str) -> list[Parts]:
    return [{"json": {"url": f"{host}/large", "return_image": False}}] * 40


def _tiny_chunks(host: str) -> list[Parts]:
    return [{"json": {"url": f"{host}/chunks", "return_image": False}}]


def _dripping(host: str) -> list[Parts]:
    return [{"json": {"url": f"{host}/drip", "return_image": False}}] * 8


CASES: dict[str, Callable[[str], list[Parts]]] = {
    "31 MiB of `[]` in an ignored field": _json_values,
    "a flat WebP of 46 megapixels, `confidence=0`, `nms=1`": _overlapping,
    "a PNG that inflates to 300 MiB beyond its pixels": _inflated,
    "a PNG of 500,000 `eXIf` chunks": _repeated_chunks,
    "4 BMP files of 62 bytes that claim 49 megapixels": _empty_raster,
    "96 drawn pictures at once": _drawn,
    "40 addresses of 20 MiB": _large_files,
    "an address whose body comes in chunks of 2 bytes": _tiny_chunks,
    "8 addresses on a host that drips": _dripping,
}
"""What is sent at once; each gets the address of a web server."""


def measure(root: Path, name: str) -> dict[str, Any]:
    """Send a case to a new service of a checkout; return what it cost."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        it = Service(Path(folder) / "log", ALLOW_PRIVATE_URLS="true")
        it.root = root
        stack.enter_context(it)
        parts = CASES[name](stack.enter_context(_web()))
        small = photos.resized("astronaut", 320, 320)
        it.predict(small, face_detector="accurate")  # loads the models
        it.predict(small)
        worker = psutil.Process(it.process.pid).children()[0]
        before, logged = _cpu_seconds(worker), it.log.stat().st_size
        headers = {"Content-Type": "image/jpeg"}
        query = {"return_image": "false", "face_detector": "accurate"}
        health = Bystander(lambda: requests.get(f"{it.url}/health", timeout=60).ok)
        other = Bystander(lambda: it.post(data=small, headers=headers, params=query).ok)
        start = time.perf_counter()
        with beside([health, other]), ThreadPoolExecutor(len(parts)) as pool:
            statuses = Counter(pool.map(partial(_send, it), parts))
            seconds = time.perf_counter() - start
            time.sleep(SETTLE_SECONDS)
        return {
            "statuses": {str(status): count for status, count in sorted(statuses.items())},
            "seconds": round(seconds, 1),
            "cpu_s": round(_cpu_seconds(worker) - before, 1),
            "peak_mib": _peak_mib(worker),
            "log_mib": round((it.log.stat().st_size - logged) / MiB, 1),
            "health_s": _longest(health),
            "predict_s": _longest(other),
            "failed": len(health.failed) + len(other.failed),
        }


def _longest(it: Bystander) -> float:
    return round(max([*it.good, *it.failed], default=0.0) / 1000, 2)


def _send(it: Service, parts: Parts) -> int:
    try:
        return it.post(**{"timeout": TIMEOUT, **parts}).status_code
    except requests.RequestException:
        return 0


def _cpu_seconds(worker: psutil.Process) -> float:
    times = worker.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _peak_mib(worker: psutil.Process) -> int:
    """Most that the process ever held, from the kernel."""
    for line in Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


@contextmanager
def _web() -> Iterator[str]:
    """A web server that is large, fragmented or slow; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    ended = threading.Event()

    def accept() -> None:
        with suppress(OSError):
            while not ended.is_set():
                made, _ = listener.accept()
                threading.Thread(target=_serve, args=(made, ended), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()


def _serve(made: socket.socket, ended: threading.Event) -> None:
    with made, suppress(OSError):
        path = made.recv(4096).split(b" ", 2)[1]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
        if path == b"/large":
            size = 20 * MiB
            made.sendall(head + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        elif path == b"/chunks":
            made.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(2000):
                made.sendall(b"2\r\nab\r\n" * 5000)
        else:
            made.sendall(head + b"Content-Length: 1000000\r\n\r\n")
            while not ended.wait(0.5):
                made.sendall(b"x")


def section(results: dict[str, Any]) -> str:
    """Text and table of docs/security.md."""
    head = ["sent", "version", "status", "CPU", "peak memory", "log", "others waited"]
    rows = [
        (
            row["case"] if first else "",
            version,
            ", ".join(f"{n} x {s}" if n > 1 else s for s, n in row[version]["statuses"].items()),
            f"{row[version]['cpu_s']} s",
            f"{row[version]['peak_mib']} MiB",
            f"{row[version]['log_mib']} MiB",
            _waited(row[version]),
        )
        for row in results["rows"]
        for first, version in ((True, "before"), (False, "after"))
        if version in row
    ]
    described = results["machine"]
    return (
        f"\nOn {described['cores']} cores of an {described['cpu']}, load average before the run "
        f"{described['load_before']}. Status 0: no answer in {TIMEOUT:g} s. CPU includes the "
        f"predictions of others meanwhile. Others: the longest "
        f"`/health` and the longest prediction of a small picture; each service holds about "
        f"130 MiB before.\n\n{table(head, rows)}\n"
    )


def _waited(found: dict[str, Any]) -> str:
    text = f"{found['health_s']} and {found['predict_s']} s"
    return f"{text} ({found['failed']} failed)" if found["failed"] else text


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="checkout with the code to compare with")
    parser.add_argument("--report-only", action="store_true", help="write the stored results")
    arguments = parser.parse_args()
    if not arguments.report_only:
        results: dict[str, Any] = {"machine": machine.describe(), "rows": []}
        for case in CASES:
            row: dict[str, Any] = {"case": case}
            for version, root in (("before", arguments.before), ("after", ROOT)):
                if root is not None:
                    row[version] = measure(root.resolve(), case)
                    print(case, version, row[version], flush=True)
            results["rows"].append(row)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_section(PAGE, "bounds", section(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
