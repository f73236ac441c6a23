"""The demo page in a real browser: what a visitor does, sees and hears."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from testing import photos
from testing.service import CREDENTIALS, Service
from testing.web import serve_folder

pytest.importorskip("playwright", reason="the demo page is NOT tested: playwright is missing")

from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.web.browser import PAGE_TIMEOUT_MS, sign_in, upload
from tests.e2e.web.pages import (
    OpenPage,
    assert_fits,
    assert_no_violations,
    set_threshold,
    three_faces,
)

expect.set_options(timeout=PAGE_TIMEOUT_MS)

DROP = """([kind, name, data]) => {
  const transfer = new DataTransfer();
  if (kind === "file") {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
  } else {
    transfer.setData("text/uri-list", data);
    transfer.setData("text/plain", data);
  }
  const more = { bubbles: true, cancelable: true };
  if (name === "pasted.png") {
    document.body.dispatchEvent(new ClipboardEvent("paste", { ...more, clipboardData: transfer }));
    return;
  }
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { ...more, dataTransfer: transfer }));
  }
}"""


def test_an_uploaded_picture_gets_boxes_and_ages(
    open_page: OpenPage, portrait: Path, service: Service
) -> None:
    page = open_page()
    sign_in(page)
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(1)
    answer = service.predict(portrait.read_bytes(), face_detector="accurate", return_image=False)
    (predicted,) = answer["details"]
    expect(page.locator(".face-age")).to_have_text(str(round(predicted["age"])))
    low, high = predicted["age_interval"]
    expect(page.locator(".face-range")).to_have_text(f"{round(low)}–{round(high)}")  # noqa: RUF001
    expect(page.locator(".face-gender")).to_contain_text("Female")
    expect(page.locator("#status")).to_have_text("1 face found.")
    assert_box_over_face(page, predicted["box"])
    page.set_viewport_size({"width": 500, "height": 700})
    assert_box_over_face(page, predicted["box"])


def assert_box_over_face(page: Page, box: list[int]) -> None:
    picture = page.locator("#picture").bounding_box()
    drawn = page.locator(".box").bounding_box()
    assert picture is not None
    assert drawn is not None
    scale = picture["width"] / 512
    expected = {
        "x": picture["x"] + box[0] * scale,
        "y": picture["y"] + box[1] * scale,
        "width": (box[2] - box[0]) * scale,
        "height": (box[3] - box[1]) * scale,
    }
    assert drawn == pytest.approx(expected, abs=1)


def test_the_sample_asks_for_a_sign_in_and_goes_on(open_page: OpenPage) -> None:
    page = open_page(expected_errors=["401"])
    page.click("#sample")
    expect(page.locator("#sign-in")).to_be_visible()
    sign_in(page)
    expect(page.locator(".face")).to_have_count(1)
    expect(page.locator("#picture-name")).to_have_text("astronaut.jpg")


def test_nothing_looks_wrong_before_the_first_sign_in(open_page: OpenPage) -> None:
    page = open_page(expected_errors=["401"])
    page.focus("#sample")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.locator("#sign-in-problem")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#problem")).to_have_class("problem calm")
    expect(page.locator("#problem-retry")).to_be_hidden()
    expect(page.locator("#choose")).to_be_focused()
    page.focus("#problem-sign-in")
    page.keyboard.press("Enter")
    sign_in(page)
    expect(page.locator(".face")).to_have_count(1)
    assert page.evaluate("document.activeElement !== document.body"), "the focus is not lost"


def test_a_wrong_password_is_named_and_can_be_mended(open_page: OpenPage, portrait: Path) -> None:
    page = open_page(expected_errors=["401"])
    sign_in(page, password="wrong")
    upload(page, portrait, portrait, portrait)
    problem = page.locator("#sign-in-problem")
    expect(problem).to_have_text("The user name or the password is wrong.")
    assert open_page.predictions(page) == 1, "the other pictures are not sent in vain"
    page.click("#sign-in-cancel")
    expect(page.locator("#problem-title")).to_have_text("Please sign in")
    expect(page.locator("#problem-detail")).to_have_text(
        "This service needs a user name and a password."
    )
    page.click("#problem-sign-in")
    sign_in(page)
    expect(page.locator(".thumb-status")).to_have_text(["1 face"] * 3)
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.defends("stored-credentials")
def test_credentials_stay_in_the_tab(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    sign_in(page)
    page.reload()
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(1)
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    assert CREDENTIALS[1] not in page.locator("#snippet").inner_text()
    page.click("#account")
    assert page.evaluate("sessionStorage.length") == 0


def test_the_threshold_acts_at_once_and_a_detector_asks_again(
    open_page: OpenPage, portrait: Path
) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    upload(page, portrait)
    expect(page.locator(".face:visible")).to_have_count(2)
    expect(page.locator("#faces-count")).to_have_text("2 of 3")
    set_threshold(page, 0.2)
    expect(page.locator(".face:visible")).to_have_count(3)
    expect(page.locator(".box:visible")).to_have_count(3)
    set_threshold(page, 0.8)
    expect(page.locator(".face:visible")).to_have_count(1)
    expect(page.locator(".box:visible")).to_have_count(1)
    assert open_page.predictions(page) == 1
    with page.expect_request("**/predict"):
        page.check("input[value=fast]")
    expect(page.locator("#snippet")).to_contain_text("face_detector=fast")
    expect(page.locator(".face:visible")).to_have_count(1)
    page.check("input[value=accurate]")
    expect(page.locator("#snippet")).to_contain_text("face_detector=accurate")
    page.fill("#min-face", "60")
    with page.expect_request("**/predict"):
        page.press("#min-face", "Tab")
    expect(page.locator("#snippet")).to_contain_text("min_face=60")
    assert open_page.predictions(page) == 3, "known answers are not requested again"


def test_doubtful_faces_are_marked(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(3)
    set_threshold(page, 0.3)
    doubtful = page.locator(".face").nth(2)
    expect(doubtful).to_contain_text("Do not rely on it")
    expect(page.locator(".box").nth(2)).to_have_css("border-style", "dashed")
    expect(page.locator(".box").nth(2)).to_have_accessible_name(
        "Face 3: about 36 years, probably 28 to 46; female, 93 %; not reliable"
    )
    expect(page.locator(".box.doubtful")).to_have_count(1)


def test_list_and_picture_are_linked(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    upload(page, portrait)
    rows, boxes = page.locator(".face"), page.locator(".box")
    rows.nth(1).hover()
    expect(boxes.nth(1)).to_have_class("box hot")
    boxes.nth(0).hover()
    expect(rows.nth(0)).to_have_class("face hot")
    boxes.nth(0).click()
    expect(rows.nth(0)).to_have_attribute("aria-pressed", "true")
    rows.nth(1).click()
    expect(boxes.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(boxes.nth(0)).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Escape")
    expect(boxes.nth(1)).to_have_attribute("aria-pressed", "false")


def tab_stops(page: Page) -> list[str]:
    """Ids or classes of what the Tab key reaches, once around."""
    reached: list[str] = []
    while len(reached) < 100:
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "[document.activeElement.id, ...document.activeElement.classList, ''].find(Boolean)"
        )
        if reached and stop == reached[0]:
            break
        reached.append(stop)
    return reached


def test_everything_works_from_the_keyboard(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    upload(page, portrait, portrait)
    expect(page.locator(".thumb-status")).to_have_text(["2 faces"] * 2)
    reached = tab_stops(page)
    for stop in (
        *("skip", "account", "choose", "address", "remove", "threshold", "min-face"),
        *("boxes", "blur", "download", "face", "thumb", "clear", "copy"),
    ):
        assert stop in reached, (stop, reached)
    assert reached.count("box") == 1, "one stop over the picture, arrows between its faces"
    page.locator(".box").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".box").nth(1)).to_be_focused()
    expect(page.locator(".face").nth(1)).to_have_class("face hot")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".box").nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".face").nth(0)).to_have_attribute("aria-pressed", "true")


def test_several_pictures_one_of_them_broken(
    open_page: OpenPage, portrait: Path, text_file: Path
) -> None:
    page = open_page(expected_errors=["415"])
    sign_in(page)
    upload(page, portrait, text_file, portrait)
    expect(page.locator(".thumb-status")).to_have_text(["1 face", "failed", "1 face"])
    expect(page.locator("#progress")).to_be_hidden()
    page.locator(".thumb").nth(1).click()
    expect(page.locator("#problem-title")).to_have_text("This is not a picture that can be read")
    expect(page.locator("#problem-detail")).to_contain_text("JPEG, PNG, WebP, GIF, BMP")
    expect(page.locator("#problem-detail")).to_have_text(
        re.compile(r"^It is a text\. Use a picture"), use_inner_text=True
    )
    expect(page.locator("#problem-retry")).to_be_hidden()
    expect(page.locator("#code")).to_be_hidden()
    expect(page.locator(".thumb").nth(1)).to_contain_text("notes.txt")
    expect(page.locator("#problem-request")).to_contain_text("Request ")
    page.click("#remove")
    expect(page.locator("#picture-name")).to_have_text("astronaut.png")
    expect(page.locator("#problem")).to_be_hidden()
    page.click("#clear")
    expect(page.locator("#workspace")).to_be_hidden()
    expect(page.locator("#choose")).to_be_focused()


def test_the_picture_that_is_shown_is_in_view_in_the_queue(
    open_page: OpenPage, portrait: Path
) -> None:
    page = open_page(width=390, height=1000)
    page.route("**/predict", three_faces)
    upload(page, *[portrait] * 12)
    expect(page.locator("#progress")).to_be_hidden()
    upload(page, portrait)
    last = page.locator(".thumb").last
    expect(last).to_have_attribute("aria-current", "true")
    expect(last).to_be_in_viewport(ratio=0.9)
    page.locator("#queue-list").evaluate("list => { list.scrollLeft = 0; }")
    set_threshold(page, 0.8)
    expect(page.locator(".thumb").first).to_be_in_viewport(ratio=0.9)


def test_on_a_phone_the_faces_come_before_the_settings(open_page: OpenPage, portrait: Path) -> None:
    page = open_page(width=390, height=844)
    expect(page.get_by_text("Choose pictures or a video")).to_be_visible()
    expect(page.get_by_text("Drop pictures")).to_be_hidden()
    page.route("**/predict", three_faces)
    upload(page, portrait)
    expect(page.locator(".face:visible")).to_have_count(2)
    expect(page.locator("#threshold")).to_be_hidden()
    heights = page.locator("#faces-panel, #finding").evaluate_all(
        "all => all.map((panel) => panel.getBoundingClientRect().top)"
    )
    assert heights == sorted(heights), "the faces come first"
    page.set_viewport_size({"width": 320, "height": 700})
    header = page.locator("header.top").bounding_box()
    assert header is not None
    assert header["height"] < 72, "one line"
    page.get_by_text("Finding faces").click()
    expect(page.locator("#threshold")).to_be_visible()


def test_what_is_said_aloud_is_said_once(
    open_page: OpenPage, portrait: Path, text_file: Path
) -> None:
    page = open_page(expected_errors=["415"])
    sign_in(page)
    upload(page, text_file)
    expect(page.locator("#problem")).to_have_role("alert")
    expect(page.locator("#problem-title")).to_be_visible()
    expect(page.locator("#status")).to_have_text("")
    upload(page, portrait)
    expect(page.locator("#status")).to_have_text("astronaut.png: 1 face found.")


def test_too_large_a_file_is_refused_before_it_is_sent(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(20 * 1024 * 1024 + 1)
    upload(page, large)
    expect(page.locator("#problem-detail")).to_contain_text("at most 20 MB")
    assert open_page.predictions(page) == 0


def test_a_busy_service_is_asked_once_more_when_it_says(
    open_page: OpenPage, portrait: Path
) -> None:
    page = open_page(expected_errors=["429"])
    busy = json.dumps({"detail": "all workers are busy", "code": "busy"})

    def refuse(route: Route) -> None:
        route.fulfill(
            status=429,
            body=busy,
            headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
        )

    page.route("**/predict", refuse)
    upload(page, portrait)
    expect(page.locator("#status")).to_have_text("The service is busy: trying again in 1 s.")
    expect(page.locator("#problem-title")).to_have_text("The service is busy")
    expect(page.locator("#problem-detail")).to_have_text("All workers are busy.")
    assert open_page.predictions(page) == 2
    expect(page.locator("#problem-retry")).to_be_visible()
    page.unroute("**/predict")
    page.route("**/predict", three_faces)
    page.click("#problem-retry")
    expect(page.locator(".face:visible")).to_have_count(2)


@pytest.mark.parametrize(
    ("status", "body", "title", "detail"),
    [
        (
            413,
            {"detail": "the picture has 9000 x 9000 pixels"},
            "This picture is too large",
            "9000 x 9000",
        ),
        (
            422,
            {"detail": "min_face: too small"},
            "A setting is out of range",
            "min_face: too small",
        ),
        (
            424,
            {"detail": "no such host"},
            "The picture could not be fetched",
            "No such host.",
        ),
        (500, {"detail": "see the log"}, "Something went wrong in the service", "See the log."),
        (502, None, "The service refused", "status 502"),
    ],
)
def test_each_problem_is_explained(
    open_page: OpenPage,
    portrait: Path,
    status: int,
    body: dict[str, str] | None,
    title: str,
    detail: str,
) -> None:
    page = open_page(expected_errors=[str(status)])
    text = "<h1>Bad gateway</h1>" if body is None else json.dumps(body)
    page.route("**/predict", lambda route: route.fulfill(status=status, body=text))
    upload(page, portrait)
    expect(page.locator("#problem-title")).to_have_text(title)
    expect(page.locator("#problem-detail")).to_contain_text(detail)
    expect(page.locator("#problem")).to_have_attribute("role", "alert")


def test_an_unreachable_service_is_reported_and_tried_again(
    open_page: OpenPage, portrait: Path
) -> None:
    page = open_page(expected_errors=["ERR_FAILED"])
    page.route("**/predict", lambda route: route.abort())
    upload(page, portrait)
    expect(page.locator("#problem-title")).to_have_text("The service cannot be reached")
    page.unroute("**/predict")
    sign_in(page)
    page.click("#problem-retry")
    expect(page.locator(".face")).to_have_count(1)


def test_pasted_and_dropped_pictures(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    data = base64.b64encode(portrait.read_bytes()).decode()
    page.evaluate(DROP, ["file", "pasted.png", data])
    expect(page.locator("#picture-name")).to_have_text("pasted.png")
    page.evaluate(DROP, ["file", "dropped.png", data])
    expect(page.locator("#picture-name")).to_have_text("dropped.png")
    expect(page.locator("#drop-veil")).to_be_hidden()
    page.evaluate(DROP, ["link", "dropped", "https://pictures.example/people.jpg"])
    expect(page.locator("#picture-name")).to_have_text("people.jpg")
    expect(page.locator("#snippet")).to_contain_text("url=https://pictures.example/people.jpg")


def test_an_address_is_checked_here_and_by_the_service(open_page: OpenPage) -> None:
    page = open_page(expected_errors=["400"])
    sign_in(page)
    page.fill("#address", "not an address")
    page.press("#address", "Enter")
    expect(page.locator("#address-problem")).to_contain_text("Give a full address")
    expect(page.locator("#address")).to_have_attribute("aria-invalid", "true")
    assert_not_stretched(page)
    page.locator("#address").press_sequentially("x")
    expect(page.locator("#address-problem")).to_be_hidden()
    expect(page.locator("#address")).not_to_have_attribute("aria-invalid", "true")
    page.fill("#address", "http://127.0.0.1/people.jpg")
    page.press("#address", "Enter")
    expect(page.locator("#address-problem")).to_be_hidden()
    expect(page.locator("#problem-title")).to_have_text("This address cannot be used")
    expect(page.locator("#problem-detail")).not_to_be_empty()
    expect(page.locator("#problem-retry")).to_be_hidden()
    expect(page.locator("#code")).to_be_hidden()
    page.fill("#address", "not an address")
    page.press("#address", "Enter")
    expect(page.locator("#address-problem")).to_be_visible()
    assert_not_stretched(page)


def assert_not_stretched(page: Page) -> None:
    for button in ("#choose", "#by-address button"):
        box = page.locator(button).bounding_box()
        assert box is not None
        assert box["height"] < 50, button


@pytest.fixture
def picture_server(portrait: Path) -> Iterator[str]:
    with serve_folder(portrait.parent) as address:
        yield f"{address}/{portrait.name}"


def test_a_picture_from_an_address_is_shown(
    open_page: OpenPage, picture_server: str, tmp_path: Path
) -> None:
    with Service(tmp_path / "log", ALLOW_PRIVATE_URLS="true", AUTH="off") as lenient:
        page = open_page(lenient.url)
        page.fill("#address", picture_server)
        page.press("#address", "Enter")
        expect(page.locator(".face")).to_have_count(1)
        expect(page.locator("#picture")).to_have_js_property("naturalWidth", 512)
        expect(page.locator("#sign-in")).to_be_hidden()


def test_blur_and_download(open_page: OpenPage, portrait: Path, tmp_path: Path) -> None:
    page = open_page(accept_downloads=True)
    sign_in(page)
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(1)
    before = page.locator("#picture").get_attribute("src")
    page.check("#blur")
    expect(page.locator("#picture")).not_to_have_attribute("src", before)
    expect(page.locator("#frame")).to_have_class("frame")
    assert open_page.predictions(page) == 2, "the copy is requested once"
    expect(page.locator("#blur-hint")).to_be_visible()
    page.uncheck("#boxes")
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == "astronaut-blurred.jpg"
    started.value.save_as(tmp_path / "copy.jpg")
    blurred = photos.decoded((tmp_path / "copy.jpg").read_bytes())
    original = photos.decoded(portrait.read_bytes())
    face, elsewhere = (slice(80, 160), slice(190, 260)), (slice(400, 500), slice(0, 60))
    assert abs(blurred[face].astype(int) - original[face]).mean() > 10
    assert abs(blurred[elsewhere].astype(int) - original[elsewhere]).mean() < 6


def test_the_camera_takes_a_picture(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    page.click("#camera")
    page.locator("#camera-shoot:enabled").click()
    expect(page.locator("#picture-name")).to_have_text("camera.jpg")
    expect(page.locator("#camera-view")).to_have_js_property("srcObject", None)


def test_no_camera_no_button(browser: Browser, service: Service) -> None:
    context = browser.new_context()
    context.add_init_script(
        "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })"
    )
    page = context.new_page()
    page.goto(service.url)
    expect(page.locator("#choose")).to_be_visible()
    expect(page.locator("#camera")).to_be_hidden()
    context.close()


def snippet(page: Page, language: str) -> str:
    page.check(f"input[value={language}]")
    return page.locator("#snippet").inner_text()


def test_the_snippets_run(open_page: OpenPage, portrait: Path, tmp_path: Path) -> None:
    page = open_page()
    sign_in(page)
    awkward = tmp_path / 'it\'s, a "test"; 1.png'
    awkward.write_bytes(portrait.read_bytes())
    upload(page, awkward)
    expect(page.locator(".face")).to_have_count(1)
    age = page.locator(".face-age").inner_text()

    if shutil.which("curl"):
        command = snippet(page, "curl").replace("-u sugar", f"-su {':'.join(CREDENTIALS)}")
        out = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)
        assert str(json.loads(out.stdout)["faces"][0][7]) == age

    program = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", snippet(page, "python")],
        cwd=tmp_path,
        input=f"{CREDENTIALS[1]}\n",
        text=True,
        capture_output=True,
        start_new_session=True,  # without a terminal, the password is read from the input
        check=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    assert "'F'" in program.stdout or program.stdout.rstrip().endswith("F")

    page.check("#blur")
    written = snippet(page, "python")
    assert '"blur": "true"' in written
    assert "write_bytes" in written


def test_copying_a_snippet(open_page: OpenPage, portrait: Path) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.route("**/predict", three_faces)
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(3)
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#snippet").inner_text()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_scrolls_sideways(
    open_page: OpenPage, portrait: Path, text_file: Path, width: int
) -> None:
    page = open_page(width=width, height=740, expected_errors=["415"])
    assert_fits(page)
    sign_in(page)
    upload(page, portrait, text_file, portrait, portrait)
    expect(page.locator(".thumb-status")).to_have_text(["1 face", "failed", "1 face", "1 face"])
    assert_fits(page)
    page.locator(".thumb").nth(1).click()
    expect(page.locator("#problem")).to_be_visible()
    assert_fits(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_accessible(
    open_page: OpenPage,
    portrait: Path,
    text_file: Path,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    page = open_page(
        width=width, color_scheme=scheme, reduced_motion="reduce", expected_errors=["415"]
    )
    assert_no_violations(page)
    page.click("#account")
    assert_no_violations(page)
    sign_in(page)
    upload(page, portrait, text_file)
    expect(page.locator(".thumb-status")).to_have_text(["1 face", "failed"])
    page.locator(".face").click()
    assert_no_violations(page)
    page.locator(".thumb").nth(1).click()
    expect(page.locator("#problem")).to_be_visible()
    assert_no_violations(page)
    page.unroute_all()
    page.route("**/predict", three_faces)
    page.locator("#finding").evaluate("details => { details.open = true; }")
    page.check("input[value=fast]")
    page.locator(".thumb").nth(0).click()
    set_threshold(page, 0.2)
    expect(page.locator(".doubt")).to_be_visible()
    assert_no_violations(page)
    page.click("#camera")
    expect(page.locator("#camera-shoot")).to_be_enabled()
    assert_no_violations(page)


def test_motion_is_left_out_on_request(open_page: OpenPage, portrait: Path) -> None:
    page = open_page(reduced_motion="reduce")
    page.route("**/predict", lambda _: None)  # never answered: the page goes on looking
    upload(page, portrait)
    expect(page.locator("#frame")).to_have_class("frame working")
    animation = "getComputedStyle(document.getElementById('frame'), '::after').animationName"
    assert page.evaluate(animation) == "none"


def test_no_link_is_dead(open_page: OpenPage, service: Service) -> None:
    for page in (open_page(), open_docs(open_page, service)):
        links = page.locator("a[href]").evaluate_all("all => all.map((link) => link.href)")
        own = {link.split("#")[0] for link in links}
        assert len(own) >= 2
        for link in own:
            assert service.get(link.removeprefix(service.url)).status_code == 200, link


def test_the_reference_shows_what_the_service_says_of_itself(
    open_page: OpenPage, service: Service
) -> None:
    page = open_docs(open_page, service)
    described = service.get("/openapi.json").json()
    expect(page.locator("#title")).to_contain_text(described["info"]["version"])
    for path in described["paths"]:
        expect(page.get_by_role("heading", name=path, exact=False).first).to_be_visible()
    for name in ("confidence", "min_face", "age_interval"):
        expect(page.get_by_role("rowheader", name=name, exact=True).first).to_be_visible()
    assert_no_violations(page)
    page.set_viewport_size({"width": 320, "height": 700})
    assert_fits(page)


def open_docs(open_page: OpenPage, service: Service) -> Page:
    page = open_page()
    page.goto(f"{service.url}/docs")
    expect(page.locator("#status")).to_have_count(0)
    return page
