"""Input files and cameras to frames, one at a time: decoded images with a name."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from age_gender.cli import video
from age_gender.cli.inputs import STDIN, InputFile
from age_gender.errors import ImageError, ImageTooLarge, SourceError
from age_gender.fetch.checks import NOT_ALLOWED
from age_gender.settings import Settings
from age_gender.vision.decode import EncodedImage
from age_gender.vision.geometry import Image


@dataclass(frozen=True)
class Frame:
    """One image to run the pipeline on.

    Attributes:
        name: of the file or camera.
        stem: path of its copy, relative to the folder of copies, without suffix.
        image: uint8 ``[H, W, 3]``, RGB, upright.
        seconds: since the start of the video; None for a still image.
        warnings: see `ImageSource.warnings`.
    """

    name: str
    stem: Path
    image: Image
    seconds: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name, with the time in the video."""
        return self.name if self.seconds is None else f"{self.name} @ {self.seconds:.2f} s"


def frames_of(
    file: InputFile, settings: Settings, every: float, on_length: Callable[[float | None], None]
) -> Iterator[Frame]:
    """Read one file.

    Args:
        file: an image or a video.
        settings: for the limits.
        every: seconds between the frames taken from a video; 0 for all.
        on_length: called with a video's duration in seconds, if known, before its first frame.

    Raises:
        OSError: it cannot be read.
        SourceError: it cannot be fetched, or its address is refused.
        ImageError: it is not an image or video, or damaged.
        ImageTooLarge: it exceeds the limits.
    """
    if not file.is_video:
        limit = settings.max_picture_bytes
        data = _fetch(file.name, settings) if file.is_remote else _read(file.name, limit)
        encoded = EncodedImage(
            data, max_bytes=settings.max_picture_bytes, max_pixels=settings.max_pixels
        )
        image = encoded.view().image
        stem = file.relative.with_suffix("")
        yield Frame(file.name, stem, image, warnings=encoded.warnings)
        return
    with video.opened_video(Path(file.name)) as capture:
        on_length(video.duration(capture))
        for sample in video.sample_video(capture, every, max_pixels=settings.max_pixels):
            yield _named(file.name, file.relative, sample)


def camera_frames(number: int, settings: Settings, every: float) -> Iterator[Frame]:
    """Yield frames of a camera, without end.

    Raises:
        CameraError: it cannot be used, or stopped.
    """
    # With the time, so that copies of two sessions do not replace each other.
    stem = Path(f"camera-{number}-{datetime.now():%Y%m%d-%H%M%S}")
    with video.opened_camera(number) as capture:
        for sample in video.sample_camera(capture, every, max_pixels=settings.max_pixels):
            yield _named(f"camera {number}", stem, sample)


def _named(name: str, path: Path, sample: video.Sample) -> Frame:
    stem = path.with_name(f"{path.name}.{sample.seconds:010.3f}s")
    return Frame(name, stem, sample.image, round(sample.seconds, 3))


def _fetch(address: str, settings: Settings) -> bytes:
    """Fetch a picture as the service does, but say what allows addresses that it refuses."""
    from age_gender.fetch.urls import from_url  # its HTTP client is slow to import

    try:
        return from_url(address, settings)
    except SourceError as error:
        if error.code != NOT_ALLOWED:
            raise
        setting = "GCS_BUCKETS" if address.lower().startswith("gs:") else "ALLOW_PRIVATE_URLS"
        raise SourceError(f"{error.message} (See the setting {setting}.)") from None


def _read(name: str, max_bytes: int) -> bytes:
    """Read a file, up to one byte more than is allowed: some never end."""
    with _opened(name) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ImageTooLarge(f"the file has more than {max_bytes:,} bytes (MAX_PICTURE_BYTES)")
    return data


def _opened(name: str) -> "nullcontext[IO[bytes]] | IO[bytes]":
    if name != STDIN:
        return open(name, "rb")  # closed by the caller
    if sys.stdin.isatty():
        raise ImageError("nothing is piped into standard input")
    return nullcontext(sys.stdin.buffer)
