"""Finds out whether there is a GPU before anything loads, so that a start without one can fail."""

import subprocess
import sys

from age_gender.errors import ModelUnavailable

NO_GPU = (
    "GPU_REQUIRED is set, but there is no GPU that CUDA can use: check the machine, the driver and "
    "the image (target gpu), or unset GPU_REQUIRED to use the CPU"
)

_COUNT = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
print(0 if failed else count.value)
"""
"""Asks NVIDIA's driver (CUDA Driver API) in milliseconds; importing TensorFlow takes seconds."""
_SECONDS = 30.0


def require_gpu() -> None:
    """Check that CUDA has a GPU.

    In a process of its own: CUDA does not survive the fork that follows.

    Raises:
        ModelUnavailable: there is none, or no driver.
    """
    try:
        done = subprocess.run(  # noqa: S603 - nothing of a request
            [sys.executable, "-I", "-c", _COUNT], capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ModelUnavailable(f"{NO_GPU} (the driver does not answer)") from None
    if done.returncode or int(done.stdout) < 1:
        raise ModelUnavailable(NO_GPU)
