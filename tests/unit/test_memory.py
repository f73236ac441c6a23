"""What glibc does with freed memory, in a process of its own."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from age_gender.limits import memory

ALLOCATIONS = 200
FAULTS = f"""
import resource
from age_gender.limits.memory import limit_malloc_arenas

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ALLOCATIONS}):
        bytearray(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

limit_malloc_arenas()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="NOT TESTED without glibc")
def test_the_memory_of_one_picture_serves_the_next_one() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FAULTS],
        cwd=Path(memory.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(run.stdout) < ALLOCATIONS  # and not one for each of a mebibyte's pages
