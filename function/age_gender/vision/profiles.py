"""Converts the colours of pictures with another profile than sRGB (ICC.1:2022, annex F.3)."""

import struct
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.vision.geometry import Image

Matrix = NDArray[np.float64]
Curve = NDArray[np.float64]

SAME = 1.5
"""Largest difference, of 255, between two profiles' colours that is not worth a conversion."""
BLOCK_PIXELS = 1 << 19
"""Pixels converted at a time, which bounds the memory."""
_STEPS = 4096
"""Entries of the table from linear light to sRGB."""
_MAX_CURVE = 65_536
_TAG_COUNT = 200

# ICC profiles are relative to the white of illuminant D50; rows are X, Y, Z.
_SRGB: Matrix = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_P3: Matrix = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
_BT2020: Matrix = np.array(
    [[0.67348, 0.16566, 0.12505], [0.27904, 0.67534, 0.04561], [-0.00193, 0.02998, 0.79683]]
)
_PRIMARIES = {1: _SRGB, 2: _SRGB, 5: _SRGB, 6: _SRGB, 7: _SRGB, 9: _BT2020, 12: _P3}
"""Matrices by the numbers of ITU-T H.273; 2 is "unspecified", and those of TV are close to sRGB."""
_HDR = (16, 18)
"""Transfer functions of brightness beyond white."""


class Conversion(NamedTuple):
    """How to get to sRGB: curves to linear light for R, G, B, and a matrix between linear colours.

    Attributes:
        curves: float64 ``[256, 3]``, 0 to 1.
        matrix: float64 ``[3, 3]``.
    """

    curves: Curve
    matrix: Matrix


class UnknownProfile(Exception):
    """The profile is of a kind that is not converted; the text says which."""


def of_profile(profile: bytes) -> Conversion | None:
    """Read an ICC profile.

    Returns:
        None if its colours are those of sRGB, or nearly.

    Raises:
        UnknownProfile: not three primaries with curves, such as a printer's, or damaged.
    """
    space = profile[16:20]
    if space == b"GRAY":
        return None
    if space == b"CMYK":
        raise UnknownProfile("for print (CMYK)")
    if space != b"RGB " or profile[20:24] != b"XYZ ":
        raise UnknownProfile("of an unusual kind")
    try:
        tags = _tags(profile)
        if b"A2B0" in tags and b"rTRC" not in tags:
            raise UnknownProfile("made of tables")
        matrix = np.array([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    except (KeyError, struct.error, ValueError):
        raise UnknownProfile("that is damaged") from None
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 4:
        raise UnknownProfile("that is damaged")
    return _unless_same(Conversion(np.stack(curves, axis=1), matrix))


def of_numbers(primaries: int, transfer: int) -> Conversion | None:
    """Do the same for colours described by the numbers of ITU-T H.273.

    Raises:
        UnknownProfile: not a colour space of pictures, or HDR.
    """
    if transfer in _HDR:
        raise UnknownProfile("with brightness beyond white (HDR)")
    if primaries not in _PRIMARIES:
        raise UnknownProfile(f"with primaries of number {primaries}")
    return _unless_same(Conversion(np.stack([_SRGB_CURVE] * 3, axis=1), _PRIMARIES[primaries]))


def to_srgb(image: Image, conversion: Conversion) -> Image:
    """Convert an image, in place.

    Args:
        image: uint8 ``[H, W, 3]``, RGB.
        conversion: from `of_profile` or `of_numbers`.
    """
    curves = (conversion.curves * (_STEPS - 1)).astype(np.float32)[None]
    matrix = (np.linalg.inv(_SRGB) @ conversion.matrix).astype(np.float32)
    rows = max(1, BLOCK_PIXELS // image.shape[1])
    for top in range(0, image.shape[0], rows):
        block = image[top : top + rows]
        linear = cv2.transform(cv2.LUT(block, curves), matrix)
        np.clip(linear, 0, _STEPS - 1, out=linear)
        block[...] = _ENCODED[(linear + 0.5).astype(np.uint16)]
    return image


def _unless_same(conversion: Conversion) -> Conversion | None:
    """Return None where the conversion would change next to nothing."""
    levels = np.array([0, 32, 64, 96, 128, 160, 192, 224, 255], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 1, 3)
    converted = to_srgb(colours.copy(), conversion)
    difference = np.abs(converted.astype(int) - colours)
    return None if difference.mean() <= SAME else conversion


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    rows = (
        struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(min(count, _TAG_COUNT))
    )
    return {name: profile[start : start + size] for name, start, size in rows}


def _xyz(tag: bytes) -> list[float]:
    if tag[:4] != b"XYZ ":
        raise ValueError
    return [value / 65_536 for value in struct.unpack_from(">3i", tag, 8)]


def _curve(tag: bytes) -> Curve:
    """Sample a curve at 256 places: a power, a table, or a formula (sections 10.6 and 10.18)."""
    x = np.linspace(0, 1, 256)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        if count == 1:
            return x ** float(struct.unpack_from(">H", tag, 12)[0] / 256)
        if count > _MAX_CURVE:
            raise ValueError
        table = np.frombuffer(tag, ">u2", count, 12) / 65_535
        return np.asarray(np.interp(x, np.linspace(0, 1, count), table))
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
        values = [value / 65_536 for value in struct.unpack_from(f">{count}i", tag, 12)]
        return np.clip(_formula(kind, values, x), 0, 1)
    raise ValueError


def _formula(kind: int, values: list[float], x: Curve) -> Curve:
    g, a, b, c, d, e, f = [*values, *[0.0] * (7 - len(values))]
    if kind == 0:
        return np.asarray(x**g)
    power = np.maximum(a * x + b, 0) ** g
    if kind == 1:
        return np.where(a * x + b >= 0, power, 0)
    if kind == 2:
        return np.where(a * x + b >= 0, power, 0) + c
    if kind == 3:
        return np.where(x >= d, power, c * x)
    return np.where(x >= d, power + e, c * x + f)


_SRGB_CURVE: Curve = _formula(
    3, [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045], np.linspace(0, 1, 256)
)


def _encoded() -> NDArray[np.uint8]:
    linear = np.linspace(0, 1, _STEPS)
    encoded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )
    return np.asarray(np.rint(encoded * 255), np.uint8)


_ENCODED = _encoded()
