"""What a million pictures cost on Cloud Run, from the CPU time that one takes."""

from typing import Any

NOTED = "2025"
"""When the prices below were noted. They change: check them before relying on what follows."""
VCPU_SECOND = 0.000024
GIB_SECOND = 0.0000025
"""US dollars: Cloud Run services billed by request, tier 1 regions, without the free share."""
MILLION_REQUESTS = 0.40
INSTANCE_VCPUS = 2
USED = 1.0
"""Share of the paid CPU time that is work. At 1, the least that a million pictures can cost."""


def million(cpu_ms: float, memory_mib: float, *, used: float = USED) -> dict[str, float]:
    """US dollars for a million pictures.

    Args:
        cpu_ms: CPU time of one picture.
        memory_mib: of a process, which an instance of ``INSTANCE_VCPUS`` runs one of; paid in full
            GiB halves.
        used: share of the paid CPU time that is work.
    """
    vcpu_seconds = 1e6 * cpu_ms / 1000 / used
    gib = max(0.5, -(-memory_mib // 512) / 2)
    compute = vcpu_seconds * VCPU_SECOND + vcpu_seconds / INSTANCE_VCPUS * gib * GIB_SECOND
    return {
        "vcpu_hours": round(vcpu_seconds / 3600, 1),
        "compute_usd": round(compute, 2),
        "total_usd": round(compute + MILLION_REQUESTS, 2),
    }


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One face at 640x480, for us over HTTP and for the peers without it."""
    memory = max(sample["pss_mib"] for sample in results["memory"]["samples"])
    http = results["http"]
    told = [
        {"name": f"ours, {name}, over HTTP", "cpu_ms": http[name]["cpu_ms"], "memory_mib": memory}
        for name in ("accurate", "fast")
    ]
    for peer in results.get("peers", []):
        if "memory_mib" in peer:
            cpu = peer["pictures"][0]["cpu_ms"]
            told.append({"name": peer["name"], "cpu_ms": cpu, "memory_mib": peer["memory_mib"]})
    return [{**row, **million(row["cpu_ms"], row["memory_mib"])} for row in told]
