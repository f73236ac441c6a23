"""The documentation's site in a real browser, opened from disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docsite.build import build

pytest.importorskip("playwright", reason="the site is NOT tested: playwright is missing")

from playwright.sync_api import Browser, Page

from tests.e2e.web.browser import chromium, find_chromium
from tests.e2e.web.pages import assert_fits, assert_no_violations


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site") / "made").folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip("the site is NOT tested: there is no Chromium")
    with chromium(executable) as started:
        yield started


def watched(page: Page) -> tuple[list[str], list[str]]:
    """Addresses that a page requests from now on, and its errors."""
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    return requests, errors


def test_pages_need_nothing_else_and_are_accessible(site: Path, browser: Browser) -> None:
    for scheme, name in (("light", "start.html"), ("dark", "choose.html")):
        page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        requests, errors = watched(page)
        page.goto((site / name).as_uri())
        assert page.locator("nav [aria-current=page]").count() == 1
        assert_no_violations(page)
        page.set_viewport_size({"width": 320, "height": 700})
        page.reload()
        assert not page.locator("nav li a").first.is_visible()
        assert_fits(page)
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        assert errors == []
        page.close()


def test_search_finds_a_section(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((site / "adr" / "0001-litert-by-default.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("retry-after busy")
    first = page.locator("#found a").first
    first.wait_for()
    first.click()
    page.wait_for_load_state()
    assert "Retry-After" in page.locator("main").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("xyzzy plugh")
    page.wait_for_function("document.getElementById('found').textContent.startsWith('Nothing')")
    page.close()
