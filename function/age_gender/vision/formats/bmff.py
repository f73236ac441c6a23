"""Walks the boxes of HEIC and AVIF files (ISO/IEC 14496-12 and 23008-12), nothing is decoded."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from age_gender.errors import ImageError
from age_gender.vision.formats import kinds

MAX_BOXES = 4_096
"""Boxes in one place; phones write dozens."""
MAX_ITEMS = 4_096
"""Items, of which tiles are the most: a phone's picture of 48 million pixels has some 200."""
MAX_TILES = 1_024
"""Tiles of a picture."""

_CODECS = {b"av01": "AVIF", b"hvc1": "HEIC"}
_OTHER_CODECS = {
    b"avc1": "H.264",
    b"vvc1": "H.266",
    b"evc1": "EVC",
    b"jpeg": "JPEG",
    b"j2k1": "JPEG 2000",
    b"unci": "no",
    b"mski": "no",
}


class Box(NamedTuple):
    """A box: its type, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True)
class Primary:
    """The primary picture of a file.

    Attributes:
        format: ``HEIC`` or ``AVIF``, by how it is compressed.
        width: pixels as stored, before any transformation.
        height: likewise.
        coded_pixels: total pixels of its tiles, or of itself.
        crop: left, top, width and height of what is shown, in pixels as stored; None for all.
        orientation: the EXIF number for its rotation and mirroring.
        is_turned: whether there is a rotation or mirroring, be it by nothing.
        profile: its ICC profile, or empty.
        primaries: its colour primaries by their number in ITU-T H.273; 1 is sRGB.
        transfer: its transfer function, likewise; 13 is sRGB.
    """

    format: str
    width: int
    height: int
    coded_pixels: int
    crop: tuple[int, int, int, int] | None = None
    orientation: int = 1
    is_turned: bool = False
    profile: bytes = b""
    primaries: int = 1
    transfer: int = 13


@dataclass
class _Meta:
    """What the boxes in ``meta`` say; properties are counted from 1."""

    primary: int = 0
    types: dict[int, bytes] = field(default_factory=dict)
    tiles: dict[int, tuple[int, ...]] = field(default_factory=dict)
    properties: list[Box] = field(default_factory=list)
    associations: dict[int, list[int]] = field(default_factory=dict)


def read_primary(data: bytes) -> Primary:
    """Read what a file's primary picture is.

    Raises:
        ImageError: the boxes are damaged, or it is compressed in a way that cannot be read.
        struct.error, IndexError: the data ends too early.
    """
    meta_box = next((box for box in _boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta_box is None:
        if any(box.kind == b"moov" for box in _boxes(data, 0, len(data))):
            raise kinds.Kind("an animated AVIF or HEIC without a still picture").refusal()
        raise _damaged("it has no description of a picture")
    meta = _read_meta(data, meta_box)
    kind = meta.types.get(meta.primary, b"")
    tiles = meta.tiles.get(meta.primary, ())
    codec = kind
    if kind in (b"grid", b"iovl", b"iden", b"tmap"):
        if not tiles:
            raise _damaged("its picture has no tiles")
        if len(tiles) > MAX_TILES:
            raise ImageError(f"the picture has {len(tiles):,} tiles: save it again with fewer")
        codec = meta.types.get(tiles[0], b"")
    if codec not in _CODECS:
        raise _unsupported(codec)
    return _primary(data, meta, _CODECS[codec], tiles)


def _primary(data: bytes, meta: _Meta, name: str, tiles: tuple[int, ...]) -> Primary:
    properties = _properties_of(meta, meta.primary)
    width, height = _size(data, properties)
    coded = width * height
    if tiles:
        # Tiles may be cut at the right and bottom, but not be hidden behind each other.
        areas = [_size(data, _properties_of(meta, tile)) for tile in tiles]
        tiled = sum(across * down for across, down in areas)
        largest = max(across * down for across, down in areas)
        margin = (width + height) * max(max(area) for area in areas) + largest
        if tiled > 2 * (coded + margin):
            raise _damaged("its tiles are larger than the picture")
        coded = max(coded, tiled)
    return Primary(name, width, height, coded, **_details(data, properties, width, height))


def _details(data: bytes, properties: list[Box], width: int, height: int) -> dict[str, Any]:
    """Read what else the properties say, as fields of `Primary`."""
    found: dict[str, Any] = {}
    turns, mirror = 0, None
    for box in properties:
        content = data[box.start : box.end]
        if box.kind in (b"irot", b"imir"):
            found["is_turned"] = True
        if box.kind == b"irot" and content:
            turns = content[0] & 3
        elif box.kind == b"imir" and content:
            mirror = content[0] & 1
        elif box.kind == b"clap":
            found["crop"] = _crop(content, width, height)
        elif box.kind == b"colr":
            if content[:4] in (b"prof", b"rICC"):
                found["profile"] = content[4:]
            elif content[:4] == b"nclx":
                found["primaries"], found["transfer"] = struct.unpack_from(">HH", content, 4)
    found["orientation"] = _ORIENTATIONS[mirror][turns]
    return found


_ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""EXIF numbers by ``imir`` (None, upside down, left to right), applied last, and ``irot``."""


def _crop(content: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Read a ``clap``: size, and offset of its centre from the picture's, as fractions."""
    wide, high, right, down = (
        numerator / denominator if denominator else 0.0
        for numerator, denominator in struct.iter_unpack(">iI", content[:32])
    )
    across, tall = min(round(wide), width), min(round(high), height)
    if len(content) < 32 or across < 1 or tall < 1:
        raise _damaged("what it shows is empty")
    left = round((width - across) / 2 + right)
    top = round((height - tall) / 2 + down)
    return max(0, min(left, width - across)), max(0, min(top, height - tall)), across, tall


def _size(data: bytes, properties: list[Box]) -> tuple[int, int]:
    for box in properties:
        if box.kind == b"ispe":
            width, height = struct.unpack_from(">II", data, box.start + 4)
            return width, height
    raise _damaged("its size is missing")


def _properties_of(meta: _Meta, item: int) -> list[Box]:
    numbers = meta.associations.get(item, [])
    return [meta.properties[n - 1] for n in numbers if 1 <= n <= len(meta.properties)]


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two positions."""
    position = start
    for _ in range(MAX_BOXES):
        if position + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:
            size = end - position
        if size < header:
            raise _damaged("a box is smaller than its header")
        # A file that is cut off still has its boxes in front.
        yield Box(kind, position + header, min(position + size, end))
        position += size
    raise _damaged("it has too many boxes")


def _read_meta(data: bytes, box: Box) -> _Meta:
    meta = _Meta()
    for child in _boxes(data, box.start + 4, box.end):
        if child.kind == b"pitm":
            wide = data[child.start] > 0
            (meta.primary,) = struct.unpack_from(">I" if wide else ">H", data, child.start + 4)
        elif child.kind == b"iinf":
            _read_types(data, child, meta)
        elif child.kind == b"iref":
            _read_references(data, child, meta)
        elif child.kind == b"iprp":
            for part in _boxes(data, child.start, child.end):
                if part.kind == b"ipco":
                    meta.properties = list(_boxes(data, part.start, part.end))
                elif part.kind == b"ipma":
                    _read_associations(data, part, meta)
    return meta


def _read_types(data: bytes, box: Box, meta: _Meta) -> None:
    start = box.start + (6 if data[box.start] == 0 else 8)
    for entry in _boxes(data, start, box.end):
        version = data[entry.start]
        if entry.kind != b"infe" or version < 2:
            continue
        item, _, kind = struct.unpack_from(
            ">HH4s" if version == 2 else ">IH4s", data, entry.start + 4
        )
        meta.types[item] = kind


def _read_references(data: bytes, box: Box, meta: _Meta) -> None:
    number = "I" if data[box.start] else "H"
    width = struct.calcsize(f">{number}")
    for entry in _boxes(data, box.start + 4, box.end):
        if entry.kind != b"dimg":
            continue
        item, count = struct.unpack_from(f">{number}H", data, entry.start)
        # ``>H`` and ``>I`` are packed without gaps.
        start = entry.start + width + 2
        if start + count * width > entry.end:
            raise _damaged("a list of tiles is cut off")
        meta.tiles[item] = struct.unpack_from(f">{count}{number}", data, start)


def _read_associations(data: bytes, box: Box, meta: _Meta) -> None:
    version, flags = data[box.start], data[box.start + 3]
    (count,) = struct.unpack_from(">I", data, box.start + 4)
    if count > MAX_ITEMS:
        raise _damaged(f"it has {count:,} parts")
    position = box.start + 8
    for _ in range(count):
        item, entries = struct.unpack_from(">HB" if version == 0 else ">IB", data, position)
        position += 3 if version == 0 else 5
        if flags & 1:
            numbers = struct.unpack_from(f">{entries}H", data, position)
            meta.associations[item] = [number & 0x7FFF for number in numbers]
            position += 2 * entries
        else:
            numbers = struct.unpack_from(f">{entries}B", data, position)
            meta.associations[item] = [number & 0x7F for number in numbers]
            position += entries


def _unsupported(codec: bytes) -> ImageError:
    how = _OTHER_CODECS.get(codec)
    if how is None:
        return _damaged("its picture is missing")
    return kinds.Kind(f"a HEIF picture with {how} compression").refusal()


def _damaged(why: str) -> ImageError:
    return ImageError(f"the HEIC or AVIF file is damaged: {why}; use the original file")
