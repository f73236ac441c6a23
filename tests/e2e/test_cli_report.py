"""A report from the command line, opened from disk in a real browser."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from testing.photos import decoded, encoded, photo
from testing.service import ROOT

pytest.importorskip("playwright", reason="the report is NOT tested: playwright is missing")

from playwright.sync_api import Browser, Page

from tests.e2e.web.browser import chromium, find_chromium
from tests.e2e.web.pages import assert_fits, assert_no_violations


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A woman, a man, the woman out of focus, and a picture without a face."""
    folder = tmp_path_factory.mktemp("album")
    astronaut = photo("astronaut").data
    blurred = np.asarray(cv2.GaussianBlur(decoded(astronaut), (0, 0), 5), np.uint8)
    (folder / 'a <b> & "c".png').write_bytes(astronaut)
    (folder / "b.jpg").write_bytes(photo("biden").data)
    (folder / "blurred.jpg").write_bytes(encoded(blurred))
    (folder / "none.png").write_bytes(encoded(decoded(astronaut)[:40, :40] * 0, ".png"))
    path = folder / "out" / "report.html"
    command = [sys.executable, str(ROOT / "local_runner.py"), "report", str(folder)]
    subprocess.run([*command, "-o", str(path), "--title", "An album"], check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip("the report is NOT tested: there is no Chromium")
    with chromium(executable) as started:
        yield started


def counted(page: Page) -> str:
    return " ".join(page.locator(".numbers").inner_text().split())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_needs_nothing_else(
    report: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(color_scheme=scheme, bypass_csp=False)
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert page.locator("h1").inner_text() == "An album"
    assert page.locator("figure").count() == 4
    assert "4 pictures 3 faces" in counted(page)
    assert "1 of 3 (33 %) unreliable" in counted(page)
    assert "1 of 3 (33 %)" in page.locator("#reasons").inner_text()
    assert page.locator("#pyramid rect").count() == 20
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert messages == []
    assert_no_violations(page)
    page.set_viewport_size({"width": 320, "height": 700})
    assert_fits(page)
    page.close()


def test_boxes_are_where_the_faces_are(report: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    figure = page.locator("figure").first
    image, box = figure.locator("img").bounding_box(), figure.locator(".box").bounding_box()
    assert image is not None
    assert box is not None
    expected = photo("astronaut").people[0].box
    scale = image["width"] / 512
    corner = box["x"] - image["x"], box["y"] - image["y"]
    assert corner == pytest.approx([side * scale for side in expected[:2]], abs=25 * scale)
    assert box["width"] == pytest.approx((expected[2] - expected[0]) * scale, rel=0.3)
    page.close()


def test_filters(report: Path, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.select_option("select[name=gender]", "M")
    page.select_option("select[name=reliable]", "yes")
    assert "1 face of 3" in counted(page)
    assert page.locator("figure:visible").count() == 1
    with page.expect_download() as download:
        page.click("#filtered")
    download.value.save_as(tmp_path / "shown.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "shown.csv").read_text())))
    assert [(row["file"], row["gender"]) for row in rows] == [("b.jpg", "M")]
    page.fill("input[name=to]", "20")
    assert "0 faces of 3" in counted(page)
    assert page.locator("#none").is_visible()
    page.click("button[type=reset]")
    page.wait_for_selector("#none", state="hidden")
    page.select_option("select[name=reliable]", "no")
    assert "1 of 1 (100 %) unreliable" in counted(page)
    assert page.locator("figure:visible .name").inner_text() == "blurred.jpg"
    page.click("button[type=reset]")
    page.fill("input[name=name]", "A <B>")
    assert "1 face of 3" in counted(page)
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(tmp_path / "all.csv")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 5
    page.close()
