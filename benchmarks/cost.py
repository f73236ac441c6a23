"""Cost of a million requests on Cloud Run, from the CPU time of one."""

from typing import Any

PRICES_FROM = "2025"
"""Year of the prices below; check them before relying on the result."""
VCPU_SECOND = 0.000024
GIB_SECOND = 0.0000025
"""US dollars: Cloud Run services, request-based billing, tier 1 regions, no free tier."""
MILLION_REQUESTS = 0.40
INSTANCE_VCPUS = 2
UTILISATION = 1.0
"""Share of the billed CPU time that is used. 1 gives the minimum cost."""


def million(
    cpu_ms: float, memory_mib: float, *, utilisation: float = UTILISATION
) -> dict[str, float]:
    """Estimate the US dollars for a million requests.

    Args:
        cpu_ms: CPU time of one request.
        memory_mib: of the one process of an instance with ``INSTANCE_VCPUS``; billed in steps of
            512 MiB.
        utilisation: share of the billed CPU time that is used.
    """
    vcpu_seconds = 1e6 * cpu_ms / 1000 / utilisation
    gib = max(0.5, -(-memory_mib // 512) / 2)
    compute = vcpu_seconds * VCPU_SECOND + vcpu_seconds / INSTANCE_VCPUS * gib * GIB_SECOND
    return {
        "vcpu_hours": round(vcpu_seconds / 3600, 1),
        "compute_usd": round(compute, 2),
        "total_usd": round(compute + MILLION_REQUESTS, 2),
    }


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One face at 640x480, for our service over HTTP and for the other libraries alone."""
    memory = max(sample["pss_mib"] for sample in results["memory"]["samples"])
    http = results["http"]
    measured = [
        {"name": f"ours, {name}, over HTTP", "cpu_ms": http[name]["cpu_ms"], "memory_mib": memory}
        for name in ("accurate", "fast")
    ]
    for peer in results.get("peers", []):
        if "memory_mib" in peer:
            cpu = peer["images"][0]["cpu_ms"]
            measured.append({"name": peer["name"], "cpu_ms": cpu, "memory_mib": peer["memory_mib"]})
    return [{**row, **million(row["cpu_ms"], row["memory_mib"])} for row in measured]
