"""Videos and cameras, sampled at regular times with OpenCV."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.geometry import Image

# FFmpeg would write its complaints about damaged files straight to standard error.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

DEFAULT_RATE = 25.0
"""Frames per second of a video that does not state it."""
ROUNDING = 1e-3
"""Seconds; many containers round their timestamps to it."""


class CameraError(ImageError):
    """The camera cannot be used."""

    code = "camera"


@dataclass(frozen=True)
class Sample:
    """One image of a video or camera.

    Attributes:
        seconds: since its start.
        image: uint8 ``[H, W, 3]``, RGB, upright.
    """

    seconds: float
    image: Image


@contextmanager
def opened_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video file.

    Raises:
        OSError: it is missing or not readable.
        ImageError: it is not a readable video.
    """
    with path.open("rb"):  # its errors say why
        pass
    if not path.is_file():
        raise ImageError("a video has to be a regular file: save it first")
    # Absolute, and by FFmpeg alone: so a name is never taken for a URL or a numbered series.
    with _released(cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)) as capture:
        if not capture.isOpened():
            raise ImageError("this is not a readable video, or it is damaged")
        yield capture


@contextmanager
def opened_camera(number: int) -> Iterator[cv2.VideoCapture]:
    """Open a camera by its number.

    Raises:
        CameraError: it is missing, in use, or not permitted.
    """
    with _released(cv2.VideoCapture(number)) as capture:
        if not capture.isOpened():
            raise CameraError(_why_no_camera(number))
        yield capture


def duration(capture: cv2.VideoCapture) -> float | None:
    """Length of a video in seconds, if its file states it."""
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return frames / rate if frames > 0 and rate > 0 else None


def sample_video(capture: cv2.VideoCapture, every: float, *, max_pixels: int) -> Iterator[Sample]:
    """Yield the frames at ``0``, ``every``, ``2 * every`` ... seconds; all frames for 0.

    Raises:
        ImageError: it has no frame, or it is cut off (raised after its last frame).
        ImageTooLarge: its frames have more than ``max_pixels``.
    """
    rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE
    number, now = -1, 0.0

    def clock() -> float:
        nonlocal number, now
        number += 1
        # Some containers have no timestamps: every frame would be at 0.
        now = max(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, 0.0) or number / rate
        return now

    length = duration(capture) or 0.0
    yield from _sample(capture, clock, every, max_pixels)
    if number < 0:
        raise ImageError("the video has no readable frame")
    # Sound may be a little longer than the frames.
    if now + 1 / rate < length - max(1.0, 0.05 * length):
        raise ImageError(f"the video breaks off after {now:.1f} of {length:.1f} seconds")


def sample_camera(capture: cv2.VideoCapture, every: float, *, max_pixels: int) -> Iterator[Sample]:
    """Yield a camera's current frame every ``every`` seconds, without end.

    Frames in between are read and dropped, so that the driver's queue holds no old ones.

    Raises:
        CameraError: the camera stopped.
    """
    start = time.monotonic()
    yield from _sample(capture, lambda: time.monotonic() - start, every, max_pixels)
    raise CameraError("the camera stopped sending frames: was it unplugged?")


def _sample(
    capture: cv2.VideoCapture, clock: Callable[[], float], every: float, max_pixels: int
) -> Iterator[Sample]:
    next_time = 0.0
    while capture.grab():
        now = clock()
        if now < next_time - ROUNDING:
            continue
        if every:
            next_time = (math.floor((now + ROUNDING) / every) + 1) * every
        read, frame = capture.retrieve()
        if not read:
            continue
        height, width = frame.shape[:2]
        if height * width > max_pixels:
            raise ImageTooLarge(
                f"the video has {width} x {height} pixels; at most {max_pixels:,} are accepted"
            )
        yield Sample(now, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))


@contextmanager
def _released(capture: cv2.VideoCapture) -> Iterator[cv2.VideoCapture]:
    try:
        yield capture
    finally:
        capture.release()


def _why_no_camera(number: int) -> str:
    device = Path(f"/dev/video{number}")
    devices = sorted(str(path) for path in device.parent.glob("video[0-9]*"))
    if devices and not device.exists():
        return f"there is no such camera; available: {', '.join(devices)}"
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return f"this account has no permission to use {device}"
    if device.exists():
        return "it cannot be opened: another program may be using it"
    return "it cannot be opened: none is connected, or this account has no permission"
