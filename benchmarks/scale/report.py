"""Renders the results as the tables of docs/scale.md."""

from collections.abc import Callable
from typing import Any

from benchmarks.backfill import PRICES
from benchmarks.cost import GIB_SECOND, MILLION_REQUESTS, VCPU_SECOND
from benchmarks.report import table
from benchmarks.scale import capacity

Results = dict[str, Any]


def rates(results: Results) -> str:
    """What each rate of pictures takes."""
    cpu = results["cpu_ms"]["predict"] / 1000
    rows = []
    for rate in capacity.RATES:
        fleet = capacity.fleet(rate, cpu, _used(results, rate))
        rows.append(
            (
                f"{rate:,}",
                f"{fleet.vcpus:,.1f}",
                f"{fleet.instances:,}",
                _dollars(fleet.requests_usd),
                _dollars(fleet.always_usd),
                _dollars(fleet.logs_usd),
            )
        )
    head = (
        *("pictures a second", "vCPUs at 60 %", "instances of 2"),
        *("a month, billed by request", "a month, always on", "a month, all log lines"),
    )
    return table(head, rows)


def _used(results: Results, rate: float) -> float:
    """Share of the billed CPU time that is used, simulated at this rate or the next lower one."""
    simulated = {float(name.replace(",", "")): row for name, row in results["steady"].items()}
    lower = max(simulated_rate for simulated_rate in simulated if simulated_rate <= rate)
    return float(simulated[lower]["used_percent"]) / 100


def bursts(results: Results) -> str:
    """Simulated bursts."""
    return _of_requests("service", results["bursts"])


def steady(results: Results) -> str:
    """Simulated steady loads."""
    return _of_requests("requests a second", results["steady"])


def _of_requests(first: str, rows: dict[str, Any]) -> str:
    head = (
        first,
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "429, %",
        "instances at most",
        "billed CPU used, %",
    )
    cells = ("p50_ms", "p95_ms", "p99_ms", "refused_percent", "instances", "used_percent")
    return table(
        (*head, "dollars a million"),
        [
            (name, *(row[cell] for cell in cells), f"{row['usd_per_million']:.2f}")
            for name, row in rows.items()
        ],
    )


def floods(results: Results) -> str:
    """Simulated floods of uploads."""
    return _of_uploads("service", results["floods"])


def outages(results: Results) -> str:
    """Simulated outages."""
    return _of_uploads("nothing works for", results["outages"])


def _of_uploads(first: str, rows: dict[str, Any]) -> str:
    head = (first, "uploads", "deliveries", "dead letters", "minutes until done", "p95 delay, s")
    cells = ("uploads", "deliveries", "dead_letters", "minutes_until_done", "p95_delay_s")
    filled = [["-" if row[cell] is None else row[cell] for cell in cells] for row in rows.values()]
    return table(head, [(name, *values) for name, values in zip(rows, filled, strict=True)])


def backfills(results: Results) -> str:
    """What buckets take."""
    cpu, busy = results["cpu_ms"]["annotate"] / 1000, results["busy"]
    rows = []
    for plan in capacity.PLANS:
        sums = capacity.backfill(**plan, cpu_seconds=cpu, busy=busy)
        rows.append(
            (
                f"{sums.pictures:,}",
                f"{sums.folders} x {sums.tasks:,} tasks, {sums.at_once} at once",
                f"{sums.vcpu_hours:,.0f}",
                f"{sums.days:,.1f}",
                f"{sums.writes_per_second:,.0f}",
                _dollars(sums.compute_usd),
                _dollars(sums.spot_usd),
                _dollars(sums.requests_usd),
                _dollars(sums.lists_usd),
            )
        )
    head = (
        *("pictures", "runs", "vCPU hours", "days", "writes a second"),
        *("jobs", "or Spot VMs", "storage requests", "listing"),
    )
    return table(head, rows)


def limits(results: Results) -> str:
    """Which limit binds at which rate, in the order in which they do."""
    cpu = results["cpu_ms"]["predict"] / 1000
    quota = capacity.NEW_PROJECT_VCPUS
    writes, reads = capacity.BUCKET_WRITES, capacity.BUCKET_READS
    rows = [
        (
            f"{capacity.rate_of_vcpus(quota, cpu):,.0f}",
            f"{quota} vCPU a region in a new project, at 60 %",
            "have the quota raised; until then `max_instances` may not ask for more",
        ),
        (
            f"{capacity.rate_of_vcpus(quota, cpu, 1):,.0f}",
            f"the same {quota} vCPU, all of them busy",
            "429 beyond it",
        ),
        (
            f"{writes:,}",
            f"uploads: {writes:,} writes a second that a new bucket takes",
            f"ramp up: doubled every {capacity.DOUBLING_MINUTES} minutes, 10,000 a second take "
            f"{capacity.ramp_minutes(10_000, writes):.0f}; names that do not start alike",
        ),
        (
            f"{reads // 2:,}",
            f"uploads: {reads:,} reads a second, two for each",
            f"the same: {capacity.ramp_minutes(20_000, reads):.0f} minutes to 20,000 a second",
        ),
    ]
    return table(("pictures a second", "limit", "then"), rows)


def gpu(results: Results) -> str:
    """From when on a GPU would be worth its price."""
    sums = capacity.gpu_break_even(results["cpu_ms"]["predict"] / 1000)
    dollars, rate = sums["usd_per_hour"], sums["pictures_per_second"]
    return (
        f"An instance with an L4 costs {dollars:.2f} dollars an hour, busy or not. For the same "
        f"money busy CPUs process {rate:.0f} pictures a second: a GPU has to process more, all "
        "day, to be cheaper."
    )


def prices(_: Results) -> str:
    """The prices of the other tables, with their source."""
    run, storage = "cloud.google.com/run/pricing", "cloud.google.com/storage/pricing"
    compute = "cloud.google.com/compute/vm-instance-pricing"
    rows = [
        ("service by request: vCPU second", VCPU_SECOND, run),
        ("GiB second", GIB_SECOND, run),
        ("a million requests", MILLION_REQUESTS, run),
        ("service always on: vCPU second", capacity.ALWAYS_VCPU_SECOND, run),
        ("GiB second", capacity.ALWAYS_GIB_SECOND, run),
        ("L4, no zonal redundancy: hour", capacity.L4_HOUR_USD, run),
        ("job: vCPU second", PRICES["vcpu_second"], run),
        ("GiB second", PRICES["gib_second"], run),
        ("Spot VM e2: vCPU hour", capacity.SPOT_VCPU_HOUR, compute),
        ("GiB hour", capacity.SPOT_GIB_HOUR, compute),
        ("Standard storage: a thousand writes", PRICES["thousand_writes"], storage),
        ("a thousand reads", PRICES["thousand_reads"], storage),
        ("a thousand listings", capacity.THOUSAND_LISTS_USD, storage),
        ("logs: GiB", capacity.LOG_GIB_USD, "cloud.google.com/stackdriver/pricing"),
    ]
    cells = [(what, f"{usd:.7f}".rstrip("0"), source) for what, usd, source in rows]
    return table(("what", "US dollars", "source"), cells)


def _dollars(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2f}"


PARTS: dict[str, Callable[[Results], str]] = {
    "rates": rates,
    "limits": limits,
    "bursts": bursts,
    "steady": steady,
    "floods": floods,
    "outages": outages,
    "backfills": backfills,
    "gpu": gpu,
    "prices": prices,
}
