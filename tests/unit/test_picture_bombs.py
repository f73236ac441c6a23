"""Small files that ask for much work."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from age_gender import picture
from age_gender.errors import PictureError, PictureTooLarge

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


def test_scan_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_more_scans(progressive(7000), 400)
    assert len(bomb) < 1_000_000
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PictureTooLarge, match="scans"):
        picture.decode(bomb, **LIMITS)


def test_markers_without_end_are_given_up() -> None:
    with pytest.raises(PictureError):
        picture.read_header(b"\xff\xd8\xff" + b"\xd0\xff" * 1_000_000)


def test_wider_than_a_jpeg_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = bytes(cv2.imencode(".png", np.zeros((1, 65_501), np.uint8))[1])
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PictureTooLarge, match="a side"):
        picture.decode(wide, **LIMITS)
