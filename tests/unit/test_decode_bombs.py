"""Small files that would take much work."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision.decode import EncodedImage, decode
from age_gender.vision.headers import read_header
from tests.unit.pictures import bmp_file, noise, png_chunk, png_of

LIMITS = {"max_bytes": 20_000_000, "max_pixels": 50_000_000}


def progressive(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (side, side), 90).save(stream, "JPEG", progressive=True)
    return stream.getvalue()


def with_more_scans(data: bytes, times: int) -> bytes:
    """Repeat the last scan, with its tables, before the end of the image."""
    last = data[data.rindex(b"\xff\xc4") : -2]
    return data[:-2] + last * times + b"\xff\xd9"


def test_ordinary_progressive_jpeg_is_read() -> None:
    assert decode(progressive(2000), **LIMITS).shape == (2000, 2000, 3)


@pytest.mark.defends("scan-bomb")
def test_scan_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_more_scans(progressive(7000), 400)
    assert len(bomb) < 1_000_000
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match="scans"):
        decode(bomb, **LIMITS)


@pytest.mark.defends("hidden-scans")
@pytest.mark.parametrize("marker", [0x02, 0x4F, 0xBF])
def test_scans_hidden_in_invalid_segments_count(marker: int) -> None:
    """Between restarts, decoders skip an invalid marker and read on right after it."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x02"
    hidden = bytes([0xFF, marker]) + (len(scan) * 1000 + 2).to_bytes(2, "big") + scan * 1000
    restarts = b"\xff\xdd\x00\x04\x00\x01"
    bomb = progressive(3000)[:-2] + restarts + scan + b"\x00\x00" + hidden + b"\xff\xd9"
    with pytest.raises(ImageTooLarge, match="scans"):
        decode(bomb, **LIMITS)


def jpeg(side: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8))[1])


@pytest.mark.defends("hidden-frame")
@pytest.mark.parametrize("marker", [0x00, 0x02, 0x4F, 0xBF])
def test_a_large_frame_hidden_where_decoders_skip_is_refused(marker: int) -> None:
    """Decoders read on right after FF 00, so an image can hide in what looks like its segment."""
    hidden, visible = jpeg(640), jpeg(16)[2:]
    data = b"\xff\xd8\xff" + bytes([marker]) + (len(hidden) + 2).to_bytes(2, "big")
    with pytest.raises(ImageError):
        decode(data + hidden + visible, max_bytes=1 << 20, max_pixels=1000)


def test_endless_markers_are_given_up() -> None:
    with pytest.raises(ImageError):
        read_header(b"\xff\xd8\xff" + b"\xd0\xff" * 1_000_000)


def test_wider_than_a_jpeg_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = bytes(cv2.imencode(".png", np.zeros((1, 65_501), np.uint8))[1])
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match="a side"):
        decode(wide, **LIMITS)


def with_exif(data: bytes, exif: bytes) -> bytes:
    """Insert an APP1 segment right after the first marker of a JPEG."""
    segment = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


ENTRY = b"\x01\x12\0\3\0\0\0\1"  # orientation, one short


@pytest.mark.defends("lying-exif")
@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"MM\0*",
        b"MM\0*\xff\xff\xff\xff",  # directory beyond the end
        b"MM\0*\0\0\0\x08\xff\xff" + ENTRY,  # claims 65,535 entries
        b"MM\0*\0\0\0\x08\0\1" + ENTRY + b"\0\x63\0\0\0\0\0\0",  # orientation 99
        b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\xff\xff\xff\xff\xff\xff\xff\xff",  # text of 4 GB
        b"MM\0*\0\0\0\x08\0\0\0\0\0\x08",  # the next directory is this one
        b"II*\0" + bytes(60_000),
    ],
)
def test_invalid_exif_rotates_nothing(exif: bytes) -> None:
    stripes = np.zeros((40, 60, 3), np.uint8)
    stripes[:20] = 200
    jpeg = bytes(cv2.imencode(".jpg", stripes)[1])
    image = decode(with_exif(jpeg, exif), **LIMITS)
    np.testing.assert_array_equal(image, decode(jpeg, **LIMITS))


@pytest.mark.defends("polyglot")
@pytest.mark.parametrize(
    "rest",
    [b"<script>alert(1)</script>", b"PK\3\4" + bytes(100), b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n"],
)
def test_a_file_of_two_formats_is_the_image_it_starts_with(rest: bytes) -> None:
    jpeg = bytes(cv2.imencode(".jpg", np.full((40, 60, 3), 90, np.uint8))[1])
    assert decode(jpeg + rest, **LIMITS).shape == (40, 60, 3)
    with pytest.raises(ImageError):
        decode(rest + jpeg, **LIMITS)


@pytest.mark.parametrize("place", ["after", "before"])
def test_embedded_videos_and_thumbnails_are_no_scans(place: str) -> None:
    whole = bytes(cv2.imencode(".jpg", np.zeros((3000, 4000, 3), np.uint8))[1])
    film = b"\xff\xda" * 400
    if place == "after":
        data = whole + film
    else:
        data = whole[:2] + b"\xff\xe5" + (len(film) + 2).to_bytes(2, "big") + film + whole[2:]
    assert decode(data, **LIMITS).shape == (3000, 4000, 3)


def inflated(size: int) -> bytes:
    """Deflate data that inflates to ``size`` zeros and a little more."""
    return zlib.compress(bytes(size), 9)


@pytest.mark.defends("inflated-png")
@pytest.mark.parametrize("part", [1 << 30, 8192])
def test_png_that_inflates_beyond_its_pixels_is_not_decoded(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = inflated(300 << 20)
    chunks = [png_chunk(b"IDAT", data[i : i + part]) for i in range(0, len(data), part)]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="more pixels"):
        decode(png_of(500, *chunks), **LIMITS)


@pytest.mark.defends("inflated-png")
def test_png_whose_pixels_are_longer_than_uncompressed_is_not_decoded() -> None:
    chunk = png_chunk(b"IDAT", zlib.compress(noise(300, 300).tobytes()))
    with pytest.raises(ImageError, match="more pixels"):
        decode(png_of(100, chunk), **LIMITS)


@pytest.mark.parametrize("extra", [0, 1000])
def test_large_compressible_png_is_decoded(extra: int) -> None:
    rows = bytes((1 + 3 * 7000) * 7000 + extra)
    assert decode(png_of(7000, png_chunk(b"IDAT", zlib.compress(rows))), **LIMITS).shape[0] == 7000


@pytest.mark.defends("repeated-chunks")
def test_repeated_png_chunks_reach_the_decoder_once(capfd: pytest.CaptureFixture[str]) -> None:
    exif, pixels = png_chunk(b"eXIf", b"MM\0*"), zlib.compress(bytes(301 * 100))
    data = png_of(100, *[exif] * 9000, png_chunk(b"IDAT", pixels))
    assert decode(data, **LIMITS).shape == (100, 100, 3)
    assert len(capfd.readouterr().err) < 1000


@pytest.mark.defends("repeated-chunks")
def test_png_of_hundreds_of_thousands_of_chunks_is_refused() -> None:
    with pytest.raises(ImageError, match="damaged"):
        decode(png_of(100, *[png_chunk(b"IDAT", b"")] * 300_000), **LIMITS)


@pytest.mark.defends("empty-raster")
@pytest.mark.parametrize(("bits", "coding"), [(1, 0), (8, 0), (24, 0), (32, 3), (8, 1), (4, 2)])
def test_bmp_without_its_pixels_is_refused_unread(bits: int, coding: int) -> None:
    with pytest.raises(ImageError, match="incomplete"):
        EncodedImage(bmp_file(7000, bits, coding, b""), **LIMITS)


@pytest.mark.defends("empty-raster")
def test_gif_without_its_pixels_is_refused_unread() -> None:
    flat = Image.new("P", (3000, 3000), 1)
    stream = io.BytesIO()
    flat.save(stream, "GIF")
    assert decode(stream.getvalue(), **LIMITS).shape == (3000, 3000, 3)
    with pytest.raises(ImageError, match="incomplete"):
        EncodedImage(stream.getvalue()[:800], **LIMITS)


@pytest.mark.defends("empty-raster")
def test_png_without_its_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="incomplete"):
        decode(png_of(7000, png_chunk(b"IDAT", inflated(1000))), **LIMITS)


@pytest.mark.parametrize(("bits", "row_bytes"), [(1, 4), (8, 32), (24, 92)])
def test_bmp_with_its_pixels_is_read(bits: int, row_bytes: int) -> None:
    side = 30
    data = bmp_file(side, bits, 0, bytes(row_bytes * side))
    assert decode(data, **LIMITS).shape == (side, side, 3)
