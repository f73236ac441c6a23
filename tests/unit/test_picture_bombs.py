"""Small files that ask for much work."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.vision import decode as picture
from age_gender.vision.headers import read_header

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
    assert picture.decode(progressive(2000), **LIMITS).shape == (2000, 2000, 3)


@pytest.mark.defends("scan-bomb")
def test_scan_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_more_scans(progressive(7000), 400)
    assert len(bomb) < 1_000_000
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match="scans"):
        picture.decode(bomb, **LIMITS)


@pytest.mark.defends("hidden-scans")
@pytest.mark.parametrize("marker", [0x02, 0x4F, 0xBF])
def test_scans_hidden_in_what_is_no_segment_count(marker: int) -> None:
    """Between restarts, decoders pass over an invalid marker and read on right behind it."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x02"
    hidden = bytes([0xFF, marker]) + (len(scan) * 1000 + 2).to_bytes(2, "big") + scan * 1000
    restarts = b"\xff\xdd\x00\x04\x00\x01"
    bomb = progressive(3000)[:-2] + restarts + scan + b"\x00\x00" + hidden + b"\xff\xd9"
    with pytest.raises(ImageTooLarge, match="scans"):
        picture.decode(bomb, **LIMITS)


def jpeg(side: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8))[1])


@pytest.mark.defends("hidden-frame")
@pytest.mark.parametrize("marker", [0x00, 0x02, 0x4F, 0xBF])
def test_a_large_frame_behind_what_decoders_pass_over_is_refused(marker: int) -> None:
    """They read on right behind FF 00, where a picture may lie in what looks like its data."""
    hidden, told = jpeg(640), jpeg(16)[2:]
    data = b"\xff\xd8\xff" + bytes([marker]) + (len(hidden) + 2).to_bytes(2, "big")
    with pytest.raises(ImageError):
        picture.decode(data + hidden + told, max_bytes=1 << 20, max_pixels=1000)


def test_markers_without_end_are_given_up() -> None:
    with pytest.raises(ImageError):
        read_header(b"\xff\xd8\xff" + b"\xd0\xff" * 1_000_000)


def test_wider_than_a_jpeg_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = bytes(cv2.imencode(".png", np.zeros((1, 65_501), np.uint8))[1])
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match="a side"):
        picture.decode(wide, **LIMITS)


def with_exif(data: bytes, exif: bytes) -> bytes:
    """A JPEG with an APP1 segment right behind its first marker."""
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
def test_exif_that_lies_turns_nothing(exif: bytes) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20] = 200
    jpeg = bytes(cv2.imencode(".jpg", image)[1])
    found = picture.decode(with_exif(jpeg, exif), **LIMITS)
    np.testing.assert_array_equal(found, picture.decode(jpeg, **LIMITS))


@pytest.mark.defends("polyglot")
@pytest.mark.parametrize(
    "rest",
    [b"<script>alert(1)</script>", b"PK\3\4" + bytes(100), b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n"],
)
def test_a_file_that_is_two_things_at_once_is_the_picture(rest: bytes) -> None:
    jpeg = bytes(cv2.imencode(".jpg", np.full((40, 60, 3), 90, np.uint8))[1])
    assert picture.decode(jpeg + rest, **LIMITS).shape == (40, 60, 3)
    with pytest.raises(ImageError):
        picture.decode(rest + jpeg, **LIMITS)


@pytest.mark.parametrize("place", ["behind", "before"])
def test_what_phones_put_beside_the_picture_is_no_scan(place: str) -> None:
    whole = bytes(cv2.imencode(".jpg", np.zeros((3000, 4000, 3), np.uint8))[1])
    film = b"\xff\xda" * 400
    if place == "behind":
        data = whole + film
    else:
        data = whole[:2] + b"\xff\xe5" + (len(film) + 2).to_bytes(2, "big") + film + whole[2:]
    assert picture.decode(data, **LIMITS).shape == (3000, 4000, 3)
