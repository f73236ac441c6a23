"""Pictures without people: animals, things, drawings, statues, dolls."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from age_gender.vision.geometry import Image
from training.scenes import Rng

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MIN_SIDE = 40
"""Shorter side in pixels; smaller pictures are symbols."""
LONGER_SIDES = (120.0, 640.0)
"""Longer side in pixels that a picture is resized to, at random; nothing grows by more than two."""
RESEARCH = ("research", "unclear")
"""Words in the licences of pictures that must not be learnt from for commercial use."""


@dataclass(frozen=True)
class Picture:
    """A file.

    Attributes:
        path: of the file.
        kind: what it shows or where it is from.
        free: whether its licence allows commercial use.
    """

    path: Path
    kind: str
    free: bool


def listed(table: Path, folder: Path) -> list[Picture]:
    """Return the pictures of a table with ``file``, ``kind`` and ``licence``.

    Args:
        table: CSV.
        folder: that its files are relative to.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        return [
            Picture(
                folder / row["file"],
                row["kind"],
                not any(word in row["licence"].lower() for word in RESEARCH),
            )
            for row in csv.DictReader(lines)
        ]


def of_packages(folder: Path, left_out: Sequence[str] = ()) -> list[Picture]:
    """Return the pictures of unpacked packages, one folder each, whose licences are free.

    Args:
        folder: of the packages' folders.
        left_out: parts of paths that show people.
    """
    packages = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        picture
        for package in packages
        for picture in in_folder(package)
        if not any(part in picture.path.as_posix() for part in left_out)
    ]


def in_folder(folder: Path) -> list[Picture]:
    """Return all pictures below a folder, which is their kind; their licences are free."""
    paths = sorted(folder.rglob("*"))
    return [
        Picture(path, folder.name, free=True)
        for path in paths
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def opened(path: Path, rng: Rng) -> Image | None:
    """Read a picture and vary it; see `read` and `varied`."""
    image = read(path)
    return None if image is None else varied(image, rng)


def read(path: Path) -> Image | None:
    """Read a picture; None if that is not worth while: symbols, and what OpenCV does not read.

    Args:
        path: of the file; transparency, grey values and palettes are fine.

    Returns:
        uint8 ``[H, W, 3]``, BGR, or ``[H, W, 4]`` with opacity.
    """
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more pixels than it takes
        return None
    if image is None or image.dtype != np.uint8 or min(image.shape[:2]) < MIN_SIDE:
        return None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image)


def varied(image: Image, rng: Rng) -> Image:
    """Put a picture on a background of any colour, at any size.

    Args:
        image: as `read` returns it.
        rng: chooses background, size and border.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    shown: Image = image
    if image.shape[2] == 4:
        opacity = image[..., 3:] / np.float32(255)
        background = np.full(3, 255) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
        shown = (image[..., :3] * opacity + background * (1 - opacity)).astype(np.uint8)
    longer = float(np.exp(rng.uniform(*np.log(LONGER_SIDES))))
    zoom = min(longer / max(shown.shape[:2]), 2.0)
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(shown, None, fx=zoom, fy=zoom, interpolation=method)
    border = int(rng.uniform(0, 0.15) * max(resized.shape[:2]))
    framed = cv2.copyMakeBorder(resized, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(framed[..., ::-1]).astype(np.uint8)


def sampled(pictures: Sequence[Picture], each: int, rng: Rng) -> Iterator[Picture]:
    """Yield at most ``each`` pictures of a kind, chosen at random."""
    for kind in sorted({picture.kind for picture in pictures}):
        mine = [picture for picture in pictures if picture.kind == kind]
        yield from (mine[i] for i in np.sort(rng.permutation(len(mine))[:each]))
