"""The pictures that the detector learns from: faces, and pictures without people."""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from age_gender.vision.geometry import Image, resize
from training import without_people
from training.scenes import Rng
from training.without_people import SUFFIXES, listed

FACE_SIDE = 160
"""Side of the cropped faces, pixels."""
LONGER_SIDE = 400
"""Longer side of a picture without people in memory, pixels."""
HELD_OUT = 16
"""One of so many files is kept for evaluation."""


@dataclass(frozen=True)
class Sources:
    """Pictures in memory.

    Attributes:
        faces: uint8 ``[S, S, 3]`` each, RGB, loosely cropped round a face, S at most `LONGER_SIDE`.
        others: uint8 ``[H, W, 3]`` each, RGB, without people.
    """

    faces: list[Image]
    others: list[Image]


def is_held_out(path: Path) -> bool:
    """Whether a file is kept for evaluation; decided by its content, so copies go together."""
    return hashlib.sha256(path.read_bytes()).digest()[0] % HELD_OUT == 0


def face_files(images: Path, tables: Iterable[Path]) -> list[Path]:
    """Return the files that tables name in their column ``file``.

    Args:
        images: folder that they are relative to.
        tables: CSV files.
    """
    found = []
    for table in tables:
        with table.open(newline="", encoding="utf-8") as lines:
            found += [images / row["file"] for row in csv.DictReader(lines)]
    return found


def other_files(folders: Iterable[Path], animals: Path | None) -> list[Path]:
    """Return pictures without people.

    Args:
        folders: searched with all folders in them; they must have no people, and licences that
            allow commercial use.
        animals: table with ``file``, ``kind`` and ``licence``; its folder has the pictures.
    """
    found = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if animals is not None:
        found += [picture.path for picture in listed(animals, animals.parent) if picture.free]
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the pictures."""
    parser.add_argument("--images", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="of cropped faces")
    parser.add_argument("--animals", type=Path, help="table of pictures without people")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders without people")


def chosen(
    files: Iterable[Path], count: int, rng: Rng, *, held_out: bool = False
) -> Iterator[Image]:
    """Read pictures of one part in random order, until there are enough.

    Args:
        files: of both parts; what is no picture of some size is left out.
        count: of pictures at most.
        rng: makes the order.
        held_out: the part for evaluation, else the one for training.
    """
    order = list(files)
    rng.shuffle(order)
    for path in order:
        if count <= 0:
            return
        if is_held_out(path) == held_out and (image := read(path)) is not None:
            count -= 1
            yield image


def read(path: Path) -> Image | None:
    """Read a picture, its transparent parts black or white, no larger than `LONGER_SIDE`."""
    image = without_people.read(path)
    if image is None:
        return None
    if image.shape[2] == 4:
        ground = 255 * (image.shape[0] % 2)
        alpha = image[:, :, 3:] / np.float32(255)
        image = (image[:, :, :3] * alpha + ground * (1 - alpha)).astype(np.uint8)
    scale = LONGER_SIDE / max(image.shape[:2])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        image = resize(image, width, height)
    return np.ascontiguousarray(image[:, :, ::-1])
