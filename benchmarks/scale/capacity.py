"""Sums of instances, quotas and dollars for a rate of pictures or a bucket."""

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.backfill import PRICES, READS, TASK_GIB_PER_VCPU, WRITES
from benchmarks.cost import GIB_SECOND, MILLION_REQUESTS, VCPU_SECOND
from benchmarks.scale.cloud_run import TARGET

RATES = (1, 10, 100, 1_000, 10_000)
"""Pictures a second."""
INSTANCE_CPUS, INSTANCE_GIB = 2, 1
ALWAYS_VCPU_SECOND, ALWAYS_GIB_SECOND = 0.000018, 0.000002
"""US dollars: Cloud Run with instance-based billing, tier 1 regions, 2025; nothing per request."""
MONTH_SECONDS = 730 * 3600

LOG_BYTES = 1_400
"""Of a request: 400 of our line, measured, and about 1,000 of Cloud Run's own."""
LOG_GIB_USD = 0.50
"""Cloud Logging, ingestion, 2025."""

NEW_PROJECT_VCPUS = 20
"""Quota of a new project in a region."""
BUCKET_WRITES, BUCKET_READS, DOUBLING_MINUTES = 1_000, 5_000, 20
"""Requests a second that a bucket takes at first, and the pace at which Google asks to ramp up
(cloud.google.com/storage/docs/request-rate)."""
LIST_PAGE = 1_000
THOUSAND_LISTS_USD = 0.005

L4_HOUR_USD = 0.67
"""Cloud Run, L4 without zonal redundancy, 2025; with 4 CPUs and 16 GiB that must come with it."""
GPU_CPUS, GPU_GIB = 4, 16
SPOT_VCPU_HOUR, SPOT_GIB_HOUR = 0.0218 * 0.4, 0.0029 * 0.4
"""US dollars: e2 in us-central1, 2025, at the smallest discount of Spot VMs, 60 %."""


@dataclass(frozen=True)
class Fleet:
    """What a rate of pictures takes.

    Attributes:
        rate: pictures a second.
        vcpus: at the autoscaler's target of 60 %.
        instances: of two CPUs.
        requests_usd: per month with request-based billing.
        always_usd: per month with instance-based billing and as many instances all the time.
        logs_usd: per month, if every line is kept.
    """

    rate: float
    vcpus: float
    instances: int
    requests_usd: float
    always_usd: float
    logs_usd: float


def fleet(rate: float, cpu_seconds: float, used: float) -> Fleet:
    """Size Cloud Run for a steady rate.

    Args:
        rate: pictures a second.
        cpu_seconds: of one.
        used: share of the CPU time billed by request that is used, 0 to 1.
    """
    instances = math.ceil(rate * cpu_seconds / TARGET / INSTANCE_CPUS)
    vcpus = rate * cpu_seconds / TARGET
    per_vcpu = VCPU_SECOND + GIB_SECOND * INSTANCE_GIB / INSTANCE_CPUS
    always = INSTANCE_CPUS * ALWAYS_VCPU_SECOND + INSTANCE_GIB * ALWAYS_GIB_SECOND
    month = rate * MONTH_SECONDS
    return Fleet(
        rate=rate,
        vcpus=round(vcpus, 1),
        instances=instances,
        requests_usd=month * (cpu_seconds / used * per_vcpu + MILLION_REQUESTS / 1e6),
        always_usd=instances * always * MONTH_SECONDS,
        logs_usd=month * LOG_BYTES / 2**30 * LOG_GIB_USD,
    )


def rate_of_vcpus(vcpus: float, cpu_seconds: float, share: float = TARGET) -> float:
    """Return the pictures a second that some CPUs process at a utilisation."""
    return vcpus * share / cpu_seconds


def ramp_minutes(rate: float, first: float) -> float:
    """Return how long a bucket's ramp-up to a rate of requests takes, doubling step by step."""
    return max(0.0, math.ceil(math.log2(rate / first)) * DOUBLING_MINUTES)


def gpu_break_even(cpu_seconds: float) -> dict[str, float]:
    """Pictures a second from which an L4 is cheaper than busy CPUs.

    Args:
        cpu_seconds: of one picture.
    """
    cpu = GPU_CPUS * ALWAYS_VCPU_SECOND + GPU_GIB * ALWAYS_GIB_SECOND
    gpu_hour = L4_HOUR_USD + cpu * 3600
    two_cpus = INSTANCE_CPUS * VCPU_SECOND + INSTANCE_GIB * GIB_SECOND
    pictures_per_dollar = INSTANCE_CPUS / cpu_seconds / two_cpus
    return {
        "usd_per_hour": round(gpu_hour, 2),
        "pictures_per_second": round(gpu_hour / 3600 * pictures_per_dollar),
    }


@dataclass(frozen=True)
class Backfill:
    """What a bucket takes.

    Attributes:
        pictures: in the bucket.
        folders: into which it is divided, one run of the job for each.
        tasks: of each run, with one CPU each.
        at_once: runs side by side.
        vcpu_hours: of the pictures.
        days: until all is done.
        compute_usd: Cloud Run jobs.
        spot_usd: Spot VMs of Cloud Batch.
        requests_usd: reads and writes of the bucket.
        lists_usd: every task lists its run's folder.
        writes_per_second: of the output bucket.
    """

    pictures: int
    folders: int
    tasks: int
    at_once: int
    vcpu_hours: float
    days: float
    compute_usd: float
    spot_usd: float
    requests_usd: float
    lists_usd: float
    writes_per_second: float


def backfill(
    pictures: int, *, folders: int, tasks: int, at_once: int, cpu_seconds: float, busy: float
) -> Backfill:
    """Size the back-fill of a bucket.

    Args:
        pictures: in the bucket.
        folders: equal parts, each with a run of its own (``INPUT_PREFIX``).
        tasks: of each run.
        at_once: runs side by side.
        cpu_seconds: of one picture, reading and storing included.
        busy: share of the time in which a task's CPU works, 0 to 1.
    """
    billed = pictures * cpu_seconds / busy
    hours = billed / 3600
    seconds = billed / (tasks * min(at_once, folders))
    return Backfill(
        pictures=pictures,
        folders=folders,
        tasks=tasks,
        at_once=at_once,
        vcpu_hours=hours,
        days=seconds / 86400,
        compute_usd=billed * (PRICES["vcpu_second"] + TASK_GIB_PER_VCPU * PRICES["gib_second"]),
        spot_usd=hours * (SPOT_VCPU_HOUR + TASK_GIB_PER_VCPU * SPOT_GIB_HOUR),
        requests_usd=pictures
        / 1000
        * (READS * PRICES["thousand_reads"] + WRITES * PRICES["thousand_writes"]),
        lists_usd=math.ceil(pictures / LIST_PAGE) * tasks / 1000 * THOUSAND_LISTS_USD,
        writes_per_second=pictures / seconds,
    )


PLANS: tuple[dict[str, Any], ...] = (
    {"pictures": 1_000_000, "folders": 1, "tasks": 20, "at_once": 1},
    {"pictures": 30_000_000, "folders": 1, "tasks": 100, "at_once": 1},
    {"pictures": 1_000_000_000, "folders": 1, "tasks": 1_000, "at_once": 1},
    {"pictures": 1_000_000_000, "folders": 100, "tasks": 50, "at_once": 20},
)
