"""What is simulated: bursts of requests, steady loads, floods of uploads, and outages."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import simpy

from benchmarks.cost import GIB_SECOND, MILLION_REQUESTS, VCPU_SECOND
from benchmarks.scale.cloud_run import Config, Process, Service
from benchmarks.scale.pubsub import Subscription

SEED = 20261126
BURST = ((60.0, 5.0), (180.0, 500.0), (60.0, 5.0))
"""Seconds, and requests a second in them."""
STEADY_SECONDS = 600.0
MEMORY_GIB = 1.0
"""Of an instance."""
UPLOADS, UPLOAD_SECONDS = 20_000, 60.0
OUTAGE_UPLOADS, OUTAGE_UPLOAD_SECONDS = 500, 600.0
ANNOTATE_CPU, ANNOTATE_BUSY = 0.114, 0.99
"""CPU seconds of a stored picture, and the busy share of a task's CPU (docs/bucket.md)."""


@dataclass(frozen=True)
class Run:
    """A finished simulation of requests.

    Attributes:
        service: with its answers and samples.
        arrivals: rate of requests by second.
    """

    service: Service
    arrivals: list[float]


def requests(config: Config, load: tuple[tuple[float, float], ...], seed: int = SEED) -> Run:
    """Simulate requests that arrive at random, at rates that change.

    Args:
        config: of the service.
        load: pairs of seconds and the mean rate in them.
        seed: of the arrivals and start-up times.
    """
    env, rng = simpy.Environment(), random.Random(seed)  # noqa: S311 - a simulation
    service = Service(env, config, rng)
    env.process(service.run())
    env.process(service.sample())

    def arrive() -> Process:
        for at in _arrivals(load, rng):
            yield env.timeout(at - env.now)
            env.process(service.call())

    env.process(arrive())
    env.run(until=sum(seconds for seconds, _ in load) + 60)
    return Run(service, [rate for seconds, rate in load for _ in range(round(seconds))])


def uploads(config: Config, count: int, seconds: float, outage: float = 0.0) -> Subscription:
    """Simulate uploads that arrive evenly, until each is annotated or a dead letter.

    Args:
        config: of the trigger's service.
        count: of uploads.
        seconds: in which they arrive.
        outage: seconds from the start in which nothing succeeds.
    """
    env, rng = simpy.Environment(), random.Random(SEED)  # noqa: S311 - a simulation
    service = Service(env, config, rng, failing=outage > 0)
    subscription = Subscription(env, service)
    env.process(service.run())
    env.process(service.sample())

    def arrive() -> Process:
        for _ in range(count):
            env.process(subscription.publish())
            yield env.timeout(seconds / count)

    def mend() -> Process:
        yield env.timeout(outage)
        service.failing = False

    env.process(arrive())
    env.process(mend())
    while len(subscription.acknowledged) + subscription.dead < count:
        env.run(until=env.now + 60)
    return subscription


def _arrivals(load: tuple[tuple[float, float], ...], rng: random.Random) -> Iterator[float]:
    """Yield the moments of a Poisson process whose rate changes."""
    start = 0.0
    for seconds, rate in load:
        at = start + rng.expovariate(rate)
        while at < start + seconds:
            yield at
            at += rng.expovariate(rate)
        start += seconds


def of_requests(run: Run) -> dict[str, Any]:
    """Figures of a simulation of requests."""
    service = run.service
    good = sorted(answer.seconds for answer in service.answers if answer.status == 200)
    refused = sum(answer.status == 429 for answer in service.answers)
    cpus = service.config.cpus
    used = service.cpu_seconds / (service.billed_seconds * cpus)
    dollars = service.billed_seconds * (cpus * VCPU_SECOND + MEMORY_GIB * GIB_SECOND)
    return {
        "requests": len(service.answers),
        "refused_percent": round(100 * refused / len(service.answers), 2),
        **{f"p{p}_ms": round(1000 * quantile(good, p / 100)) for p in (50, 95, 99)},
        "instances": max(sample.ready for sample in service.samples),
        "used_percent": round(100 * used),
        "usd_per_million": round(dollars / len(good) * 1e6 + MILLION_REQUESTS, 2),
    }


def of_uploads(subscription: Subscription) -> dict[str, Any]:
    """Figures of a simulation of uploads."""
    delays = sorted(delay for _, delay in subscription.acknowledged)
    done = max((at + delay for at, delay in subscription.acknowledged), default=math.nan)
    return {
        "uploads": len(delays) + subscription.dead,
        "dead_letters": subscription.dead,
        "deliveries": subscription.deliveries,
        "minutes_until_done": round(done / 60, 1) if delays else None,
        "p95_delay_s": round(quantile(delays, 0.95)) if delays else None,
    }


def quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def simulate(
    predict_cpu: float,
) -> tuple[dict[str, Any], dict[str, Run], dict[str, Subscription]]:
    """Run all scenarios.

    Args:
        predict_cpu: measured CPU seconds of a request.

    Returns:
        Figures by group and name, and the bursts and floods for plots.
    """
    bursts = {
        "from zero": requests(Config(predict_cpu), BURST),
        "min_instances = 2": requests(Config(predict_cpu, min_instances=2), BURST),
        "max_instances = 10": requests(Config(predict_cpu, max_instances=10), BURST),
        "max_instances = 7": requests(Config(predict_cpu, max_instances=7), BURST),
        "start of 10 s": requests(Config(predict_cpu, start_seconds=10), BURST),
    }
    steady = {
        f"{rate:,}": requests(Config(predict_cpu, max_instances=200), ((STEADY_SECONDS, rate),))
        for rate in (1, 10, 100, 500)
    }
    annotate = {
        f"max_instances = {limit}": Config(
            ANNOTATE_CPU, concurrency=8, max_instances=limit, transfer_seconds=0.1
        )
        for limit in (2, 10, 50)
    }
    floods = {name: uploads(config, UPLOADS, UPLOAD_SECONDS) for name, config in annotate.items()}
    outages = {
        name: uploads(
            annotate["max_instances = 10"], OUTAGE_UPLOADS, OUTAGE_UPLOAD_SECONDS, minutes * 60
        )
        for name, minutes in {"5 min": 5, "1 h": 60, "8 h": 480, "20 h": 1200}.items()
    }
    figures = {
        "cpu_ms": {"predict": 1000 * predict_cpu, "annotate": 1000 * ANNOTATE_CPU},
        "busy": ANNOTATE_BUSY,
        "bursts": {name: of_requests(run) for name, run in bursts.items()},
        "steady": {name: of_requests(run) for name, run in steady.items()},
        "floods": {name: of_uploads(subscription) for name, subscription in floods.items()},
        "outages": {name: of_uploads(subscription) for name, subscription in outages.items()},
    }
    return figures, bursts, floods
