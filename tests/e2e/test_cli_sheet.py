"""A contact sheet from the command line, opened from disk in a real browser."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from testing.photos import photo
from testing.service import ROOT

pytest.importorskip("playwright", reason="the contact sheet is NOT tested: playwright is missing")

from tests.e2e.web.browser import chromium, find_chromium
from tests.e2e.web.pages import assert_fits, assert_no_violations


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet")
    names = {"astronaut": 'a <b> & "c".png', "biden": "b.jpg", "sample1": "group.jpg"}
    for name, file in names.items():
        (folder / file).write_bytes(photo(name).data)
    path = folder / "out" / "sheet.html"
    command = [sys.executable, str(ROOT / "local_runner.py"), "predict", str(folder)]
    subprocess.run([*command, "--sheet", str(path)], check=True, timeout=120)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders_without_requests(sheet: Path, scheme: Literal["light", "dark"]) -> None:
    executable = find_chromium()
    if executable is None:
        pytest.skip("the contact sheet is NOT tested: there is no Chromium")
    with chromium(executable) as browser:
        page = browser.new_page(color_scheme=scheme, bypass_csp=False)
        messages: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(sheet.as_uri())
        assert page.locator("h1").inner_text() == "5 faces in 3 pictures"
        images = page.locator("li img")
        assert images.count() == 5
        for number in range(5):
            images.nth(number).scroll_into_view_if_needed()
            assert images.nth(number).evaluate("image => image.naturalWidth") == 160
            shown = images.nth(number).bounding_box()
            assert shown is not None
            assert shown["width"] == pytest.approx(shown["height"], abs=1), "not stretched"
        assert 'a <b> & "c".png' in page.locator(".tiles").inner_text()
        bars = page.locator(".bars i")
        assert sum(
            bar["height"] for i in range(bars.count()) if (bar := bars.nth(i).bounding_box())
        )
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        assert messages == []
        assert_no_violations(page)
        page.set_viewport_size({"width": 360, "height": 700})
        assert_fits(page)
