"""Tabs that record what they request and report, and what tests of the page have in common."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Route

from tests.e2e.web.browser import PAGE_TIMEOUT_MS


@dataclass
class Record:
    """One tab: where it was opened, the errors the test expects, its requests and its errors."""

    home: str
    expected_errors: Sequence[str]
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def check(self) -> None:
        """No unexpected error, and no request to anything but the service."""
        unexpected = [
            text for text in self.errors if not any(word in text for word in self.expected_errors)
        ]
        assert unexpected == []
        own = (f"{self.home}/", f"blob:{self.home}/")
        assert [url for url in self.requests if not url.startswith(own)] == []


class OpenPage:
    """Opens the page in tabs of their own and records what each requests and reports as an error.

    ``expected_errors`` are parts of console messages that do not fail the test.
    """

    def __init__(self, browser: Browser, home: str):
        self._browser = browser
        self._home = home
        self._tabs: dict[Page, Record] = {}

    def __call__(
        self,
        url: str | None = None,
        *,
        width: int = 1280,
        height: int = 900,
        expected_errors: Sequence[str] = (),
        color_scheme: Literal["light", "dark"] | None = None,
        reduced_motion: Literal["reduce"] | None = None,
        accept_downloads: bool | None = None,
        permissions: Sequence[str] | None = None,
    ) -> Page:
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=color_scheme,
            reduced_motion=reduced_motion,
            accept_downloads=accept_downloads,
            permissions=permissions,
        )
        page = context.new_page()
        page.set_default_timeout(PAGE_TIMEOUT_MS)
        record = self._tabs[page] = Record(url or self._home, expected_errors)

        def note_message(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                record.errors.append(message.text)

        page.on("console", note_message)
        page.on("pageerror", lambda error: record.errors.append(str(error)))
        page.on("request", lambda request: record.requests.append(request.url))
        page.goto(record.home)
        return page

    def predictions(self, page: Page) -> int:
        """How many predictions a tab has requested so far."""
        return sum(url.endswith("/predict") for url in self._tabs[page].requests)

    def close(self) -> None:
        """Close all tabs, then check their records."""
        for page in self._tabs:
            page.context.close()
        for record in self._tabs.values():
            record.check()


def set_threshold(page: Page, value: float) -> None:
    page.locator("#threshold").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def answer_with(details: list[dict[str, Any]]) -> str:
    return json.dumps({"details": details, "image_size": [512, 512], "inference_time": 12.3})


def made_up_face(x: int, confidence: float, *, reliable: bool = True) -> dict[str, Any]:
    return {
        "box": [x, 60, x + 90, 180],
        "confidence": confidence,
        "landmarks": None,
        "age": 36.4,
        "age_interval": [28.2, 45.9],
        "gender": "F",
        "gender_probability": 0.93,
        "quality": {"size": 90.0, "sharpness": 0.4, "yaw": None, "roll": None},
        "reliable": reliable,
    }


def three_faces(route: Route) -> None:
    faces = [
        made_up_face(20, 0.99),
        made_up_face(200, 0.7),
        made_up_face(380, 0.4, reliable=False),
    ]
    route.fulfill(body=answer_with(faces), content_type="application/json")


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def assert_no_violations(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
