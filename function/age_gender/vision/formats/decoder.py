"""Decodes one HEIC, AVIF or TIFF file; a program of its own, run by `isolated`.

    decoder.py FORMAT BYTES SECONDS PATH < FILE > PIXELS

It may crash without harm, and its memory and CPU time are limited. It writes width and height as
two 32-bit numbers, then RGB bytes. It imports nothing of the package, and no more than it needs.
"""

import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

DAMAGED, NOT_INSTALLED, TOO_LARGE = 3, 4, 5
"""Exit statuses besides 0."""

Decoded = tuple[int, int, Any, object]
"""Width, height, a buffer of RGB bytes, and what owns its memory."""


def main(file_format: str, max_bytes: int, seconds: int) -> int:
    """Decode standard input to standard output.

    Args:
        file_format: ``HEIC``, ``AVIF`` or ``TIFF``.
        max_bytes: memory that reading and decoding may take, in addition to the libraries.
        seconds: CPU time.

    Returns:
        The exit status.
    """
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # where libraries print to
    try:
        decode = _heic_decoder() if file_format == "HEIC" else _opencv_decoder()
    except ImportError:
        return NOT_INSTALLED
    _limit(max_bytes, seconds)
    try:
        decoded = decode(sys.stdin.buffer.read())
    except MemoryError:
        return TOO_LARGE
    if decoded is None:
        return DAMAGED
    width, height, pixels, _owner = decoded
    output.write(struct.pack("<II", width, height))
    output.write(pixels)
    output.close()
    return 0


def _limit(max_bytes: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows, which has no such limits
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where memory is short, this process goes first, not the service
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux, whose others do not keep to this limit anyway
        return
    max_bytes += pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def _heic_decoder() -> Callable[[bytes], Decoded | None]:
    # The public module would import Pillow.
    import _pi_heif

    def decode(data: bytes) -> Decoded | None:
        try:
            images = _pi_heif.load_file(data, 1, True, False, True, False, "", False)
            image = next((image for image in images if image.primary), None)
            if image is None:
                return None
            (width, height), mode = image.size_mode
            return width, height, _rgb(image.data, mode), image
        except (EOFError, OSError, RuntimeError, SyntaxError, ValueError, KeyError):
            return None

    return decode


def _rgb(pixels: Any, mode: str) -> Any:
    """Drop opacity, and repeat grey, without NumPy, which would take longer to import."""
    channels = {"RGB": 3, "RGBA": 4, "RGBa": 4, "L": 1, "LA": 2, "La": 2}[mode]
    if channels == 3:
        return pixels
    rgb = bytearray(len(pixels) // channels * 3)
    source = bytes(pixels)
    for channel in range(3):
        rgb[channel::3] = source[channel if channels > 2 else 0 :: channels]
    return rgb


def _opencv_decoder() -> Callable[[bytes], Decoded | None]:
    import cv2
    import numpy as np

    cv2.setNumThreads(1)

    def decode(data: bytes) -> Decoded | None:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError from None
            return None
        if image is None:
            return None
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        return width, height, image.data, image

    return decode


if __name__ == "__main__":
    sys.path[:] = sys.argv[4].split(os.pathsep)
    # Without the interpreter's clean-up: it takes time, and damaged files may have left anything.
    os._exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
