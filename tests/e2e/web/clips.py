"""Short videos of public-domain portraits, for the camera and as a file."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from testing import photos

SIZE = (480, 360)
"""Width and height, pixels."""
RATE = 10
SECONDS = 2
ENTRANCE = 0.8
"""When the second person comes into the video file, seconds."""


def camera_file(folder: Path) -> Path:
    """Motion JPEG, as Chromium's fake camera plays it: two people from the start."""
    path = folder / "camera.mjpeg"
    with path.open("wb") as file:
        for index in range(RATE * SECONDS):
            file.write(cv2.imencode(".jpg", _frame(index, second=True))[1].tobytes())
    return path


def video_file(folder: Path) -> Path:
    """WebM, which every Chromium plays: the second person comes later."""
    path = folder / "clip.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), RATE, SIZE)
    assert writer.isOpened()
    for index in range(RATE * SECONDS):
        writer.write(_frame(index, second=index >= ENTRANCE * RATE))
    writer.release()
    return path


def _frame(index: int, *, second: bool) -> NDArray[np.uint8]:
    """BGR uint8 ``[360, 480, 3]``: portraits that move up and down."""
    frame = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    shift = round(15 * np.sin(index / RATE * np.pi))
    people = ["astronaut", "obama"][: 2 if second else 1]
    for place, name in enumerate(people):
        portrait = cv2.resize(_portrait(name), (230, 230), interpolation=cv2.INTER_AREA)
        top = 60 + (shift if place == 0 else -shift)
        frame[top : top + 230, 5 + 240 * place : 235 + 240 * place] = portrait
    return frame


def _portrait(name: str) -> NDArray[np.uint8]:
    rgb = photos.decoded(photos.photo(name).data)
    side = min(rgb.shape[:2])
    return np.ascontiguousarray(rgb[:side, :side, ::-1])
