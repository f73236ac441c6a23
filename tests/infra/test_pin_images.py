"""Images are pinned by what a registry says."""

import json
from collections.abc import Iterator

import pytest

from container.pin_images import INDEXES, digest, pin, read_images
from testing.web import Handler, serve

DIGEST = "sha256:" + "a" * 64
TEXT = "# Images\npython library/python:3.11-slim\nbuildkit moby/buildkit:latest@sha256:" + "0" * 64


class Registry(Handler):
    """Answers as Docker Hub does: with a token only, which it gives to anybody."""

    def do_GET(self) -> None:
        self.answer(200, json.dumps({"token": "t"}).encode())

    def do_HEAD(self) -> None:
        if self.headers.get("Authorization") != "Bearer t":
            host = f"http://{self.headers['Host']}"
            challenge = f'Bearer realm="{host}/token",service="registry",scope="pull"'
            self.answer(401, b"", WWW_Authenticate=challenge)
        elif "missing" in self.path:
            self.answer(404, b"")
        else:
            kind = "application/json" if "single" in self.path else INDEXES[0]
            self.answer(200, b"", **{"Docker-Content-Digest": DIGEST, "Content-Type": kind})


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with serve(Registry) as address:
        yield address


def test_every_image_gets_its_present_digest(registry: str) -> None:
    pinned = pin(TEXT, lambda name, tag: digest(registry, name, tag))
    assert pinned.splitlines() == [
        "# Images",
        f"python library/python:3.11-slim@{DIGEST}",
        f"buildkit moby/buildkit:latest@{DIGEST}",
    ]
    assert read_images(pinned)["python"] == ("library/python", "3.11-slim", DIGEST)


def test_what_is_not_there_or_for_one_platform_is_not_pinned(registry: str) -> None:
    with pytest.raises(OSError, match="404"):
        digest(registry, "library/missing", "1")
    with pytest.raises(ValueError, match="no index of platforms"):
        digest(registry, "library/single", "1")


def test_a_line_that_names_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="not an image: python latest"):
        read_images("python latest")
