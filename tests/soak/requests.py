"""The requests of the soak: good ones of many kinds, and hostile ones."""

import base64
import hashlib
import io
import json
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from PIL import Image

from testing import photos
from testing.service import AUTHORIZATION, CREDENTIALS

SECONDS = 100
"""Timeout of a client."""


@dataclass(frozen=True)
class Answer:
    """What is compared of an answer: status (0: none), and content without times."""

    status: int
    text: str


@dataclass(frozen=True)
class Case:
    """A kind of request.

    Attributes:
        name: in the results.
        weight: relative frequency.
        send: sends it to a local port.
        detector: of a good request; empty for hostile ones.
    """

    name: str
    weight: float
    send: Callable[[int], Answer]
    detector: str = ""

    @property
    def good(self) -> bool:
        """Whether it is a valid request."""
        return bool(self.detector)


def cases(address: str) -> list[Case]:
    """All cases; ``address`` is a web server that has ``/portrait.jpg``."""
    return [*_good(address), *_hostile()]


def _good(address: str) -> list[Case]:
    images = {
        "portrait": photos.resized("astronaut", 320, 320),
        "other portrait": photos.resized("grace_hopper", 256, 300),
        "group": photos.resized("sample6", 640, 512),
        "five": photos.collage(5, 640, 480),
        "no face": photos.encoded(np.full((240, 320, 3), 90, np.uint8)),
        "PNG": photos.encoded(photos.decoded(photos.resized("astronaut", 256, 256)), ".png"),
    }
    result = []
    for detector in ("fast", "accurate"):
        for name, data in images.items():
            result.append(_json_case(f"{detector}, {name}", 4, data, detector, min_face=60))
        portrait = images["portrait"]
        result += [
            _json_case(f"{detector}, drawn", 2, portrait, detector, return_image=True),
            _json_case(f"{detector}, blurred", 2, portrait, detector, return_image=True, blur=True),
            _json_case(f"{detector}, boxes only", 2, portrait, detector, get_attributes=False),
            _case(
                f"{detector}, raw body",
                2,
                detector,
                params={"face_detector": detector, "return_image": "false"},
                data=portrait,
                headers={"Content-Type": "image/jpeg"},
            ),
            _form_case(f"{detector}, form", 2, portrait, detector),
            _case(
                f"{detector}, by URL",
                2,
                detector,
                json={
                    "url": f"{address}/portrait.jpg",
                    "face_detector": detector,
                    "return_image": False,
                },
            ),
        ]
    return result


def _json_case(name: str, weight: float, data: bytes, detector: str, **fields: Any) -> Case:
    b64 = base64.b64encode(data).decode("ascii")
    body = {"b64": b64, "face_detector": detector, "return_image": False, **fields}
    return _case(name, weight, detector, json=body)


def _form_case(name: str, weight: float, data: bytes, detector: str) -> Case:
    # A new stream per request: requests reads it to the end.
    def send(port: int) -> Answer:
        return _post(
            port,
            files={"image": ("a.jpg", io.BytesIO(data), "image/jpeg")},
            data={"face_detector": detector, "return_image": "false"},
        )

    return Case(name, weight, send, detector)


def _case(name: str, weight: float, detector: str = "", **arguments: Any) -> Case:
    return Case(name, weight, lambda port: _post(port, **arguments), detector)


def _hostile() -> list[Case]:
    jpeg = photos.resized("astronaut", 320, 320)
    corrupt = bytearray(jpeg)
    corrupt[len(corrupt) // 2 : len(corrupt) // 2 + 60] = bytes(range(60))
    image: dict[str, Any] = {"headers": {"Content-Type": "image/x"}}
    text: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}
    form: dict[str, Any] = {"headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    part = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    tiff = io.BytesIO()
    Image.fromarray(noise).save(tiff, "TIFF")
    return [
        _case("nested JSON", 1, data=b"[" * 100_000, **text),
        _case("JSON with NaN", 1, data=b'{"b64": "AAAA", "nms": NaN}', **text),
        _case("not JSON", 1, data=b"{" + bytes(1000), **text),
        _case("empty", 1, data=b"", **text),
        _case("wrong password", 1, data=jpeg, auth=("sugar", "wrong"), **image),
        _case("wrong type", 1, data=jpeg, headers={"Content-Type": "video/mp4"}),
        _case("compressed body", 1, data=jpeg, headers={"Content-Encoding": "gzip"}),
        _case("not an image", 1, data=bytes(1000), **image),
        _case("TIFF", 1, data=tiff.getvalue(), **image),
        _case("PNG bomb", 1, data=_claiming(30_000, 30_000), **image),
        _case("truncated", 1, data=jpeg[: len(jpeg) // 2], **image),
        _case("corrupt", 1, data=bytes(corrupt), params={"return_image": "false"}, **image),
        _case("PNG with a huge chunk", 1, data=_claiming(10, 10)[:33] + b"\xff" * 30, **image),
        _case("form bomb", 1, data=part * 5000 + b"--x--\r\n", **form),
        _case("unterminated form", 1, data=part, **form),
        _case("file: URL", 1, json={"url": "file:///etc/passwd"}),
        _case("URL with a user name", 1, json={"url": "http://a@127.0.0.1/"}),
        _case("URL with a hexadecimal address", 1, json={"url": "http://0x7f000001/"}),
        _case("40 MB", 0.1, data=bytes(40_000_000), **image),
        _case("other path", 1, path="/../../etc/passwd"),
        Case("hangs up", 2, lambda port: _hang_up(port, jpeg)),
        Case("broken chunks", 1, _break_off),
        Case("not HTTP", 1, _not_http),
    ]


def _claiming(width: int, height: int) -> bytes:
    """A tiny PNG file whose header claims a large size."""
    small = photos.encoded(np.zeros((8, 8, 3), np.uint8), ".png")
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


def _post(port: int, path: str = "/predict", **arguments: Any) -> Answer:
    arguments = {"auth": CREDENTIALS, **arguments}
    response = requests.post(f"http://127.0.0.1:{port}{path}", timeout=SECONDS, **arguments)
    body = response.json()
    if response.status_code == 200:
        del body["inference_time"]
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return Answer(200, f"{len(body['faces'])} faces, {digest}")
    return Answer(response.status_code, body["code"])


HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    b"Authorization: " + AUTHORIZATION.encode() + b"\r\n"
)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def _hang_up(port: int, data: bytes) -> Answer:
    with _connect(port) as connection:
        connection.sendall(HEAD + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return Answer(-1, "not awaited")


def _break_off(port: int) -> Answer:
    with _connect(port) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab")
        connection.shutdown(socket.SHUT_WR)
        return _status_only(connection)


def _not_http(port: int) -> Answer:
    with _connect(port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        return _status_only(connection)


def _status_only(connection: socket.socket) -> Answer:
    received = connection.recv(1 << 16)
    if not received:
        raise ConnectionError("closed without an answer")
    return Answer(int(received.split(b" ", 2)[1]), "")
