"""Times the service beside that of an older checkout, in turn, over HTTP.

::

    PYTHONPATH=function:. python -m benchmarks.before --before CHECKOUT [--name NAME]

Both services run at the same time, and get each request one right after the other, so that a busy
moment of the machine strikes both; only then do ratios mean anything. Throughput, memory and starts
take turns, too. The models of both checkouts have to be built. Takes five minutes, and writes
``benchmarks/before.json``, which keeps one run for each name, and a section of ``docs/speed.md``.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.runtime import Runtime
from age_gender.settings import load_settings
from age_gender.vision.geometry import resize
from benchmarks import before_report, latency, machine, memory, startup, throughput
from benchmarks.client import Client, Exchange
from benchmarks.scenes.services import Checkout
from benchmarks.tuning import WITHOUT_PEOPLE, without_people
from testing import photos
from testing.service import ROOT

BLOCKS = 10
"""Times that each case has its turn."""
REQUESTS = 5
"""Sent to each service in a turn, after one that is not counted: it may prepare a new shape."""
SLICES = 5
SLICE_SECONDS = 3.0
"""Throughput is measured in slices, by turns."""
CLIENTS = 8
MIXED_REQUESTS = 200
STARTS = 5
RESAMPLES = 2000

VERSIONS = ("before", "after")
PHONE = (4032, 3024)
SMALL_FACE = 160
"""Pixels of the head in a phone's picture, for which it is decoded a second time."""

ACCURATE = {"face_detector": "accurate", "return_image": False}
FAST = {"face_detector": "fast", "return_image": False}


@dataclass(frozen=True)
class Case:
    """One kind of request.

    Attributes:
        name: for the table.
        picture: makes the file.
        fields: of the request.
    """

    name: str
    picture: Callable[[], bytes]
    fields: Mapping[str, Any]


def _nothing(size: tuple[int, int]) -> bytes:
    """A photo of a cup, without anything like a face."""
    scene = without_people()[WITHOUT_PEOPLE.index("coffee")]
    return photos.encoded(resize(scene.image, *size))


def _small_face() -> bytes:
    head = photos.around_face(photos.photo("astronaut"), SMALL_FACE)
    canvas = np.full((PHONE[1], PHONE[0], 3), 110, np.uint8)
    canvas[1000 : 1000 + SMALL_FACE, 2000 : 2000 + SMALL_FACE] = head
    return photos.encoded(canvas)


_ONE, _TEN = (partial(photos.collage, people, 640, 480) for people in (1, 10))
CASES = (
    Case("640x480, one face", _ONE, ACCURATE),
    Case("640x480, one face, picture returned", _ONE, {"face_detector": "accurate"}),
    Case("640x480, ten faces", _TEN, ACCURATE),
    Case("640x480, nothing", partial(_nothing, (640, 480)), ACCURATE),
    Case("12 megapixels, large face", partial(photos.collage, 1, *PHONE), ACCURATE),
    Case("12 megapixels, small face", _small_face, ACCURATE),
    Case("12 megapixels, picture returned", _small_face, {"face_detector": "accurate"}),
    Case("`fast`, 640x480, one face", _ONE, FAST),
    Case("`fast`, 640x480, nothing", partial(_nothing, (640, 480)), FAST),
)
SHAPES = ((640, 480), (480, 640), (1024, 768), (800, 800))
"""Of pictures sent at the same time."""


def requests(services: Mapping[str, Checkout], blocks: int) -> list[dict[str, Any]]:
    """Send each case's request to both services, one after the other, and compare."""
    clients = [
        {name: Client(it.port, picture, **case.fields) for name, it in services.items()}
        for case, picture in ((case, case.picture()) for case in CASES)
    ]
    found: list[dict[str, list[tuple[Exchange, float]]]] = [
        {name: [] for name in services} for _ in CASES
    ]
    for block in range(blocks):
        for pair, sent in zip(clients, found, strict=True):
            for number in range(1 + REQUESTS):
                order = list(services) if (block + number) % 2 else list(services)[::-1]
                for name in order:
                    exchange = _with_cpu(pair[name], services[name].process.pid)
                    if number:
                        sent[name].append(exchange)
    return [_row(case.name, sent) for case, sent in zip(CASES, found, strict=True)]


def _with_cpu(client: Client, pid: int) -> tuple[Exchange, float]:
    """Send one request; also return the milliseconds of CPU that the service took."""
    start = latency.cpu_seconds(pid)
    exchange = client.exchange()
    return exchange, (latency.cpu_seconds(pid) - start) * 1000


def _row(case: str, sent: Mapping[str, list[tuple[Exchange, float]]]) -> dict[str, Any]:
    ms = {name: np.array([exchange.ms for exchange, _ in rows]) for name, rows in sent.items()}
    cpu = {name: np.array([cpu for _, cpu in rows]) for name, rows in sent.items()}
    return {
        "case": case,
        "ms": compared(ms),
        "cpu_ms": compared(cpu),
        "stages_ms": {
            name: _median_stages([exchange.stages for exchange, _ in rows])
            for name, rows in sent.items()
        },
    }


def compared(values: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return both medians, and how often that of the later version is contained in the other's.

    Args:
        values: of both `VERSIONS`, pairs that were measured one right after the other.

    Returns:
        ``ratio`` with its 95 % interval ``low`` and ``high``, from resampled pairs.
    """
    pairs = np.stack([values[name] for name in VERSIONS])
    chosen = np.random.default_rng(0).integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))
    before, after = np.median(pairs[:, chosen], axis=2)
    low, high = np.quantile(before / after, (0.025, 0.975))
    medians = np.median(pairs, axis=1)
    rounded = dict(zip(VERSIONS, medians.round(2).tolist(), strict=True))
    return {**rounded, **_rounded(ratio=medians[0] / medians[1], low=low, high=high)}


def _rounded(**values: float) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in values.items()}


def _median_stages(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(float(np.median([r.get(name, 0) for r in rows])), 2) for name in names}


def at_once(services: Mapping[str, Checkout], slices: int) -> list[dict[str, Any]]:
    """Compare the pictures a second for several clients, of one shape and of several."""
    one = [photos.collage(1, 640, 480)]
    mixed = [photos.collage(1, *shape) for shape in SHAPES]
    rows = []
    for name, pictures in (("one shape", one), ("four shapes", mixed)):
        rates: dict[str, list[float]] = {version: [] for version in VERSIONS}
        for number in range(slices + 1):
            for version in VERSIONS if number % 2 else VERSIONS[::-1]:
                port = services[version].port
                clients = [Client(port, picture, **ACCURATE) for picture in pictures]
                waiting = clients * (CLIENTS // len(clients))
                rate = throughput.at_once(waiting, SLICE_SECONDS)["images_per_second"]
                if number:  # the first slice prepares interpreters
                    rates[version].append(rate)
        rows.append({"case": name, **_rates(rates)})
    return rows


def alone(service: Checkout, slices: int) -> dict[str, float]:
    """Compare the service of this checkout with its pipeline alone: pictures a second, in turn."""
    picture = photos.collage(1, 640, 480)
    runtime = Runtime(load_settings())
    waiting = [Client(service.port, picture, **ACCURATE)] * CLIENTS
    rates: dict[str, list[float]] = {"service": [], "pipeline": []}
    for number in range(slices + 1):
        found = {
            "service": throughput.at_once(waiting, SLICE_SECONDS)["images_per_second"],
            "pipeline": throughput.alone(runtime, picture, SLICE_SECONDS),
        }
        for name, rate in found.items() if number else ():
            rates[name].append(rate)
    return {name: round(float(np.median(values)), 1) for name, values in rates.items()}


def _rates(rates: Mapping[str, list[float]]) -> dict[str, Any]:
    found = compared({name: 1 / np.array(values) for name, values in rates.items()})
    medians = {name: round(float(np.median(rates[name])), 1) for name in VERSIONS}
    return {**found, **medians}


def starts(roots: Mapping[str, Path], count: int) -> dict[str, Any]:
    """Compare the seconds from ``exec`` to the first answer."""
    found: dict[str, list[float]] = {name: [] for name in VERSIONS}
    for root in roots.values():
        startup.write_bytecode(root)
    for _ in range(count):
        for name, root in roots.items():
            found[name].append(startup.start(partial(Checkout, root), "accurate")["total"])
    return compared({name: np.array(values) for name, values in found.items()})


def memory_after(services: Mapping[str, Checkout], count: int) -> dict[str, float]:
    """Return the MiB of both services after mixed requests."""
    sending = [memory.mixed_requests(services[name], count) for name in VERSIONS]
    for _ in zip(*sending, strict=True):
        pass
    return {name: memory.resident(services[name].process.pid) for name in VERSIONS}


def measure(root: Path, blocks: int) -> dict[str, Any]:
    """Compare this checkout with another one.

    Args:
        root: of the other one.
        blocks: see `BLOCKS`.
    """
    roots = dict(zip(VERSIONS, (root.resolve(), ROOT), strict=True))
    results: dict[str, Any] = {"machine": machine.describe()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = {
            name: stack.enter_context(Checkout(path, folder / name)) for name, path in roots.items()
        }
        results["commits"] = {name: service.commit() for name, service in services.items()}
        results["requests"] = requests(services, blocks)
        results["clients"] = at_once(services, min(blocks, SLICES))
        results["alone"] = alone(services["after"], min(blocks, SLICES))
        results["memory_mib"] = memory_after(services, MIXED_REQUESTS)
    results["start_s"] = starts(roots, min(blocks, STARTS))
    return results


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="to compare with")
    parser.add_argument("--name", help="of the run; by default the commit before")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="fewer are faster")
    parser.add_argument("--report-only", action="store_true", help="only rewrite the section")
    arguments = parser.parse_args()
    if not arguments.report_only:
        if arguments.before is None:
            parser.error("--before is needed")
        run = measure(arguments.before, arguments.blocks)
        before_report.keep(arguments.name or run["commits"]["before"], run)
    before_report.write()


if __name__ == "__main__":
    main()
