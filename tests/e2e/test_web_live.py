"""Camera and video on the demo page: frames at a bounded rate, joined into people."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from age_gender.cli.tracks import Tracker
from age_gender.vision.face import Face
from tests.unit.fakes import face_attributes

pytest.importorskip("playwright", reason="the demo page is NOT tested: playwright is missing")

from playwright.sync_api import Page, Route, expect

from tests.e2e.web.browser import PAGE_TIMEOUT_MS, sign_in, upload
from tests.e2e.web.clips import ENTRANCE, SECONDS, video_file
from tests.e2e.web.pages import (
    OpenPage,
    assert_fits,
    assert_no_violations,
    made_up_face,
    three_faces,
)

expect.set_options(timeout=PAGE_TIMEOUT_MS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_file(tmp_path_factory.mktemp("clip"))


def saved(page: Page, button: str) -> dict[str, Any]:
    with page.expect_download() as started:
        page.click(button)
    content: dict[str, Any] = json.loads(started.value.path().read_text())
    return content


def test_people_in_a_video_are_counted_once(open_page: OpenPage, clip: Path) -> None:
    page = open_page(accept_downloads=True)
    sign_in(page)
    upload(page, clip)
    expect(page.locator("#live-stop")).to_have_text("Close")
    expect(page.locator("#people li")).to_have_count(2)
    expect(page.locator("#status")).to_have_text("2 people seen.")
    result = saved(page, "#save-json")
    first, second = result["people"]
    assert (first["gender"], second["gender"]) == ("F", "M")
    assert abs(first["first_seconds"]) < 0.1
    assert second["first_seconds"] == pytest.approx(ENTRANCE, abs=0.3)
    assert second["frames"] < first["frames"] == SECONDS * 4
    assert result["model"]["licence"] == "Apache-2.0"
    assert_no_violations(page)
    page.click("#live-stop")
    expect(page.locator("#workspace")).to_be_hidden()


def test_the_camera_is_watched_until_it_is_stopped(open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page)
    page.click("#camera")
    page.locator("#camera-live:enabled").click()
    expect(page.locator("#people li")).to_have_count(2)
    expect(page.locator("#live-overlay .box")).to_have_count(2)
    expect(page.locator("#live-facts")).to_contain_text("a second")
    page.set_viewport_size({"width": 320, "height": 700})
    assert_fits(page)
    page.click("#live-stop")
    expect(page.locator("#live-stop")).to_have_text("Close")
    expect(page.locator("#live-video")).to_have_js_property("srcObject", None)
    sent = open_page.predictions(page)
    page.wait_for_timeout(600)
    assert open_page.predictions(page) == sent
    assert_no_violations(page)


def test_the_rate_is_bounded_and_one_frame_is_in_flight(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/predict", three_faces)
    page.click("#camera")
    page.locator("#camera-live:enabled").click()
    expect(page.locator("#live-overlay .box")).to_have_count(3)
    before = open_page.predictions(page)
    page.wait_for_timeout(1000)
    assert open_page.predictions(page) - before <= 6
    page.unroute_all()
    with page.expect_request("**/predict"):
        page.route("**/predict", lambda _: None)  # never answered
    page.wait_for_timeout(500)
    before = open_page.predictions(page)
    page.wait_for_timeout(700)
    assert open_page.predictions(page) == before
    page.click("#live-stop")


def test_a_busy_service_is_waited_for_and_a_failing_one_is_not(
    open_page: OpenPage, clip: Path
) -> None:
    page = open_page(expected_errors=["429", "500"])
    states = [429, 200, 500]

    def fulfil(route: Route) -> None:
        status = states.pop(0)
        if status == 200:
            three_faces(route)
        else:
            route.fulfill(status=status, body=json.dumps({"detail": "see the log"}))

    page.route("**/predict", fulfil)
    upload(page, clip)
    expect(page.locator("#live-problem")).to_contain_text("Something went wrong in the service")
    assert states == []
    expect(page.locator("#people li")).to_have_count(3)


def test_a_video_goes_on_after_the_sign_in(open_page: OpenPage, clip: Path) -> None:
    page = open_page(expected_errors=["401"])
    upload(page, clip)
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.locator("#live-problem")).to_be_hidden()
    sign_in(page)
    expect(page.locator("#people li")).not_to_have_count(0)


def test_what_the_browser_cannot_play_is_named(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    upload(page, broken)
    expect(page.locator("#live-problem")).to_contain_text("This video cannot be played here")
    assert open_page.predictions(page) == 0


def frames(seed: int) -> list[list[dict[str, Any]]]:
    """Faces that move, leave, come back and are doubtful now and then."""
    chance = random.Random(seed)
    places = [20, 200, 400]
    made = []
    for _ in range(30):
        places = [x + chance.randint(-45, 45) for x in places]
        made.append(
            [
                made_up_face(x, 0.9, reliable=chance.random() < 0.6)
                | {
                    "age": round(chance.uniform(10, 80), 1),
                    "gender": chance.choice("MF"),
                    "gender_probability": round(chance.uniform(0.5, 1), 3),
                    "reasons": [],
                }
                for x in places
                if chance.random() < 0.7
            ]
        )
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_page_and_command_line_join_faces_alike(open_page: OpenPage, seed: int) -> None:
    given = frames(seed)
    tracker = Tracker()
    expected = []
    for faces in given:
        tracks = tracker.add([_face(one) for one in faces])
        expected.append([track.number for track in tracks])
    page = open_page()
    numbers, people = page.evaluate(
        """async (frames) => {
          const { Tracker } = await import("./assets/tracks.js");
          const tracker = new Tracker();
          const numbers = frames.map((faces, at) =>
            tracker.add(faces, at).map(({ track }) => track.number));
          return [numbers, tracker.people.map(({ number, estimate }) => ({ number, ...estimate }))];
        }""",
        given,
    )
    assert numbers == expected
    assert len(people) > 3
    for person in people:
        track = tracker.tracks[person["number"] - 1]
        assert person["age"] == pytest.approx(track.age)
        assert person["gender"] == track.gender
        assert person["gender_probability"] == pytest.approx(track.gender_probability)
        assert person["reliable"] == track.reliable


def _face(body: dict[str, Any]) -> Face:
    attributes = replace(
        face_attributes(body["age"], reliable=body["reliable"]),
        gender=body["gender"],
        gender_probability=body["gender_probability"],
    )
    return Face(tuple(body["box"]), body["confidence"], None, attributes)
