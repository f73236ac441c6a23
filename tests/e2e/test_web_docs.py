"""The reference of the API in a real browser: it sends requests and shows what comes back."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testing.service import CREDENTIALS, Service

pytest.importorskip("playwright", reason="the reference is NOT tested: playwright is missing")

from playwright.sync_api import Locator, Page, expect

from tests.e2e.web.browser import PAGE_TIMEOUT_MS, sign_in
from tests.e2e.web.pages import OpenPage, assert_fits, assert_no_violations

expect.set_options(timeout=PAGE_TIMEOUT_MS)


def opened(open_page: OpenPage, service: Service, **options: Any) -> Page:
    page = open_page(**options)
    page.goto(f"{service.url}/docs")
    expect(page.locator("#status")).to_have_count(0)
    return page


def tried(page: Page, operation: str) -> Locator:
    """The opened form of one operation."""
    form = page.locator(f"#try-{operation}")
    form.locator("summary").first.click()
    return form


def answer_of(form: Locator) -> Any:
    return json.loads(form.get_by_label("Answer", exact=True).inner_text())


def test_a_prediction_is_sent_in_each_way(
    open_page: OpenPage, service: Service, portrait: Path, tmp_path: Path
) -> None:
    page = opened(open_page, service)
    sign_in(page)
    form = tried(page, "post-predict")
    form.locator("input[name=image]").set_input_files(portrait)
    form.locator("select[name=face_detector]").select_option("accurate")
    form.locator("select[name=return_image]").select_option("false")
    form.locator("input[name=over_age]").fill("18,25")
    expected = service.predict(
        portrait.read_bytes(), face_detector="accurate", return_image=False, over_age=[18, 25]
    )
    (tmp_path / portrait.name).write_bytes(portrait.read_bytes())
    for way in ("Form", "JSON", "Picture"):
        form.get_by_label(way, exact=True).check()
        form.get_by_role("button", name="Send").click()
        expect(form.locator(".try-good")).to_contain_text("200")
        assert answer_of(form)["details"] == expected["details"], way
        command = form.get_by_label("as curl").inner_text()
        assert CREDENTIALS[1] not in command
        if all(map(shutil.which, ("bash", "curl", "jq", "base64"))):
            command = command.replace("-u sugar", f"-su {':'.join(CREDENTIALS)}")
            ran = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True
            )
            assert json.loads(ran.stdout)["details"] == expected["details"], command
    form.get_by_text("Response headers").click()
    expect(form.locator(".try-answer")).to_contain_text("server-timing: ")


def test_the_returned_picture_is_shown(
    open_page: OpenPage, service: Service, portrait: Path
) -> None:
    page = opened(open_page, service, accept_downloads=True)
    sign_in(page)
    form = tried(page, "post-predict")
    form.locator("input[name=image]").set_input_files(portrait)
    form.get_by_role("button", name="Send").click()
    expect(form.locator(".try-picture")).to_have_js_property("naturalWidth", 512)
    assert len(answer_of(form)["image"]) < 100, "the text is shortened on the screen"
    with page.expect_download() as started:
        form.get_by_text("Save the answer").click()
    assert len(json.loads(started.value.path().read_text())["image"]) > 10_000
    assert_no_violations(page)
    page.set_viewport_size({"width": 320, "height": 700})
    assert_fits(page)


def test_without_credentials_it_asks_and_goes_on(
    open_page: OpenPage, service: Service, portrait: Path
) -> None:
    page = opened(open_page, service, expected_errors=["401"])
    form = tried(page, "post-predict")
    form.locator("input[name=image]").set_input_files(portrait)
    form.get_by_role("button", name="Send").click()
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.locator("#sign-in-problem")).to_be_hidden()
    sign_in(page)
    expect(form.locator(".try-good")).to_contain_text("200")


def test_a_problem_is_shown_as_it_came(open_page: OpenPage, service: Service) -> None:
    page = opened(open_page, service, expected_errors=["400"])
    sign_in(page)
    form = tried(page, "post-predict")
    form.get_by_role("button", name="Send").click()
    expect(form.locator(".try-bad")).to_contain_text("400")
    assert answer_of(form)["code"] == "no-picture"


def test_values_out_of_range_are_not_sent(open_page: OpenPage, service: Service) -> None:
    page = opened(open_page, service)
    form = tried(page, "post-predict")
    form.locator("input[name=confidence]").fill("7")
    form.get_by_role("button", name="Send").click()
    expect(form.locator("input[name=confidence]")).to_be_focused()
    assert open_page.predictions(page) == 0


@pytest.mark.parametrize(("operation", "field"), [("get-health", "status"), ("get-model", "name")])
def test_other_routes_need_no_fields(
    open_page: OpenPage, service: Service, operation: str, field: str
) -> None:
    page = opened(open_page, service)
    form = tried(page, operation)
    expect(form.locator("input")).to_have_count(0)
    form.get_by_role("button", name="Send").click()
    expect(form.locator(".try-good")).to_contain_text("200")
    assert field in answer_of(form)
