"""Videos and cameras as pictures at regular moments, read by OpenCV."""

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

# FFmpeg's remarks on damaged files would go to standard error, past every console.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

USUAL_RATE = 25.0
"""Frames a second of a video that does not say."""
ROUNDING = 1e-3
"""Seconds by which the times in many containers are rounded."""


class CameraError(ImageError):
    """The camera cannot be used."""

    code = "camera"


@dataclass(frozen=True)
class Moment:
    """One picture of a video.

    Attributes:
        seconds: since its beginning.
        image: uint8 ``[H, W, 3]``, RGB, upright.
    """

    seconds: float
    image: Image


@contextmanager
def opened_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video file.

    Raises:
        OSError: it is not there or may not be read.
        ImageError: it is no video that can be read.
    """
    with path.open("rb"):  # whose errors say why
        pass
    if not path.is_file():
        raise ImageError("a video has to be a file: save it first")
    # Absolute and by FFmpeg alone: a name is never taken for an address or a numbered series.
    with _released(cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)) as capture:
        if not capture.isOpened():
            raise ImageError("this is not a video that can be read, or it is damaged")
        yield capture


@contextmanager
def opened_camera(number: int) -> Iterator[cv2.VideoCapture]:
    """Open a camera by its number.

    Raises:
        CameraError: it is not there, in use, or forbidden.
    """
    with _released(cv2.VideoCapture(number)) as capture:
        if not capture.isOpened():
            raise CameraError(_why_no_camera(number))
        yield capture


def duration(capture: cv2.VideoCapture) -> float | None:
    """Seconds that a video takes, if its file says so."""
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return frames / rate if frames > 0 and rate > 0 else None


def video_moments(capture: cv2.VideoCapture, every: float, *, max_pixels: int) -> Iterator[Moment]:
    """Give a video's pictures at ``0``, ``every``, ``2 * every`` ... seconds; all of them for 0.

    Raises:
        ImageError: there is no picture in it, or it breaks off: then, after what there is.
        ImageTooLarge: its pictures have more than ``max_pixels``.
    """
    rate = capture.get(cv2.CAP_PROP_FPS) or USUAL_RATE
    number, now = -1, 0.0

    def clock() -> float:
        nonlocal number, now
        number += 1
        # Some containers have no times: all frames would be at 0.
        now = max(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, 0.0) or number / rate
        return now

    length = duration(capture) or 0.0
    yield from _sampled(capture, clock, every, max_pixels)
    if number < 0:
        raise ImageError("the video has no picture that can be read")
    # Sound may go on for a bit after the last picture.
    if now + 1 / rate < length - max(1.0, 0.05 * length):
        raise ImageError(f"the video breaks off after {now:.1f} of {length:.1f} seconds")


def camera_moments(capture: cv2.VideoCapture, every: float, *, max_pixels: int) -> Iterator[Moment]:
    """Give the present picture of a camera each ``every`` seconds, without end.

    The pictures between are taken and dropped, so that none comes late from the driver's queue.

    Raises:
        CameraError: the camera gives no more.
    """
    start = time.monotonic()
    yield from _sampled(capture, lambda: time.monotonic() - start, every, max_pixels)
    raise CameraError("the camera gives no more pictures: was it unplugged?")


def _sampled(
    capture: cv2.VideoCapture, clock: Callable[[], float], every: float, max_pixels: int
) -> Iterator[Moment]:
    due = 0.0
    while capture.grab():
        now = clock()
        if now < due - ROUNDING:
            continue
        if every:
            due = (math.floor((now + ROUNDING) / every) + 1) * every
        read, frame = capture.retrieve()
        if not read:
            continue
        height, width = frame.shape[:2]
        if height * width > max_pixels:
            raise ImageTooLarge(
                f"the video has {width} x {height} pixels; at most {max_pixels:,} are accepted"
            )
        yield Moment(now, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))


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
        return f"there is no such camera; there are: {', '.join(devices)}"
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return f"it may not be used by this account, which needs access to {device}"
    if device.exists():
        return "it cannot be opened: another program may be using it"
    return "it cannot be opened: none is connected, or it may not be used"
