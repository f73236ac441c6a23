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

from benchmarks.latency import picture
from testing import photos
from testing.service import AUTHORIZATION, CREDENTIALS

SECONDS = 100
"""Time that a client waits for an answer."""


@dataclass(frozen=True)
class Answer:
    """What counts of an answer: the status (0: none came), and what it says but for times."""

    status: int
    text: str


@dataclass(frozen=True)
class Case:
    """A kind of request.

    Attributes:
        name: in the results.
        weight: how often it comes, relative to the others.
        send: sends it to a port of this machine.
        detector: of a good request whose time counts.
    """

    name: str
    weight: float
    send: Callable[[int], Answer]
    detector: str = ""

    @property
    def good(self) -> bool:
        """Whether it is what an honest client sends."""
        return bool(self.detector)


def cases(address: str) -> list[Case]:
    """All of them; ``address`` is a web server's that has ``/portrait.jpg``."""
    return [*_good(address), *_hostile()]


def _good(address: str) -> list[Case]:
    pictures = {
        "portrait": photos.resized("astronaut", 320, 320),
        "other portrait": photos.resized("grace_hopper", 256, 300),
        "group": photos.resized("sample6", 640, 512),
        "five": picture(5, 640, 480),
        "nobody": photos.encoded(np.full((240, 320, 3), 90, np.uint8)),
        "PNG": photos.encoded(photos.decoded(photos.resized("astronaut", 256, 256)), ".png"),
    }
    made = []
    for detector in ("fast", "accurate"):
        for name, data in pictures.items():
            made.append(_json_case(f"{detector}, {name}", 4, data, detector, min_face=60))
        portrait = pictures["portrait"]
        made += [
            _json_case(f"{detector}, drawn", 2, portrait, detector, return_image=True),
            _json_case(f"{detector}, blurred", 2, portrait, detector, return_image=True, blur=True),
            _json_case(f"{detector}, boxes only", 2, portrait, detector, get_attributes=False),
            _case(
                f"{detector}, as the body",
                2,
                detector,
                params={"face_detector": detector, "return_image": "false"},
                data=portrait,
                headers={"Content-Type": "image/jpeg"},
            ),
            _form_case(f"{detector}, form", 2, portrait, detector),
            _case(
                f"{detector}, by address",
                2,
                detector,
                json={
                    "url": f"{address}/portrait.jpg",
                    "face_detector": detector,
                    "return_image": False,
                },
            ),
        ]
    return made


def _json_case(name: str, weight: float, data: bytes, detector: str, **fields: Any) -> Case:
    b64 = base64.b64encode(data).decode("ascii")
    body = {"b64": b64, "face_detector": detector, "return_image": False, **fields}
    return _case(name, weight, detector, json=body)


def _form_case(name: str, weight: float, data: bytes, detector: str) -> Case:
    # A file that is read anew each time.
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
    spoilt = bytearray(jpeg)
    spoilt[len(spoilt) // 2 : len(spoilt) // 2 + 60] = bytes(range(60))
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
        _case("no JSON", 1, data=b"{" + bytes(1000), **text),
        _case("empty", 1, data=b"", **text),
        _case("wrong password", 1, data=jpeg, auth=("sugar", "wrong"), **image),
        _case("wrong type", 1, data=jpeg, headers={"Content-Type": "video/mp4"}),
        _case("compressed body", 1, data=jpeg, headers={"Content-Encoding": "gzip"}),
        _case("no picture", 1, data=bytes(1000), **image),
        _case("TIFF", 1, data=tiff.getvalue(), **image),
        _case("PNG bomb", 1, data=_claiming(30_000, 30_000), **image),
        _case("cut off", 1, data=jpeg[: len(jpeg) // 2], **image),
        _case("spoilt", 1, data=bytes(spoilt), params={"return_image": "false"}, **image),
        _case("PNG that claims gigabytes", 1, data=_claiming(10, 10)[:33] + b"\xff" * 30, **image),
        _case("form bomb", 1, data=part * 5000 + b"--x--\r\n", **form),
        _case("form without end", 1, data=part, **form),
        _case("file: address", 1, json={"url": "file:///etc/passwd"}),
        _case("address with a user name", 1, json={"url": "http://a@127.0.0.1/"}),
        _case("address in hexadecimal", 1, json={"url": "http://0x7f000001/"}),
        _case("40 MB", 0.1, data=bytes(40_000_000), **image),
        _case("other path", 1, path="/../../etc/passwd"),
        Case("hangs up", 2, lambda port: _hang_up(port, jpeg)),
        Case("chunks that break off", 1, _break_off),
        Case("no HTTP", 1, _no_http),
    ]


def _claiming(width: int, height: int) -> bytes:
    """A tiny PNG file whose header tells of so many pixels."""
    small = photos.encoded(np.zeros((8, 8, 3), np.uint8), ".png")
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


def _post(port: int, path: str = "/predict", **arguments: Any) -> Answer:
    arguments = {"auth": CREDENTIALS, **arguments}
    response = requests.post(f"http://127.0.0.1:{port}{path}", timeout=SECONDS, **arguments)
    body = response.json()
    if response.status_code == 200:
        del body["inference_time"]
        said = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return Answer(200, f"{len(body['faces'])} faces, {said}")
    return Answer(response.status_code, body["code"])


HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    b"Authorization: " + AUTHORIZATION.encode() + b"\r\n"
)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def _hang_up(port: int, data: bytes) -> Answer:
    with _connected(port) as made:
        made.sendall(HEAD + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return Answer(-1, "nobody waits for it")


def _break_off(port: int) -> Answer:
    with _connected(port) as made:
        made.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab")
        made.shutdown(socket.SHUT_WR)
        return _status_only(made)


def _no_http(port: int) -> Answer:
    with _connected(port) as made:
        made.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n")
        made.shutdown(socket.SHUT_WR)
        return _status_only(made)


def _status_only(made: socket.socket) -> Answer:
    received = made.recv(1 << 16)
    if not received:
        raise ConnectionError("closed without an answer")
    return Answer(int(received.split(b" ", 2)[1]), "")
