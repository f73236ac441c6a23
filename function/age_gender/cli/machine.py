"""Facts about this machine: processor, memory, load."""

import os
import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
FAST = {"x86_64": ("avx2", "fma"), "AMD64": ("avx2", "fma"), "aarch64": ("asimd",)}
"""Instructions without which the networks run several times slower, by architecture."""
SPEED_UPS = {
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AMX": ("amx_int8",),
    "dot product": ("asimddp",),
    "I8MM": ("i8mm",),
}
"""Instructions for 8-bit networks by their common name, and the flags that show one of them."""
FASTER = ("avx512f", "avx512_vnni", "avx_vnni", "amx_tile", "asimddp", "i8mm", "sve")
"""Instructions that make them faster still."""


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """Name of the processor, or its architecture where the system does not say."""
    return _cpu_field("model name", cpuinfo) or platform.processor() or platform.machine()


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str] | None:
    """Instruction sets of the processor; None where the system does not say."""
    flags = _cpu_field("flags", cpuinfo) or _cpu_field("Features", cpuinfo)
    return frozenset(flags.split()) if flags else None


def speed_ups(flags: frozenset[str]) -> list[str]:
    """Names of the instructions for 8-bit networks that a processor has."""
    return [name for name, any_of in SPEED_UPS.items() if flags.intersection(any_of)]


def memory() -> tuple[int, int] | None:
    """Total and available memory in bytes; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"(\w+): +(\d+) kB", text)}
    return sizes["MemTotal"], sizes["MemAvailable"]


def load() -> float:
    """Mean number of runnable processes over the last minute."""
    return os.getloadavg()[0]


def _cpu_field(name: str, cpuinfo: Path) -> str:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""
