"""HEIC, AVIF and TIFF, cut and repaired files, and colour profiles."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from age_gender.errors import ImageError
from age_gender.vision import profiles
from age_gender.vision.decode import EncodedImage
from age_gender.vision.formats import kinds
from tests.unit.files import ADOBE_RGB, DISPLAY_P3, IMAGE, heic, oriented, profile, readable
from tests.unit.pictures import Pixels, encoded, noise, png_chunk
from tests.unit.test_decode import STORED

HEIGHT, WIDTH, _ = IMAGE.shape
SMOOTH = np.asarray(Pillow.fromarray(noise(20, 15)).resize((320, 240), Pillow.Resampling.BICUBIC))


def opened(data: bytes) -> EncodedImage:
    return EncodedImage(data, max_bytes=1 << 24, max_pixels=1 << 24)


def decode(data: bytes) -> Pixels:
    return opened(data).view().image


def error_of(image: Pixels, expected: Pixels) -> float:
    """Mean difference in levels of 255."""
    assert image.shape == expected.shape
    return float(np.abs(image.astype(int) - expected).mean())


@pytest.mark.parametrize("name", readable())
def test_pixels_are_right(name: str) -> None:
    _, data = readable()[name]
    if "CCITT" in name:
        expected = np.asarray(Pillow.fromarray(IMAGE).convert("1").convert("RGB"))
    else:
        expected = IMAGE
    assert error_of(decode(data), expected) < 4


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["HEIC", "AVIF", "TIFF"])
def test_pictures_are_upright(file_format: str, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](IMAGE))
    assert error_of(decode(oriented(stored, file_format, orientation)), IMAGE) < 4


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_webp_whose_exif_starts_like_that_of_a_jpeg(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    stored = np.ascontiguousarray(STORED[orientation](IMAGE))
    assert error_of(decode(encoded(stored, "WEBP", lossless=True, exif=block)), IMAGE) == 0


@pytest.mark.parametrize("packet", ['<x tiff:Orientation="6"/>', "<tiff:Orientation>6</x>"])
def test_orientation_in_xmp_counts_where_there_is_no_other(packet: str) -> None:
    stored = np.ascontiguousarray(STORED[6](IMAGE))
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + packet.encode()
    png = encoded(stored, "PNG")
    with_xmp = png[:33] + png_chunk(b"iTXt", text) + png[33:]
    assert error_of(decode(with_xmp), IMAGE) == 0
    upright = oriented(IMAGE, "PNG", 1)
    with_both = upright[:33] + png_chunk(b"iTXt", text) + upright[33:]
    assert error_of(decode(with_both), IMAGE) == 0
    assert error_of(decode(encoded(stored, "AVIF", quality=95, xmp=packet.encode())), IMAGE) < 4
    turned = oriented(stored, "AVIF", 6)
    assert error_of(decode(turned + packet.encode()), IMAGE) < 4


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def grid(image: Pixels, side: int) -> bytes:
    """Make a HEIC of square tiles, as phones write it; the last ones reach over the edge."""
    height, width, _ = image.shape
    rows, columns = -(-height // side), -(-width // side)
    padded = np.pad(image, ((0, rows * side - height), (0, columns * side - width), (0, 0)), "edge")
    parts = [
        np.ascontiguousarray(padded[y * side : (y + 1) * side, x * side : (x + 1) * side])
        for y in range(rows)
        for x in range(columns)
    ]
    one = [_coded(heic(part)) for part in parts]
    return _grid_file(one, (rows, columns), (width, height), side)


def _coded(data: bytes) -> tuple[bytes, bytes]:
    """Decoder configuration and content of the one picture in a file of ours."""
    at = data.index(b"hvcC")
    (size,) = struct.unpack_from(">I", data, at - 4)
    mdat = data.index(b"mdat")
    (length,) = struct.unpack_from(">I", data, mdat - 4)
    return data[at - 4 : at - 4 + size], data[mdat + 4 : mdat - 4 + length]


def _grid_file(
    tiles: list[tuple[bytes, bytes]], shape: tuple[int, int], size: tuple[int, int], side: int
) -> bytes:
    count, (rows, columns), (width, height) = len(tiles), shape, size
    items = b"".join(
        box(b"infe", struct.pack(">IHH4s", 2 << 24, n, 0, b"grid" if n == 1 else b"hvc1") + b"\0")
        for n in range(1, count + 2)
    )
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    properties = box(b"ispe", struct.pack(">III", 0, width, height))
    properties += box(b"ispe", struct.pack(">III", 0, side, side))
    properties += b"".join(configuration for configuration, _ in tiles)
    links = struct.pack(">HBB", 1, 1, 1)
    for n in range(count):
        links += struct.pack(">HBBB", n + 2, 2, 2, 0x83 + n)
    references = box(b"dimg", struct.pack(f">HH{count}H", 1, count, *range(2, count + 2)))
    idat = box(b"idat", layout)

    def meta(offset: int) -> bytes:
        places = struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(layout))
        at = offset
        for n, (_, content) in enumerate(tiles):
            places += struct.pack(">HHHHII", n + 2, 0, 0, 1, at, len(content))
            at += len(content)
        return box(
            b"meta",
            bytes(4)
            + box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + box(b"pitm", struct.pack(">IH", 0, 1))
            + box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, count + 1) + places)
            + box(b"iinf", struct.pack(">IH", 0, count + 1) + items)
            + box(b"iref", bytes(4) + references)
            + box(
                b"iprp",
                box(b"ipco", properties) + box(b"ipma", struct.pack(">II", 0, count + 1) + links),
            )
            + idat,
        )

    start = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    offset = len(start) + len(meta(0)) + 8
    return start + meta(offset) + box(b"mdat", b"".join(content for _, content in tiles))


def test_heic_of_tiles() -> None:
    large = np.ascontiguousarray(IMAGE.repeat(2, 0).repeat(2, 1))
    file = opened(grid(large, 64))
    assert file.size == (192, 128)
    assert file.header.pixels == 6 * 64 * 64
    assert error_of(file.view().image, large) < 4


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("file_format", ["HEIC", "AVIF", "TIFF"])
def test_grey_and_opacity(file_format: str, mode: str) -> None:
    image = Pillow.fromarray(IMAGE).convert(mode)
    data = heic(image) if file_format == "HEIC" else encoded(image, file_format)
    assert error_of(decode(data), np.asarray(image.convert("RGB"))) < 4


class TestCutOff:
    """A JPEG is read as far as it goes."""

    @pytest.mark.parametrize("progressive", [False, True])
    def test_nearly_whole(self, progressive: bool) -> None:
        data = encoded(SMOOTH, "JPEG", quality=95, progressive=progressive)
        for cut in (data[:-2], data[: len(data) * 999 // 1000]):
            file = opened(cut)
            assert error_of(file.view().image, decode(data)) < 1
            assert not any("rows" in warning for warning in file.warnings)

    @pytest.mark.parametrize(("reduction", "orientation"), [(1, 1), (4, 1), (1, 6), (2, 3)])
    def test_missing_rows_are_counted(self, reduction: int, orientation: int) -> None:
        data = oriented(SMOOTH, "JPEG", orientation)
        file = opened(data[: len(data) * 9 // 10])
        image = file.view(reduction).image
        (warning,) = file.warnings
        missing = int(warning.split("about ")[1].split()[0])
        assert 14 <= missing <= 40
        stored = STORED[orientation](image)
        assert (stored[-(missing // reduction) :] == 128).all()
        assert not (stored[: -(missing // reduction) - 1] == 128).all(axis=(1, 2)).any()

    def test_nothing_but_the_header(self) -> None:
        data = encoded(SMOOTH, "JPEG")
        with pytest.raises(ImageError, match="use the original file"):
            decode(data[: data.index(b"\xff\xda") + 14])

    @pytest.mark.parametrize("stray", [b"\0\0", b"\0", b"garbage", b"\xff\0\xff\0\0"])
    def test_stray_bytes_between_segments(self, stray: bytes) -> None:
        data = oriented(SMOOTH, "JPEG", 6)
        at = data.index(b"\xff\xdb")
        assert error_of(decode(data[:at] + stray + data[at:]), decode(data)) == 0


class TestProfiles:
    SMALL = noise(48, 32)

    @pytest.mark.parametrize(("primaries", "gamma"), [(DISPLAY_P3, 2.2), (ADOBE_RGB, 2.19921875)])
    @pytest.mark.parametrize(
        ("file_format", "options"),
        [
            ("PNG", {}),
            ("JPEG", {"quality": 98, "subsampling": 0}),
            ("WEBP", {"lossless": True}),
            ("TIFF", {}),
            ("AVIF", {"quality": 98}),
            ("HEIC", {"quality": -1}),
        ],
    )
    def test_colours_are_those_of_other_software(
        self, file_format: str, options: dict[str, Any], primaries: Any, gamma: float
    ) -> None:
        made = profile(primaries, gamma)
        if file_format == "HEIC":
            image = Pillow.fromarray(self.SMALL)
            image.info["icc_profile"] = made
            data = heic(image, **options)
            read = decode(heic(self.SMALL, **options))
        else:
            data = encoded(self.SMALL, file_format, icc_profile=made, **options)
            read = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))
        source = ImageCms.ImageCmsProfile(io.BytesIO(made))
        expected = ImageCms.profileToProfile(
            Pillow.fromarray(read),
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        file = opened(data)
        assert error_of(file.view().image, np.asarray(expected)) < 0.5
        assert error_of(read, np.asarray(expected)) > 2
        assert file.warnings == ()

    def test_srgb_costs_nothing(self) -> None:
        made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert profiles.of_profile(made) is None
        assert profiles.of_numbers(1, 13) is None
        data = encoded(self.SMALL, "PNG", icc_profile=made)
        assert error_of(decode(data), self.SMALL) == 0

    @pytest.mark.parametrize("reduction", [1, 4])
    def test_reduced_pictures_are_converted_too(self, reduction: int) -> None:
        data = encoded(SMOOTH, "JPEG", quality=95, icc_profile=profile(DISPLAY_P3, 2.2))
        plain = opened(encoded(SMOOTH, "JPEG", quality=95)).view(reduction).image
        converted = profiles.to_srgb(plain.copy(), profiles.of_numbers(12, 13))  # type: ignore[arg-type]
        assert error_of(opened(data).view(reduction).image, converted) < 2

    @pytest.mark.parametrize(
        ("made", "kind"),
        [
            (profile(DISPLAY_P3, 2.2, b"CMYK"), "print"),
            (profile(DISPLAY_P3, 2.2, b"Lab "), "unusual"),
            (profile(DISPLAY_P3, 2.2).replace(b"rTRC", b"A2B0"), "tables"),
            (profile(DISPLAY_P3, 2.2)[:200], "damaged"),
            (profile(DISPLAY_P3, 2.2).replace(b"curv", b"none"), "damaged"),
        ],
    )
    def test_others_are_warned_of(self, made: bytes, kind: str) -> None:
        file = opened(encoded(self.SMALL, "PNG", icc_profile=made))
        assert error_of(file.view().image, self.SMALL) == 0
        (warning,) = file.warnings
        assert kind in warning
        assert "colours may be off" in warning

    def test_of_numbers(self) -> None:
        assert profiles.of_numbers(12, 13) is not None
        with pytest.raises(profiles.UnknownProfile, match="HDR"):
            profiles.of_numbers(9, 16)
        with pytest.raises(profiles.UnknownProfile, match="99"):
            profiles.of_numbers(99, 13)

    @pytest.mark.defends("profile-bomb")
    def test_a_packed_profile_of_gigabytes_is_left_out(self) -> None:
        packer = zlib.compressobj(9)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
        data = encoded(self.SMALL, "PNG")
        chunk = png_chunk(b"iCCP", b"x\0\0" + bomb)
        assert error_of(decode(data[:33] + chunk + data[33:]), self.SMALL) == 0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\2\0" + bytes(8) + b"\x20\0\x20\0\x18\0", "a TGA file"),
        (b"\0\0\x0a\0" + bytes(8) + b"\x20\0\x20\0\x18\0", "a TGA file"),
        (b"\0\0\2\0\1\0" + bytes(16), "a cursor"),
        (b"\0\0\1\0\1\0" + bytes(16), "an icon"),
        (b"\xff\xd8", kinds.UNKNOWN.name),
        (b"abc\xc3", kinds.UNKNOWN.name),
        (("x" * 1023 + "\u00e9").encode(), "a text"),
        ("\u00e9".encode(), "a text"),
    ],
)
def test_what_only_looks_like_something_else(data: bytes, name: str) -> None:
    assert kinds.kind_of(data[: kinds.SNIFFED_BYTES]).name == name


@pytest.mark.parametrize("name", ["AVIF", "TIFF", "PNG", "GIF", "WebP"])
def test_what_is_cut_off_is_called_incomplete(name: str) -> None:
    """And nothing else, such as larger than its header says."""
    data = encoded(noise(64, 64), name)
    with pytest.raises(ImageError, match="incomplete") as caught:
        decode(data[: len(data) * 3 // 4])
    assert "larger" not in caught.value.message


@pytest.mark.parametrize("name", readable())
def test_kinds_are_recognised_by_their_start(name: str) -> None:
    suffix, data = readable()[name]
    kind = kinds.kind_of(data[: kinds.SNIFFED_BYTES])
    assert kind.name in kinds.FORMATS
    assert not suffix or suffix in kinds.SUFFIXES[kind.name]
