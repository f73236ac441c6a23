"""The HTTP client against the real service."""

import base64
from pathlib import Path
from typing import Literal

import cv2
import pytest

from age_gender.client import Client, InvalidRequest, Prediction, Unauthorized
from testing.photos import decoded, photo
from testing.service import CREDENTIALS, Service

EXPECTED = 36
"""Age that the service estimates for the portrait, years."""


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service.url, username=CREDENTIALS[0], password=CREDENTIALS[1])


@pytest.mark.parametrize("send_as", ["body", "form", "json"])
def test_every_way_to_send_a_picture(
    client: Client, tmp_path: Path, send_as: Literal["body", "form", "json"]
) -> None:
    path = tmp_path / "a b.png"
    path.write_bytes(photo("astronaut").data)
    prediction = client.predict(
        path, send_as=send_as, face_detector="accurate", over_age=[18, 60], return_image=True
    )
    (face,) = prediction.faces
    assert face.gender == "F"
    assert face.age == pytest.approx(EXPECTED, abs=3)
    assert face.over[18] > face.over[60]
    assert prediction.image is not None
    assert prediction.image.startswith(b"\xff\xd8")
    assert prediction.model["attributes"].startswith("agn-v2")
    assert prediction.request_id


def test_an_address(client: Client) -> None:
    image = cv2.resize(decoded(photo("obama").data), (120, 150), interpolation=cv2.INTER_AREA)
    small = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    data = base64.b64encode(bytes(small)).decode("ascii")
    (face,) = client.predict(url=f"data:image/jpeg;base64,{data}").faces
    assert face.gender == "M"


def test_problems(client: Client, service: Service) -> None:
    with pytest.raises(InvalidRequest, match="unsupported-picture") as raised:
        client.predict(b"notes", send_as="form")
    assert raised.value.request_id
    with pytest.raises(InvalidRequest) as raised:
        client.predict(b"notes", confidence=2)
    assert list(raised.value.fields) == ["confidence"]
    with pytest.raises(Unauthorized):
        Client(service.url, username="sugar", password="wrong", attempts=1).predict(b"x")


def test_more_at_once_than_the_service_takes(client: Client) -> None:
    outcomes = client.predict_many([photo("astronaut").data] * 8, parallel=8, face_detector="fast")
    assert all(isinstance(outcome, Prediction) for outcome in outcomes)


def test_what_it_says_about_itself(client: Client) -> None:
    assert client.is_up()
    assert client.model()["name"] == "agn-v2"
