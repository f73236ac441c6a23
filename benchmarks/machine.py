"""The machine that results come from."""

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from age_gender.cli.machine import cpu_model

PACKAGES = ("ai-edge-litert", "dlib-bin", "numpy", "opencv-python-headless", "tensorflow-cpu")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, versions and load."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def idle() -> bool:
    """Whether nothing else seems to use the machine."""
    return os.getloadavg()[0] < 0.5


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
