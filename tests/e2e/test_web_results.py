"""What visitors take away from the demo page: marks, tables, copies, summaries, hints."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from testing import photos

pytest.importorskip("playwright", reason="the demo page is NOT tested: playwright is missing")

from playwright.sync_api import Page, Route, expect

from tests.e2e.web.browser import PAGE_TIMEOUT_MS, sign_in, upload
from tests.e2e.web.pages import (
    OpenPage,
    answer_with,
    assert_fits,
    assert_no_violations,
    made_up_face,
    set_threshold,
)

expect.set_options(timeout=PAGE_TIMEOUT_MS)

MODEL = {"detector": "retinaface", "attributes": "agn-v2 2.1.0", "licence": "Apache-2.0"}


def face(x: int = 20, confidence: float = 0.997, **more: Any) -> dict[str, Any]:
    return made_up_face(x, confidence) | more


def answering(faces: list[dict[str, Any]], smallest_face: int = 16) -> Callable[[Route], None]:
    """Answer every request with these faces."""
    return answering_by_name({"": faces}, smallest_face)


def answering_by_name(
    faces_by_name: dict[str, list[dict[str, Any]]], smallest_face: int = 16
) -> Callable[[Route], None]:
    """Answer with the faces of the file, since several requests are in flight at a time."""

    def fulfil(route: Route) -> None:
        sent = (route.request.post_data_buffer or b"").decode(errors="replace")
        faces = next(faces for name, faces in faces_by_name.items() if name in sent)
        body = json.loads(answer_with(faces)) | {
            "model": MODEL,
            "smallest_face": smallest_face,
            "faces": [[*one["box"], 90, 120, one["confidence"], 36, "F"] for one in faces],
        }
        route.fulfill(body=json.dumps(body), content_type="application/json")

    return fulfil


def copies(portrait: Path, folder: Path, *names: str) -> list[Path]:
    """The same picture under other names."""
    for name in names:
        (folder / name).write_bytes(portrait.read_bytes())
    return [folder / name for name in names]


def saved(page: Page, button: str) -> tuple[str, bytes]:
    """Name and content of what a button saves."""
    with page.expect_download() as started:
        page.click(button)
    return started.value.suggested_filename, started.value.path().read_bytes()


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_boxes_have_numbers_and_say_what_speaks_against_a_face(
    open_page: OpenPage, portrait: Path
) -> None:
    page = open_page()
    doubtful = face(300, 0.9, reliable=False, reasons=["blurred", "age-uncertain"])
    page.route("**/predict", answering([face(), doubtful]))
    upload(page, portrait)
    expect(page.locator(".box .tag-number")).to_have_text(["1", "2"])
    expect(page.locator(".face .face-number")).to_have_text(["1", "2"])
    expect(page.locator(".box").nth(1).locator(".why")).to_contain_text("blurred")
    expect(page.locator(".face").nth(1)).to_contain_text(
        "Do not rely on it: blurred, age uncertain"
    )
    expect(page.locator(".box").nth(0).locator(".why")).to_have_count(0)


def test_no_estimate_is_called_certain(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    page.route("**/predict", answering([face(confidence=0.9999, gender_probability=0.9983)]))
    upload(page, portrait)
    expect(page.locator(".face-gender")).to_have_text("Female 99 % and more")
    expect(page.locator(".face")).to_contain_text("confidence 0.99")
    expect(page.locator(".box")).to_have_accessible_name(
        "Face 1: about 36 years, probably 28 to 46; female, 99 % and more"
    )
    assert "100 %" not in page.locator("body").inner_text()


def test_results_of_one_picture(open_page: OpenPage, portrait: Path) -> None:
    page = open_page(accept_downloads=True)
    doubtful = face(300, 0.6, reliable=False, reasons=["blurred", "small"])
    page.route("**/predict", answering([face(), doubtful, face(400, 0.3)]))
    upload(page, portrait)
    expect(page.locator(".face:visible")).to_have_count(2)
    name, data = saved(page, "#save-csv")
    assert name == "astronaut.csv"
    rows = rows_of(data)
    assert [row["face"] for row in rows] == ["1", "2"], "what is hidden is left out"
    assert rows[0]["file"] == "astronaut.png"
    assert (rows[0]["x1"], rows[0]["age"], rows[0]["age_low"]) == ("20", "36.4", "28.2")
    assert (rows[1]["reliable"], rows[1]["reasons"]) == ("false", "blurred small")
    assert (rows[1]["model"], rows[1]["licence"]) == ("agn-v2 2.1.0", "Apache-2.0")
    name, data = saved(page, "#save-json")
    assert name == "astronaut.json"
    (answer,) = json.loads(data)
    assert answer["file"] == "astronaut.png"
    assert [one["confidence"] for one in answer["details"]] == [0.997, 0.6]
    assert len(answer["faces"]) == 2
    page.check("input[value=answer]")
    shown = json.loads(page.locator("#snippet").inner_text())
    assert shown["details"] == answer["details"]


@pytest.mark.defends("csv-formula")
def test_results_of_all_pictures(open_page: OpenPage, portrait: Path, tmp_path: Path) -> None:
    page = open_page(accept_downloads=True, expected_errors=["415"])
    (formula,) = copies(portrait, tmp_path, "=cmd(), x.png")
    answer = answering_by_name({"x.png": [face()], "astronaut.png": []})

    def fulfil(route: Route) -> None:
        if b"notes.txt" in (route.request.post_data_buffer or b""):
            detail = "a text cannot be read: send a picture (readable: JPEG)"
            route.fulfill(status=415, body=json.dumps({"detail": detail}))
        else:
            answer(route)

    page.route("**/predict", fulfil)
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    upload(page, formula, portrait, notes)
    expect(page.locator(".thumb-status")).to_have_text(["1 face", "0 faces", "failed"])
    page.check("input[name=view][value=all]")
    name, data = saved(page, "#save-csv")
    assert name == "faces.csv"
    rows = rows_of(data)
    assert [row["face"] for row in rows] == ["1", "0", ""]
    assert rows[0]["file"] == "'" + formula.name, "no spreadsheet takes a name for a formula"
    assert "It is a text." in rows[2]["error"]
    _, data = saved(page, "#save-json")
    assert [result["file"] for result in json.loads(data)] == [
        formula.name,
        "astronaut.png",
        "notes.txt",
    ]


def test_gallery_and_summary(open_page: OpenPage, portrait: Path, tmp_path: Path) -> None:
    page = open_page()
    doubtful = face(300, 0.9, age=71.0, reliable=False, reasons=["blurred"], gender="M")
    faces = {"one.png": [face(), doubtful], "two.png": [face(age=38.0)], "three.png": []}
    page.route("**/predict", answering_by_name(faces))
    upload(page, *copies(portrait, tmp_path, *faces))
    expect(page.locator(".thumb-status")).to_have_text(["2 faces", "1 face", "0 faces"])
    page.check("input[name=view][value=all]")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator(".card-state").first).to_have_text("2 faces, 36–71 years")  # noqa: RUF001
    summary = page.locator("#summary")
    expect(summary).to_contain_text("37 years")
    expect(summary).to_contain_text("Without a face")
    expect(summary.locator(".doubt")).to_contain_text("blurred 1")
    expect(page.get_by_label("30 to 39 years: 2 faces")).to_be_visible()
    expect(page.get_by_label("70 to 79 years: 0 faces")).to_be_attached()
    page.get_by_text("Only the 2 reliable ones").click()
    expect(page.get_by_label("70 to 79 years: 1 face")).to_be_visible()
    set_threshold(page, 0.95)
    expect(page.locator(".card-state").first).to_have_text("1 face, 36 years")
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert_fits(page)
        assert_no_violations(page)
    page.locator(".card").nth(1).click()
    expect(page.locator("#picture-name")).to_be_focused()
    expect(page.locator(".face:visible")).to_have_count(1)


def test_genders_are_counted_with_their_uncertainty(open_page: OpenPage) -> None:
    page = open_page()
    counts = page.evaluate(
        """async () => {
          const { summarise } = await import("./assets/summary.js");
          const faces = Array.from({ length: 20 }, () => (
            { age: 30, gender: "F", gender_probability: 0.8, reliable: true }
          ));
          return summarise(faces, true).genders;
        }"""
    )
    # The 10 % and 90 % quantiles of the binomial distribution of 20 draws with 0.8.
    assert counts["female"] == {"expected": pytest.approx(16), "low": 14, "high": 18}
    assert counts["male"] == {"expected": pytest.approx(4), "low": 2, "high": 6}


def test_the_copy_is_drawn_as_it_is_seen(
    open_page: OpenPage, portrait: Path, tmp_path: Path
) -> None:
    page = open_page(accept_downloads=True)
    page.route("**/predict", answering([face(180, 0.9)]))
    upload(page, portrait)
    expect(page.locator(".face")).to_have_count(1)
    name, data = saved(page, "#download")
    assert name == "astronaut-faces.jpg"
    drawn, original = photos.decoded(data), photos.decoded(portrait.read_bytes())
    assert drawn.shape == original.shape
    difference = np.abs(drawn.astype(int) - original).mean(axis=2)
    assert difference[60:180, 179:182].mean() > 40, "the left edge of the box"
    assert difference[400:500, 0:100].mean() < 6
    assert open_page.predictions(page) == 1, "nothing is asked for twice"


def test_without_a_face_the_page_says_what_to_try(
    open_page: OpenPage, tmp_path: Path, portrait: Path
) -> None:
    page = open_page()
    page.route("**/predict", answering([], smallest_face=40))
    upload(page, portrait)
    page.check("input[value=fast]")
    hints = page.locator("#no-face")
    expect(hints).to_contain_text("Faces from 40 pixels up were looked for")
    assert_no_violations(page)
    with page.expect_request("**/predict"):
        hints.get_by_text("Smaller faces, from 20 pixels").click()
    expect(page.locator("#min-face")).to_have_value("20")
    with page.expect_request("**/predict"):
        hints.get_by_text("The accurate detector").click()
    expect(hints.get_by_text("The accurate detector")).to_have_count(0)
    page.unroute_all()
    page.route("**/predict", answering([face(confidence=0.3)]))
    with page.expect_request("**/predict"):
        hints.get_by_text("Turn the picture").click()
    expect(page.locator("#picture-name")).to_have_text("astronaut-turned.jpg")
    expect(hints).to_contain_text("1 box below the minimum confidence")
    hints.get_by_text("Show them").click()
    expect(page.locator(".face:visible")).to_have_count(1)
    expect(hints).to_be_hidden()


def test_a_picture_is_turned_by_a_quarter_clockwise(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(accept_downloads=True)
    page.route("**/predict", answering([]))
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = 255
    path = tmp_path / "halves.png"
    cv2.imwrite(str(path), picture)
    upload(page, path)
    page.get_by_text("Turn the picture").click()
    expect(page.locator("#picture")).to_have_js_property("naturalWidth", 40)
    _, data = saved(page, "#download")
    turned = photos.decoded(data)
    assert turned.shape[:2] == (80, 40)
    assert turned[:36].mean() > 240, "what was on the left is on top"
    assert turned[44:].mean() < 15


def test_the_model_and_its_licence_are_always_named(open_page: OpenPage, portrait: Path) -> None:
    page = open_page()
    expect(page.locator("#model")).to_contain_text("agn-v2")
    expect(page.locator("#model")).to_contain_text("licence Apache-2.0")
    expect(page.locator("footer")).to_contain_text("ATTRIBUTE_MODEL")
    sign_in(page)
    upload(page, portrait)
    expect(page.locator("#picture-facts")).to_contain_text("(Apache-2.0)")
