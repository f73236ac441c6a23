"""What answers contain on request, over real HTTP: pictures, warnings, compression, sizes."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import requests

from age_gender.edge import answers
from testing.service import CREDENTIALS
from tests.contract.conftest import Listen, validate
from tests.contract.test_predict import B64, IMAGE, PICTURE
from tests.unit.pictures import decoded, encoded, noise

NOISE = base64.b64encode(encoded(noise(200, 150), "PNG")).decode()

Post = Callable[..., requests.Response]


@pytest.fixture
def url(listen: Listen) -> Iterator[str]:
    with listen() as made:
        yield made


@pytest.fixture
def post(url: str) -> Iterator[Post]:
    """Send fields as JSON, or what else is given, with a picture unless there is one."""
    with requests.Session() as session:

        def post_(
            fields: dict[str, Any] | None = None, query: str = "", **given: Any
        ) -> requests.Response:
            if "data" not in given and "files" not in given:
                fields = {"b64": B64} | (fields or {})
                given["json"] = fields
            return session.post(f"{url}/predict{query}", auth=CREDENTIALS, timeout=30, **given)

        yield post_


class TestPictureAsAnswer:
    """With ``Accept: image/jpeg``."""

    @pytest.mark.parametrize(
        "accept", ["image/jpeg", "image/*", "image/webp, image/jpeg;q=0.5", "IMAGE/JPEG, */*;q=0.1"]
    )
    def test_asked_for(self, post: Post, accept: str) -> None:
        response = post(headers={"Accept": accept})
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/jpeg"
        assert response.headers["X-Face-Count"] == "1"
        assert "X-Warnings" not in response.headers
        assert "Server-Timing" in response.headers
        drawn = post().json()["image"]
        assert response.content == base64.b64decode(drawn)

    @pytest.mark.parametrize(
        "accept",
        [
            *(None, "*/*", "application/json", "application/json, image/jpeg", "text/html"),
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            *("image/png", "image/jpeg;q=0, */*", "image/jpeg;q=0.1, application/json", "\xff"),
        ],
    )
    def test_not_asked_for(self, post: Post, accept: str | None) -> None:
        response = post(headers={"Accept": accept})
        assert response.headers["Content-Type"] == "application/json"
        assert response.json()["faces"]

    @pytest.mark.parametrize(
        "fields", [{"return_image": False}, {"draw": False, "blur": True}, {"draw": False}]
    )
    def test_it_is_the_one_that_json_would_have(self, post: Post, fields: dict[str, Any]) -> None:
        response = post(fields, headers={"Accept": "image/jpeg"})
        assert response.headers["Content-Type"] == "image/jpeg"
        other = post({**fields, "return_image": True}).json()["image"]
        assert response.content == base64.b64decode(other)

    def test_of_a_picture_as_the_body(self, post: Post) -> None:
        headers = {"Accept": "image/jpeg", "Content-Type": "image/png"}
        response = post(query="?draw=false", data=PICTURE, headers=headers)
        assert np.abs(decoded(response.content).astype(int) - IMAGE).max() < 20

    def test_errors_stay_problems(self, post: Post) -> None:
        response = post({"nms": 2}, headers={"Accept": "image/jpeg"})
        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.defends("header-injection")
    def test_warnings_are_in_a_header(self, post: Post) -> None:
        headers = {"Accept": "image/jpeg"}
        response = post({"detector": 1, "\u2603\r\nX-Other: y": 1}, headers=headers)
        first, second = json.loads(response.headers["X-Warnings"])
        assert "did you mean 'face_detector'?" in first
        assert "\u2603" in second
        assert "X-Other" not in response.headers
        many = post({f"{i}-{'x' * 200}": 1 for i in range(100)}, headers=headers)
        assert len(json.loads(many.headers["X-Warnings"])) >= 5
        assert len(many.headers["X-Warnings"]) <= 1000

    def test_caches_are_informed(self, post: Post) -> None:
        assert "Accept" in post().headers["Vary"]


class TestSizes:
    @pytest.mark.parametrize(("side", "size"), [(40, (30, 40)), (80, (60, 80)), (500, (60, 80))])
    def test_image_max_side(self, post: Post, side: int, size: tuple[int, int]) -> None:
        answer = post({"image_max_side": side}).json()
        assert decoded(base64.b64decode(answer["image"])).shape[:2] == size
        assert answer["faces"] == post().json()["faces"]
        assert answer["image_size"] == [80, 60]
        assert answer["warnings"] == []
        picture = post({"image_max_side": side}, headers={"Accept": "image/jpeg"})
        assert decoded(picture.content).shape[:2] == size

    @pytest.mark.parametrize("side", [0, -1, 65_501, 1.5, "wide"])
    def test_image_max_side_is_checked(self, post: Post, side: object) -> None:
        response = post({"image_max_side": side})
        assert (response.status_code, response.json()["code"]) == (422, "invalid-field")

    @pytest.mark.parametrize("accept", ["*/*", "image/jpeg"])
    def test_no_answer_is_too_large(
        self, post: Post, monkeypatch: pytest.MonkeyPatch, accept: str
    ) -> None:
        """With limits in proportion; those of Cloud Run would need a picture of 40 megapixels."""
        whole = post({"b64": NOISE}, headers={"Accept": accept})
        assert int(whole.headers["Content-Length"]) > 10_000
        monkeypatch.setattr(answers, "RESERVED_BYTES", 2000)
        monkeypatch.setattr(answers, "MAX_BYTES", 10_000)
        response = post({"b64": NOISE}, headers={"Accept": accept, "Accept-Encoding": "identity"})
        assert response.status_code == 200
        assert len(response.content) <= 10_000
        if accept == "*/*":
            warnings, image = response.json()["warnings"], response.json()["image"]
        else:
            warnings, image = json.loads(response.headers["X-Warnings"]), ""
        data = base64.b64decode(image) or response.content
        height, width = decoded(data).shape[:2]
        assert f"{width} x {height} instead of 200 x 150" in "".join(warnings)

    def test_the_limit_is_that_of_cloud_run(self) -> None:
        assert answers.MAX_BYTES == 32 * 1024 * 1024
        for as_image in (True, False):
            room = answers.max_image_bytes(as_image=as_image)
            assert (room if as_image else room * 4 / 3) <= answers.MAX_BYTES - 2**20


class TestWarnings:
    WAYS = ("json", "form", "raw")

    def sent(self, post: Post, way: str, **fields: str) -> requests.Response:
        if way == "json":
            return post(dict(fields))
        if way == "form":
            return post(
                files={"image": ("a.png", PICTURE)} | {k: (None, v) for k, v in fields.items()}
            )
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        return post(query=f"?{query}", data=PICTURE, headers={"Content-Type": "image/png"})

    @pytest.mark.parametrize("way", WAYS)
    def test_a_typo_is_named(self, post: Post, way: str) -> None:
        answer = self.sent(post, way, detector="accurate").json()
        assert answer["warnings"] == [
            "ignored: 'detector' is unknown; did you mean 'face_detector'?"
        ]
        assert answer["model"]["detector"] == "dlib-hog"
        validate("PredictResponse", answer)

    @pytest.mark.parametrize("way", WAYS)
    def test_strict_refuses_it(self, post: Post, way: str) -> None:
        response = self.sent(post, way, detector="accurate", strict="true")
        assert response.status_code == 422
        problem = response.json()
        assert problem["code"] == "invalid-field"
        assert [error["field"] for error in problem["errors"]] == ["detector"]
        validate("Problem", problem)
        assert self.sent(post, way, face_detector="fast", strict="true").status_code == 200

    def test_a_query_beside_json(self, post: Post) -> None:
        answer = post(query="?draw=false").json()
        assert answer["warnings"] == ["ignored: 'draw' is in the query: send it in the body"]

    @pytest.mark.parametrize("way", WAYS)
    def test_nothing_is_said_of_a_good_request(self, post: Post, way: str) -> None:
        assert self.sent(post, way, face_detector="Accurate", nms="").json()["warnings"] == []


class TestCompression:
    @pytest.mark.parametrize("fields", [{}, {"b64": NOISE}])
    def test_json_over_a_kibibyte(self, post: Post, fields: dict[str, Any]) -> None:
        packed = post(fields, headers={"Accept-Encoding": "gzip"})
        plain = post(fields, headers={"Accept-Encoding": "identity"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert int(packed.headers["Content-Length"]) < 0.8 * int(plain.headers["Content-Length"])
        assert packed.json()["details"] == plain.json()["details"]
        assert packed.json().get("image") == plain.json().get("image")
        for response in (packed, plain):
            assert "Accept-Encoding" in response.headers["Vary"]

    @pytest.mark.parametrize("path", ["/openapi.json", "/model"])
    def test_descriptions(self, url: str, path: str) -> None:
        packed = requests.get(url + path, timeout=10)
        plain = requests.get(url + path, headers={"Accept-Encoding": "identity"}, timeout=10)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.json() == plain.json()
        head = requests.head(url + path, timeout=10)
        assert head.headers["Content-Length"] == packed.headers["Content-Length"]

    def test_what_is_small_stays_as_it_is(self, url: str, post: Post) -> None:
        refused = post({"nms": 2, **{f"unknown{i}": 1 for i in range(50)}})
        for response in (requests.get(f"{url}/health", timeout=10), refused):
            assert "Content-Encoding" not in response.headers

    def test_pictures_are_compressed_already(self, post: Post) -> None:
        response = post({"b64": NOISE}, headers={"Accept": "image/jpeg", "Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in response.headers


class TestWithoutDetection:
    def test_the_whole_image_is_the_face(self, post: Post) -> None:
        answer = post({"detect": False, "confidence": 1}).json()
        (row,) = answer["faces"]
        assert row[:6] == [0, 0, 80, 60, 80, 60]
        assert row[7:] == [34, "M"]
        assert answer["details"][0]["box"] == [0, 0, 80, 60]
        assert answer["smallest_face"] == 60
        assert answer["model"]["detector"] is None
        validate("PredictResponse", answer)

    @pytest.mark.parametrize("detector", ["fast", "accurate"])
    def test_no_detector_is_asked(self, post: Post, detector: str) -> None:
        fields = {"detect": False, "face_detector": detector, "max_faces": 1, "min_face": 5000}
        assert len(post(fields).json()["faces"]) == 1

    def test_in_forms_and_queries(self, post: Post) -> None:
        form = post(files={"image": ("a.png", PICTURE), "detect": (None, "false")})
        query = post(query="?detect=0", data=PICTURE, headers={"Content-Type": "image/png"})
        for response in (form, query):
            assert response.json()["faces"][0][:4] == [0, 0, 80, 60]


class TestBodies:
    def test_a_data_url_as_large_as_a_picture_may_be(self, post: Post) -> None:
        picture = PICTURE.ljust(15_000_000, b"\0")
        address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        response = post({"b64": "", "url": address, "return_image": False})
        assert response.status_code == 200, response.text
        assert response.json()["faces"]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--data-binary", "@-"], "is a PNG"),
            (["-d", "url=https://a.example/b.jpg", "-d", "draw=false"], "urlencoded form"),
            (["--data-urlencode", "url=https://a.example/b.jpg"], "urlencoded form"),
            (["-H", "Content-Type:", "--data-binary", "@-"], "is a PNG"),
        ],
    )
    def test_what_curl_sends_by_default(self, url: str, arguments: list[str], says: str) -> None:
        if shutil.which("curl") is None:
            pytest.skip("NOT TESTED: what curl sends by default, there is no curl")
        credentials = ("-u", ":".join(CREDENTIALS))
        done = subprocess.run(
            ["curl", "-s", *credentials, *arguments, f"{url}/predict"],
            input=PICTURE,
            capture_output=True,
            timeout=30,
        )
        problem = json.loads(done.stdout)
        assert problem["code"] == "malformed-json"
        assert says in problem["detail"]
        assert "curl: " in problem["detail"]

    def test_text_json(self, post: Post) -> None:
        body = json.dumps({"b64": B64}).encode()
        assert post(data=body, headers={"Content-Type": "text/json"}).json()["faces"]

    def test_urllib_calls_everything_a_form(self, url: str) -> None:
        request = urllib.request.Request(f"{url}/predict", json.dumps({"b64": B64}).encode())
        login = base64.b64encode(":".join(CREDENTIALS).encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["faces"]
