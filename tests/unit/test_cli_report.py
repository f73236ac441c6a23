"""`age-gender report`: one self-contained HTML file about the faces in a folder."""

import base64
import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from age_gender.cli.report_html import REASONS, age_bands
from age_gender.vision.face import Reason
from tests.unit.models import all_models
from tests.unit.pictures import decoded, encoded, portrait
from tests.unit.test_cli import run


class Page(HTMLParser):
    """Elements with their attributes, and the text of each script."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._script = ""
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = str(dict(attrs).get("id", "code")) if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = data
        else:
            self.words += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def faces(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.scripts["data"])["faces"]
        return found

    @property
    def csv(self) -> list[dict[str, str]]:
        (link,) = [a for a in self.named("a") if a.get("id") == "csv"]
        data = base64.b64decode((link["href"] or "").partition("base64,")[2])
        return list(csv.DictReader(io.StringIO(data.decode())))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A portrait twice, under names that look like HTML and like a formula, and no face."""
    all_models()
    folder = tmp_path / "album"
    (folder / "inner").mkdir(parents=True)
    (folder / "=cmd()|'x'!A1.png").write_bytes(encoded(portrait(), "PNG"))
    (folder / "inner" / "a <b>&amp;.jpg").write_bytes(encoded(portrait(), "JPEG", quality=95))
    (folder / "none.png").write_bytes(encoded(portrait()[:40, :40] * 0, "PNG"))
    return folder


@pytest.fixture
def page(album: Path, tmp_path: Path) -> Page:
    result = run("report", album, "-o", tmp_path / "out" / "r.html", "--size", "160")
    assert result.exit_code == 0, result.output
    assert "2 faces in 3 pictures" in result.stderr
    return Page(tmp_path / "out" / "r.html")


def test_everything_is_in_it(page: Page, album: Path) -> None:
    assert "2 faces in 3 pictures" in page.words.replace(":", "")
    assert len(page.named("figure")) == len(page.named("img")) == 3
    sizes = [
        decoded(base64.b64decode((image["src"] or "").partition("base64,")[2])).shape
        for image in page.named("img")
    ]
    assert sorted(sizes) == [(40, 40, 3), (160, 160, 3), (160, 160, 3)]
    assert [face["gender"] for face in page.faces] == ["F", "F"]
    boxes = [a for a in page.named("span") if "box" in (a.get("class") or "")]
    assert len(boxes) == 2
    assert str(album.parent) not in page.words + json.dumps(page.faces)


def test_nothing_is_fetched_and_only_its_own_script_runs(page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policy = next(a["content"] or "" for a in page.named("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy
    assert set(page.scripts) == {"data", "code"}


def test_names_are_text_and_no_formulas(page: Page) -> None:
    assert page.named("b")
    assert "a <b>&amp;.jpg" in page.words
    assert [row["file"] for row in page.csv] == [
        *("'=cmd()|'x'!A1.png", "inner/a <b>&amp;.jpg", "none.png"),
    ]


def test_the_csv_has_what_predict_prints(page: Page, album: Path) -> None:
    printed = list(csv.DictReader(io.StringIO(run("predict", album, "--csv").stdout)))
    for theirs, ours in zip(printed, page.csv, strict=True):
        assert {**theirs, "file": ""} == {**ours, "file": ""}


def test_blurred_pictures(album: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    result = run("report", album / "inner", "-o", path, "--blur", "--size", "300")
    assert result.exit_code == 0, result.output
    (image,) = Page(path).named("img")
    pixels = decoded(base64.b64decode((image["src"] or "").partition("base64,")[2])).astype(int)
    assert abs(pixels - portrait())[90:150, 100:150].mean() > 10


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-o", "report.pdf"], "has to end with .html"),
        (["-o", "/dev/null/r.html"], "cannot be written"),
        (["--model", "none-such"], "unknown model"),
        (["--model", "agn-v1"], "no longer exists"),
    ],
)
def test_wrong_usage_is_found_before_the_work(
    album: Path, arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album)
    result = run("report", ".", *arguments)
    assert result.exit_code == 2
    assert problem in " ".join(result.stderr.replace("│", " ").split())
    assert not list(album.glob("report*"))


def test_videos_are_refused_and_the_rest_is_done(album: Path, tmp_path: Path) -> None:
    (album / "x.mp4").write_bytes(b"")
    result = run("report", album / "inner", album / "x.mp4", "-o", tmp_path / "r.html")
    assert result.exit_code == 1
    assert "a report has no videos" in result.stderr
    assert len(Page(tmp_path / "r.html").faces) == 1


def test_ages_are_spread_as_their_intervals_say() -> None:
    bands = age_bands(34.5, (27.5, 41.5))
    assert sum(bands) == pytest.approx(1, abs=1e-6)
    assert int(np.argmax(bands)) == 3
    assert bands[2] == pytest.approx(bands[4], abs=1e-6)
    # An end of the interval that is an edge of a band leaves a tenth beyond it.
    assert sum(age_bands(35.0, (29.5, 50.0))[:3]) == pytest.approx(0.1, abs=1e-6)
    assert sum(age_bands(35.0, (30.0, 49.5))[5:]) == pytest.approx(0.1, abs=1e-6)
    assert age_bands(0.5, (0.2, 0.9))[0] == pytest.approx(1)
    assert age_bands(97.0, (90.0, 99.0))[9] > 0.85


def test_every_reason_has_words() -> None:
    assert tuple(REASONS) == get_args(Reason)
