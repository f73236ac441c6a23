"""Decoding: each file is decoded or refused, and nothing else can happen."""

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.decode import EncodedImage
from age_gender.vision.decode import decode as decode_image
from age_gender.vision.geometry import resize
from age_gender.vision.headers import Header, read_header
from tests.unit.pictures import (
    GREEN,
    RED,
    Pixels,
    encoded,
    marked,
    png,
    png_16_bit,
    png_chunk,
    png_interlaced,
    unfiltered,
)

MAX_BYTES = 1 << 20
MAX_PIXELS = 1 << 18
WIDTH, HEIGHT = 24, 16
IMAGE = marked(WIDTH, HEIGHT)
BLUE_FRAME = Pillow.new("RGB", (WIDTH, HEIGHT), (0, 0, 255))


def pillow(mode: str = "RGB") -> Pillow.Image:
    image = Pillow.fromarray(IMAGE)
    return image.quantize(16) if mode == "P" else image.convert(mode)


def decode(data: bytes) -> Pixels:
    return decode_image(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)


ANIMATION = {"save_all": True, "append_images": [BLUE_FRAME, BLUE_FRAME.rotate(90)]}

COLOURED = {
    "jpeg": encoded(IMAGE, "JPEG", quality=95, subsampling=0),
    "jpeg-progressive": encoded(IMAGE, "JPEG", quality=95, subsampling=0, progressive=True),
    "jpeg-cmyk": encoded(pillow("CMYK"), "JPEG", quality=95, subsampling=0),
    "png": encoded(IMAGE, "PNG"),
    "png-palette": encoded(pillow("P"), "PNG"),
    "png-rgba": encoded(pillow("RGBA"), "PNG"),
    "png-16-bit": png_16_bit(IMAGE),
    "png-interlaced": png_interlaced(IMAGE),
    "png-animated": encoded(IMAGE, "PNG", **ANIMATION),
    "webp-lossy": encoded(IMAGE, "WEBP", quality=100),
    "webp-lossless": encoded(IMAGE, "WEBP", lossless=True),
    "webp-rgba": encoded(pillow("RGBA"), "WEBP", lossless=True, exact=True),
    "webp-animated": encoded(IMAGE, "WEBP", lossless=True, **ANIMATION),
    "gif": encoded(pillow("P"), "GIF"),
    "gif-animated": encoded(pillow("P"), "GIF", **ANIMATION),
    "bmp": encoded(IMAGE, "BMP"),
    "bmp-palette": encoded(pillow("P"), "BMP"),
    "bmp-rgba": encoded(pillow("RGBA"), "BMP"),
}
GREY = {
    "jpeg-grey": encoded(pillow("L"), "JPEG", quality=95),
    "png-grey": encoded(pillow("L"), "PNG"),
    "png-grey-alpha": encoded(pillow("LA"), "PNG"),
    "png-grey-16-bit": encoded(Pillow.fromarray(np.asarray(pillow("L"), np.uint16) * 257), "PNG"),
    "bmp-grey": encoded(pillow("L"), "BMP"),
}
ALL = COLOURED | GREY


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if the decoder is called."""

    def fail(*_: Any) -> None:
        raise AssertionError("the decoder was called")

    monkeypatch.setattr(cv2, "imdecode", fail)


class TestAccepted:
    @pytest.mark.parametrize("name", COLOURED)
    def test_colours_and_positions_are_right(self, name: str) -> None:
        image = decode(COLOURED[name])
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert image.dtype == np.uint8
        # Away from edges, where lossy formats bleed.
        tolerance = 45 if "lossy" in name else 10
        assert np.abs(image[3, 3].astype(int) - RED).max() <= tolerance
        assert np.abs(image[13, 20].astype(int) - GREEN).max() <= tolerance

    @pytest.mark.parametrize("name", GREY)
    def test_grey_becomes_three_equal_channels(self, name: str) -> None:
        image = decode(GREY[name])
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert (image == image[..., :1]).all()
        assert np.abs(image[..., 0].astype(int) - np.asarray(pillow("L"))).max() <= 12

    def test_black_and_white(self) -> None:
        image = decode(encoded(pillow("1"), "PNG"))
        assert set(np.unique(image)) == {0, 255}

    @pytest.mark.parametrize("name", ALL)
    def test_header_says_the_size(self, name: str) -> None:
        header = read_header(ALL[name])
        assert (header.width, header.height) == (WIDTH, HEIGHT)
        assert header.format.lower() == name.partition("-")[0]

    @pytest.mark.defends("extreme-image")
    @pytest.mark.parametrize("size", [(1, 1), (1, 65500), (65500, 1)])
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "GIF"])
    def test_extreme_sizes(self, size: tuple[int, int], file_format: str) -> None:
        image = decode(encoded(Pillow.new("RGB", size, (90, 80, 70)), file_format))
        assert image.shape == (size[1], size[0], 3)
        assert np.abs(image.astype(int) - (90, 80, 70)).max() <= 4

    def test_bmp_with_rows_from_top_to_bottom(self) -> None:
        data = bytearray(encoded(IMAGE, "BMP"))
        struct.pack_into("<i", data, 22, -HEIGHT)
        assert read_header(bytes(data)).height == HEIGHT
        np.testing.assert_array_equal(decode(bytes(data)), IMAGE[::-1])

    def test_jpeg_with_fill_bytes_and_a_thumbnail(self) -> None:
        thumbnail = encoded(marked(9, 6), "JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        data = COLOURED["jpeg"]
        with_thumbnail = data[:2] + segment + b"\xff\xff" + data[2:]
        assert read_header(with_thumbnail) == Header("JPEG", WIDTH, HEIGHT, "sequential")
        np.testing.assert_array_equal(decode(with_thumbnail), decode(data))

    @pytest.mark.parametrize("name", [name for name in ALL if name.startswith("png")])
    def test_bytes_after_the_end_of_a_png_do_no_harm(self, name: str) -> None:
        np.testing.assert_array_equal(decode(ALL[name] + b"trailing"), decode(ALL[name]))


STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""How a camera stores an upright image with each EXIF orientation."""


@pytest.mark.defends("extreme-image")
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_exif_orientation(orientation: int, file_format: str, options: dict[str, Any]) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](IMAGE))
    image = decode(encoded(stored, file_format, exif=exif, **options))
    assert image.shape == IMAGE.shape
    assert np.abs(image.astype(int) - IMAGE).mean() < 5


def file_of(image: Pixels, file_format: str = "JPEG", **options: Any) -> EncodedImage:
    data = encoded(image, file_format, **options)
    return EncodedImage(data, max_bytes=1 << 24, max_pixels=1 << 24)


class TestReduced:
    """JPEG files are decoded at reduced size."""

    SMOOTH = np.asarray(
        cv2.GaussianBlur(marked(64, 48).repeat(5, 0).repeat(5, 1), (0, 0), 8), np.uint8
    )
    """320 x 240."""

    @pytest.mark.parametrize(
        ("scale", "reduction"),
        [(1.75, 1), (1.0, 1), (0.51, 1), (0.5, 2), (0.26, 2), (0.25, 4), (0.125, 8), (0.01, 8)],
    )
    def test_never_smaller_than_needed(self, scale: float, reduction: int) -> None:
        assert file_of(self.SMOOTH).max_reduction(scale, may_redecode=False) == reduction

    @pytest.mark.parametrize(
        ("width", "height", "reduction"),
        [(320, 240, 8), (316, 240, 4), (320, 234, 2), (319, 240, 1), (320, 239, 1)],
    )
    def test_only_by_what_divides_both_sides(self, width: int, height: int, reduction: int) -> None:
        assert (
            file_of(self.SMOOTH[:height, :width]).max_reduction(0.01, may_redecode=False)
            == reduction
        )

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "BMP"])
    def test_other_formats_are_not(self, file_format: str) -> None:
        file = file_of(self.SMOOTH, file_format)
        assert file.max_reduction(0.01, may_redecode=False) == 1

    @pytest.mark.parametrize("coding", [0xC3, 0xC9, 0xCA])
    def test_neither_are_rare_codings(self, coding: int) -> None:
        data = encoded(self.SMOOTH, "JPEG").replace(b"\xff\xc0", bytes([0xFF, coding]), 1)
        assert (
            EncodedImage(data, max_bytes=1 << 20, max_pixels=1 << 20).max_reduction(
                0.01, may_redecode=False
            )
            == 1
        )

    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("reduction", [1, 2, 4, 8])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_the_same_image(self, reduction: int, orientation: int, progressive: bool) -> None:
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        file = file_of(self.SMOOTH, quality=95, progressive=progressive, exif=exif)
        whole = file.view().image
        small = file.view(reduction).image
        expected = resize(whole, whole.shape[1] // reduction, whole.shape[0] // reduction)
        assert file.header.jpeg_coding == ("progressive" if progressive else "sequential")
        assert np.abs(small.astype(int) - expected).mean() < 2

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_grey_and_cmyk(self, mode: str) -> None:
        image = Pillow.fromarray(self.SMOOTH).convert(mode)
        file = EncodedImage(
            encoded(image, "JPEG", quality=95), max_bytes=1 << 20, max_pixels=1 << 20
        )
        expected = resize(file.view().image, 80, 60)
        assert np.abs(file.view(4).image.astype(int) - expected).mean() < 2

    @pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7, 0.95])
    def test_cut_off(self, fraction: float) -> None:
        """It is refused or decoded alike at every reduction."""
        data = encoded(self.SMOOTH, "JPEG", quality=95)
        cut = EncodedImage(data[: int(len(data) * fraction)], max_bytes=1 << 20, max_pixels=1 << 20)
        sizes = [shape_of(cut, reduction) for reduction in (1, 2, 4, 8)]
        assert sizes in ([None] * 4, [(240, 320), (120, 160), (60, 80), (30, 40)])

    @pytest.mark.defends("size-mismatch")
    @pytest.mark.parametrize("reduction", [1, 4])
    def test_another_size_than_the_header_says_is_refused(
        self, reduction: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = file_of(self.SMOOTH)
        other = np.zeros((240 // reduction, 328 // reduction, 3), np.uint8)
        monkeypatch.setattr(cv2, "imdecode", lambda *_: other)
        with pytest.raises(ImageError, match="damaged"):
            file.view(reduction)


def shape_of(file: EncodedImage, reduction: int) -> tuple[int, ...] | None:
    try:
        return file.view(reduction).image.shape[:2]
    except ImageError:
        return None


class TestRefused:
    @pytest.mark.defends("rare-format")
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"II+\0\x08\0\0\0" + bytes(100), id="bigtiff"),
            pytest.param(b"8BPS\0\1" + bytes(100), id="psd"),
            pytest.param(encoded(IMAGE, "JPEG2000"), id="jp2"),
            pytest.param(encoded(IMAGE, "JPEG2000", no_jp2=True), id="j2k"),
            pytest.param(encoded(IMAGE, "PPM"), id="ppm"),
            pytest.param(encoded(IMAGE, "ICO", sizes=[(16, 16)]), id="ico"),
            pytest.param(encoded(IMAGE, "PDF"), id="pdf"),
            pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', id="svg"),
            pytest.param(b"<!doctype html><title>Sign in</title>", id="html"),
            pytest.param(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n", id="hdr"),
            pytest.param(b"v/1\x01" + bytes(100), id="exr"),
            pytest.param(b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), id="wav"),
            pytest.param(b"", id="empty"),
            pytest.param(b"B", id="one-byte"),
            pytest.param(b"BM", id="bmp-magic-only"),
        ],
    )
    @pytest.mark.usefixtures("no_decoder")
    def test_other_formats_never_reach_the_decoder(self, data: bytes) -> None:
        with pytest.raises(ImageError):
            decode(data)

    def test_the_message_lists_the_formats(self) -> None:
        with pytest.raises(ImageError, match="JPEG, PNG, WebP, GIF, BMP"):
            decode(b"<html>")

    @pytest.mark.usefixtures("no_decoder")
    def test_too_many_bytes(self) -> None:
        with pytest.raises(ImageTooLarge, match=r"1,048,577 bytes; at most 1,048,576"):
            decode(COLOURED["jpeg"].ljust(MAX_BYTES + 1, b"\0"))

    def test_just_enough_bytes(self) -> None:
        assert decode(COLOURED["jpeg"].ljust(MAX_BYTES, b"\0")).shape == IMAGE.shape

    @pytest.mark.defends("pixel-bomb")
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png(30000, 30000, b""), id="png"),
            pytest.param(
                b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65000, 65000) + bytes(20),
                id="jpeg",
            ),
            pytest.param(b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(20), id="gif"),
            pytest.param(
                b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2, id="webp-extended"
            ),
            pytest.param(
                b"RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", (1 << 28) - 1),
                id="webp-lossless",
            ),
            pytest.param(
                b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + b"\xff\x3f" * 2,
                id="webp-lossy",
            ),
            pytest.param(
                b"BM" + bytes(12) + struct.pack("<Iii", 40, 30000, -30000) + bytes(30), id="bmp"
            ),
            pytest.param(
                b"BM" + bytes(12) + struct.pack("<IHH", 12, 30000, 30000) + bytes(30), id="bmp-os2"
            ),
        ],
    )
    @pytest.mark.usefixtures("no_decoder")
    def test_decompression_bombs_are_not_decoded(self, data: bytes) -> None:
        with pytest.raises(ImageTooLarge, match="pixels"):
            decode(data)

    @pytest.mark.parametrize("size", [(0, 16), (24, 0), (0, 0)])
    @pytest.mark.usefixtures("no_decoder")
    def test_no_pixels(self, size: tuple[int, int]) -> None:
        with pytest.raises(ImageError, match="no pixels"):
            decode(png(*size, b""))

    @pytest.mark.usefixtures("no_decoder")
    def test_bmp_of_negative_width(self) -> None:
        with pytest.raises(ImageError, match="no pixels"):
            decode(b"BM" + bytes(12) + struct.pack("<Iii", 40, -24, 16) + bytes(30))

    def test_the_pixel_limit_itself_is_allowed(self) -> None:
        data = encoded(IMAGE, "PNG")
        pixels = WIDTH * HEIGHT
        assert decode_image(data, max_bytes=MAX_BYTES, max_pixels=pixels).shape == IMAGE.shape
        with pytest.raises(ImageTooLarge):
            decode_image(data, max_bytes=MAX_BYTES, max_pixels=pixels - 1)


def decoded_or_refused(data: bytes) -> None:
    """Check that a damaged file is refused, or decoded within the limits."""
    try:
        image = decode(data)
    except (ImageError, ImageTooLarge):
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.size <= 3 * MAX_PIXELS


class TestDamaged:
    @pytest.mark.defends("corrupted")
    @pytest.mark.parametrize("name", ALL)
    def test_cut_off_anywhere(self, name: str) -> None:
        for cut in range(len(ALL[name])):
            decoded_or_refused(ALL[name][:cut])

    @pytest.mark.parametrize("name", ["jpeg", "png", "webp-lossless", "gif", "bmp"])
    def test_cut_off_within_the_header_is_refused(self, name: str) -> None:
        for cut in range(18):
            with pytest.raises(ImageError):
                decode(ALL[name][:cut])

    @pytest.mark.defends("corrupted")
    @settings(max_examples=60)
    @given(data=st.data())
    @pytest.mark.parametrize("name", ALL)
    def test_changed_anywhere(self, name: str, data: st.DataObject) -> None:
        damaged = bytearray(ALL[name])
        places = st.integers(0, len(damaged) - 1)
        for place in data.draw(st.lists(places, min_size=1, max_size=4)):
            damaged[place] = data.draw(st.integers(0, 255))
        decoded_or_refused(bytes(damaged))

    @settings(max_examples=200)
    @given(
        magic=st.sampled_from(
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBPVP8 "]
        ),
        rest=st.binary(max_size=200),
    )
    def test_random_bytes(self, magic: bytes, rest: bytes) -> None:
        decoded_or_refused(magic + rest)

    @pytest.mark.defends("png-chunk")
    @pytest.mark.usefixtures("no_decoder")
    def test_png_chunk_that_claims_gigabytes(self) -> None:
        start, end = png(WIDTH, HEIGHT, unfiltered(IMAGE)).split(png_chunk(b"IEND", b""))
        claim = png_chunk(b"tEXt", b"", length=0x7FFFFFF0)
        with pytest.raises(ImageError, match="damaged or incomplete"):
            decode(start + claim + end)

    @pytest.mark.defends("animated-png")
    def test_png_animations_never_reach_the_decoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenCV's animation reader crashes the process on some damaged files."""
        decoded: list[bytes] = []
        imdecode = cv2.imdecode

        def spy(buffer: Pixels, flags: int) -> Any:
            decoded.append(buffer.tobytes())
            return imdecode(buffer, flags)

        monkeypatch.setattr(cv2, "imdecode", spy)
        np.testing.assert_array_equal(decode(ALL["png-animated"]), IMAGE)
        (file,) = decoded
        assert b"IDAT" in file
        assert not any(kind in file for kind in (b"acTL", b"fcTL", b"fdAT"))

    def test_png_with_a_second_header(self) -> None:
        first = png(WIDTH, HEIGHT, unfiltered(IMAGE))
        header = png(1000, 1000, b"")[8:33]
        decoded_or_refused(first[:33] + header + first[33:])

    def test_jpeg_with_a_second_frame_header(self) -> None:
        data = ALL["jpeg"]
        at = data.index(b"\xff\xc0")
        frame = bytearray(data[at : at + 19])
        struct.pack_into(">HH", frame, 5, 2000, 2000)
        decoded_or_refused(data[: at + 19] + bytes(frame) + data[at + 19 :])

    def test_gif_whose_frame_is_larger_than_its_screen(self) -> None:
        data = bytearray(encoded(Pillow.new("P", (1000, 1000)), "GIF"))
        struct.pack_into("<HH", data, 6, 8, 8)
        decoded_or_refused(bytes(data))

    def test_webp_whose_frame_is_larger_than_its_canvas(self) -> None:
        large = encoded(np.zeros((1000, 1000, 3), np.uint8), "WEBP", lossless=True)
        canvas = b"VP8X\x0a\0\0\0\0\0\0\0" + bytes([7, 0, 0, 7, 0, 0])
        body = b"WEBP" + canvas + large[12:]
        decoded_or_refused(b"RIFF" + struct.pack("<I", len(body)) + body)
