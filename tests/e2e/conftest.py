"""Fixtures of the tests of the demo page.

Playwright is imported when it is needed: without it, only those tests are skipped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testing import photos
from testing.service import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.web.pages import OpenPage


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """Headless Chromium with a camera that two people are in front of."""
    from tests.e2e.web.browser import chromium, find_chromium
    from tests.e2e.web.clips import camera_file

    executable = find_chromium()
    if executable is None:
        pytest.skip("the demo page is NOT tested: there is no Chromium (apt install chromium)")
    camera = camera_file(tmp_path_factory.mktemp("camera"))
    with chromium(executable, f"--use-file-for-fake-video-capture={camera}") as started:
        yield started


@pytest.fixture
def open_page(browser: "Browser", service: Service) -> "Iterator[OpenPage]":
    """Open the page in tabs that are checked and closed after the test."""
    from tests.e2e.web.pages import OpenPage

    opener = OpenPage(browser, service.url)
    yield opener
    opener.close()


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one face."""
    path = tmp_path_factory.mktemp("pictures") / "astronaut.png"
    path.write_bytes(photos.photo("astronaut").data)
    return path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A file that is no picture."""
    path = tmp_path / "notes.txt"
    path.write_text("no picture at all")
    return path
