"""Contact sheets: self-contained HTML, and PNG."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from age_gender.cli import sheet_html, sheet_png
from age_gender.cli.frames import Frame
from age_gender.cli.tiles import SIDE, Sheet, Tile, histogram, tiles_of
from age_gender.vision.face import Face
from age_gender.vision.render import COLOURS, encode_jpeg
from tests.unit.fakes import face_attributes
from tests.unit.pictures import decoded, noise

FLAT = np.full((SIDE, SIDE, 3), (30, 200, 90), np.uint8)


def tile(age: float = 32.4, gender: Any = "F", **more: Any) -> Tile:
    values: dict[str, Any] = {
        "jpeg": encode_jpeg(FLAT),
        "source": "a.jpg",
        "interval": (25.2, 40.6),
        "probability": 0.964,
        "reliable": True,
    }
    return Tile(age=age, gender=gender, **{**values, **more})


class Read(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, page: bytes):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_decades() -> None:
    ages = [0, 9.4, 9.5, 31, 39.4, 89.4, 89.5, 104]
    bars = histogram([tile(age) for age in ages] + [tile(31, "M")])
    counts = {bar.label: (bar.women, bar.men) for bar in bars if bar.women or bar.men}
    assert counts == {
        "0-9": (2, 0),
        "10-19": (1, 0),
        "30-39": (2, 1),
        "80-89": (1, 0),
        "90+": (2, 0),
    }
    assert len(bars) == 10


def test_a_thumbnail_is_centred_on_the_face() -> None:
    image = noise(200, 150)
    image[40:80, 100:130] = (250, 10, 20)
    face = Face((100, 40, 130, 80), 1, None, face_attributes(30.0, reliable=False))
    (made,) = tiles_of(Frame("x\ny.mp4", Path("x"), image, 2.5), [face])
    thumbnail = decoded(made.jpeg).astype(int)
    assert thumbnail.shape == (SIDE, SIDE, 3)
    assert abs(thumbnail[70:90, 70:90] - (250, 10, 20)).max() < 30
    assert made.source == r"x\ny.mp4 @ 2.50 s"
    assert (made.gender, made.reliable, made.interval) == (
        "M",
        False,
        (20.0, 40.0),
    )
    assert tiles_of(Frame("x", Path("x"), image), []) == []


class TestHtml:
    def test_faces_ages_and_counts(self) -> None:
        tiles = [tile(), tile(71.6, "M", reliable=False, source="b.png"), tile(35)]
        read = Read(sheet_html.render_html(Sheet(tiles, pictures=1204, failed=2)))
        assert "3 faces in 1,204 pictures" in read.text
        assert "2 files could not be read." in read.text
        assert "F 96 % 32 25–41 a.jpg" in read.text  # noqa: RUF001
        assert "M 96 % 72 25–41 not reliable b.png" in read.text  # noqa: RUF001
        heights = [a["style"] for tag, a in read.elements if tag == "i" and "style" in a]
        assert heights == ["height:140.0px", "height:70.0px"]
        assert "F 2 M 1" in read.text

    def test_it_is_self_contained(self) -> None:
        read = Read(sheet_html.render_html(Sheet([tile(), tile()], 2, 0)))
        images = [attributes["src"] or "" for tag, attributes in read.elements if tag == "img"]
        prefix = "data:image/jpeg;base64,"
        assert len(images) == 2
        assert decoded(base64.b64decode(images[0].removeprefix(prefix))).shape == (SIDE, SIDE, 3)
        others = [a for tag, a in read.elements if tag != "img"]
        assert not [a for a in others if {"src", "href", "srcset", "action"} & a.keys()]
        assert {tag for tag, _ in read.elements}.isdisjoint({"script", "link", "iframe", "object"})
        policy = next(a["content"] for tag, a in read.elements if a.get("http-equiv"))
        assert policy is not None
        assert policy.startswith("default-src 'none'")

    def test_names_are_text(self) -> None:
        name = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}"
        read = Read(sheet_html.render_html(Sheet([tile(source=name)], 1, 0)))
        assert name.replace(" ", "") in "".join(read.words)
        assert [tag for tag, _ in read.elements].count("img") == 1
        assert "script" not in {tag for tag, _ in read.elements}

    def test_no_faces(self) -> None:
        read = Read(sheet_html.render_html(Sheet([], 3, 0)))
        assert "0 faces in 3 pictures" in read.text


class TestPng:
    def test_faces_and_histogram(self) -> None:
        tiles = [tile(32), tile(32), tile(71, "M"), tile(32, source="long name " * 30)]
        image = decoded(sheet_png.render_png(Sheet(tiles, 4, 1)))
        thumbnails = (abs(image.astype(int) - (30, 200, 90)).max(axis=-1) < 12).sum()
        assert thumbnails == pytest.approx(4 * SIDE * SIDE, rel=0.02)
        bars = image[80:200]
        women = (bars == COLOURS["F"]).all(axis=-1)
        men = (bars[:, :870] == COLOURS["M"]).all(axis=-1)
        assert women[:, :870].sum() == pytest.approx(3 * men.sum(), rel=0.05)
        assert re.match(b"\x89PNG", sheet_png.render_png(Sheet(tiles, 4, 1)))

    def test_it_stays_within_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sheet_png, "MAX_TILES", 6)
        full = decoded(sheet_png.render_png(Sheet([tile()] * 6, 1, 0)))
        more = decoded(sheet_png.render_png(Sheet([tile()] * 7, 1, 0)))
        assert full.shape == more.shape
        assert (full[:70] != more[:70]).any(), "it says that faces are missing"

    def test_rows_and_columns_grow_together(self) -> None:
        image = decoded(sheet_png.render_png(Sheet([tile()] * 100, 1, 0)))
        height, width = image.shape[:2]
        assert 0.5 < height / width < 2

    def test_no_faces(self) -> None:
        image = decoded(sheet_png.render_png(Sheet([], 3, 0)))
        assert image.size
        assert not (image == COLOURS["F"]).all(axis=-1)[:, :800].any()
