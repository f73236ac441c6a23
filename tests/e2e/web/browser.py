"""The machine's own Chromium, driven by Playwright without a download."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from testing.service import CREDENTIALS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    # Containers run tests as root, where Chromium's sandbox does not start.
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    # The browser itself would otherwise call home.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-quic",
    # A camera that shows a test pattern, allowed without asking.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
PAGE_TIMEOUT_MS = 30_000
"""Long enough for the first prediction, which loads the models, on a busy machine."""


def find_chromium() -> str | None:
    """Path of the browser: ``CHROMIUM``, or the first of the usual names on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(executable: str, *arguments: str) -> Iterator[Browser]:
    """A headless browser, with further arguments for its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, username: str = CREDENTIALS[0], password: str = CREDENTIALS[1]) -> None:
    """Fill in the dialogue, opening it first if the page has not."""
    if not page.locator("#sign-in").is_visible():
        page.click("#account")
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("#sign-in-form button[type=submit]")


def upload(page: Page, *files: Path) -> None:
    """Choose files as with the file dialogue."""
    page.set_input_files("#files", files)
