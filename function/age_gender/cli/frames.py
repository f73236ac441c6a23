"""The pictures to judge, one by one: files, standard input, and moments of videos and cameras."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from age_gender.cli import video
from age_gender.cli.gather import STDIN, Entry
from age_gender.errors import ImageError, ImageTooLarge
from age_gender.settings import Settings
from age_gender.vision.decode import decode
from age_gender.vision.geometry import Image


@dataclass(frozen=True)
class Frame:
    """One picture to judge.

    Attributes:
        name: of the file or camera.
        stem: where a copy of it goes, relative to the folder of copies, without ending.
        image: uint8 ``[H, W, 3]``, RGB, upright.
        seconds: since the beginning of the video, None for a picture.
    """

    name: str
    stem: Path
    image: Image
    seconds: float | None = None

    @property
    def label(self) -> str:
        """The name, with the time in the video."""
        return self.name if self.seconds is None else f"{self.name} @ {self.seconds:.2f} s"


def frames_of(
    entry: Entry, settings: Settings, every: float, tell_length: Callable[[float | None], None]
) -> Iterator[Frame]:
    """Read one file.

    Args:
        entry: the file.
        settings: limits that hold for it.
        every: seconds between the moments of a video that are taken; 0 for all.
        tell_length: gets the seconds that a video takes, if it says so, before its first moment.

    Raises:
        OSError: it cannot be read.
        ImageError: it is no picture or video, or a damaged one.
        ImageTooLarge: beyond the limits.
    """
    if not entry.is_video:
        data = _read(entry.name, settings.max_picture_bytes)
        image = decode(data, max_bytes=settings.max_picture_bytes, max_pixels=settings.max_pixels)
        yield Frame(entry.name, entry.relative.with_suffix(""), image)
        return
    with video.opened_video(Path(entry.name)) as capture:
        tell_length(video.duration(capture))
        for moment in video.video_moments(capture, every, max_pixels=settings.max_pixels):
            yield _frame_of_moment(entry.name, entry.relative, moment)


def camera_frames(number: int, settings: Settings, every: float) -> Iterator[Frame]:
    """Take pictures with a camera, without end.

    Raises:
        CameraError: it cannot be used, or gives no more.
    """
    # The time of day in the names keeps one session's copies from replacing another's.
    stem = Path(f"camera-{number}-{datetime.now():%Y%m%d-%H%M%S}")
    with video.opened_camera(number) as capture:
        for moment in video.camera_moments(capture, every, max_pixels=settings.max_pixels):
            yield _frame_of_moment(f"camera {number}", stem, moment)


def _frame_of_moment(name: str, place: Path, moment: video.Moment) -> Frame:
    stem = place.with_name(f"{place.name}.{moment.seconds:010.3f}s")
    return Frame(name, stem, moment.image, round(moment.seconds, 3))


def _read(name: str, most: int) -> bytes:
    """Read a file, but not much more than may be accepted: some never end."""
    with _opened(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ImageTooLarge(f"the file has more than {most:,} bytes (MAX_PICTURE_BYTES)")
    return data


def _opened(name: str) -> "nullcontext[IO[bytes]] | IO[bytes]":
    if name != STDIN:
        return open(name, "rb")  # closed by the caller
    if sys.stdin.isatty():
        raise ImageError("nothing is piped into standard input")
    return nullcontext(sys.stdin.buffer)
