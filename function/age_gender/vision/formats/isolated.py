"""Decodes HEIC, AVIF and TIFF in a process of its own.

Their decoders are large, and less tried on hostile files than those of JPEG or PNG: what such a
file does to one must not happen to the service. The process costs a tenth of a second or less.
"""

import logging
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.limits.capacity import spare_memory
from age_gender.vision.formats import decoder
from age_gender.vision.geometry import Image

log = logging.getLogger(__name__)

FORMATS = ("HEIC", "AVIF", "TIFF")
BASE_BYTES = 64 << 20
"""Memory of a decoder for a picture of any size: its tables, and a few tiles."""
BYTES_PER_PIXEL = 28
"""Memory per pixel: planes of up to 16 bits, and the result. Measured: HEIC 5, AVIF 18 with 8 bits
and 22 to 26 with more."""
KEPT_BYTES = 56 << 20
"""Of the container's memory, kept for the decoder's libraries and for requests that come
meanwhile."""
BASE_SECONDS = 10
PIXELS_PER_SECOND = 1_000_000
"""CPU time that a picture may take; a phone's takes about a tenth of it."""
_WAITING = 4
"""Clock time allowed, in CPU times: the machine may be busy."""

_TOO_MUCH = (decoder.TOO_LARGE, -9, -24)
"""Exit statuses for too much memory or time: our own, SIGKILL and SIGXCPU."""
_PROGRAM = Path(decoder.__file__)


def decode(data: bytes, file_format: str, size: tuple[int, int], coded_pixels: int) -> Image:
    """Decode a file; neither cropped, rotated nor mirrored, except HEIC, which is all three.

    Args:
        data: the file.
        file_format: one of `FORMATS`.
        size: width and height that the result must have, either way up for HEIC.
        coded_pixels: what has to be decoded, for the limits.

    Returns:
        uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageError: damaged, or its decoder is not installed.
        ImageTooLarge: decoding takes more memory or time than such a picture should.
    """
    seconds = BASE_SECONDS + coded_pixels // PIXELS_PER_SECOND
    wanted = BASE_BYTES + BYTES_PER_PIXEL * coded_pixels + 2 * len(data)
    max_bytes = _available(wanted)
    # -I, -S: nothing of the surroundings is read, which is quicker, too.
    arguments = [sys.executable, "-I", "-S", str(_PROGRAM), file_format, str(max_bytes)]
    process = subprocess.Popen(  # noqa: S603 - nothing in it is from outside
        [*arguments, str(seconds), os.pathsep.join(path for path in sys.path if path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    timer = threading.Timer(_WAITING * seconds, process.kill)
    timer.start()
    try:
        image = _exchange(process, data, size)
    finally:
        timer.cancel()
        process.kill()
        status = process.wait()
    if image is not None:
        return image
    # Not every decoder reports a lack of memory apart from a damaged file.
    if max_bytes < wanted and status in (*_TOO_MUCH, decoder.DAMAGED):
        raise ImageTooLarge(
            f"the {file_format} file takes more memory to decode than there is here, or is "
            "damaged: make it smaller, or save it as JPEG"
        )
    raise _failure(file_format, status)


def _available(wanted: int) -> int:
    """Return how many of the bytes that a decoder may need there are.

    Where a container's memory is exceeded, what is killed may be the whole of it.
    """
    spare = spare_memory()
    return wanted if spare is None else min(wanted, max(BASE_BYTES, spare - KEPT_BYTES))


def _exchange(
    process: "subprocess.Popen[bytes]", data: bytes, size: tuple[int, int]
) -> Image | None:
    """Send the file and read the pixels; None if there are none, or not as many as there should."""
    assert process.stdin
    assert process.stdout
    with process.stdout as answer:
        try:
            with process.stdin as request:
                request.write(data)
        except BrokenPipeError:  # it has ended already, and its status says why
            pass
        start = answer.read(8)
        if len(start) < 8:
            process.wait()
            return None
        width, height = struct.unpack("<II", start)
        if {width, height} != set(size):
            return None
        image = np.empty((height, width, 3), np.uint8)
        rest = image.reshape(-1).data
        while rest and (count := answer.readinto(rest)):  # type: ignore[attr-defined]
            rest = rest[count:]
        return None if rest else image


def _environment() -> dict[str, str]:
    """Return no secrets, and settings that keep memory low."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return kept | {
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OPENCV_LOG_LEVEL": "OFF",
    }


def _failure(file_format: str, status: int) -> ImageError | ImageTooLarge:
    if status == decoder.NOT_INSTALLED:
        return ImageError(
            f"{file_format} pictures cannot be read here, since a package is not installed: "
            "use a JPEG"
        )
    if status in _TOO_MUCH:
        return ImageTooLarge(
            f"the {file_format} file takes too much memory or time: its content is larger than its "
            "header says, or damaged; save it again, or as JPEG"
        )
    if status < 0:
        log.warning("a decoder ended by signal %d on a damaged %s file", -status, file_format)
    return ImageError(
        f"the {file_format} file is damaged or incomplete: use the original file, or save it "
        "again with an image program"
    )
