"""Requests a prediction from a new revision before it gets traffic; `release` uses it."""

import base64
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
"""For one answer, including a cold start."""


class SmokeTestFailed(Exception):
    """A revision does not answer as it should; the text says how."""


class Candidate:
    """A tagged revision, called as clients call it."""

    def __init__(self, service: dict[str, Any], tag: str, gcloud: Callable[..., str]):
        """Find the URL and, if the service requires IAM authentication, get a token.

        Raises:
            SmokeTestFailed: there is no such revision.
            OSError: it does not answer.
        """
        traffic = service["status"]["traffic"]
        urls = [target["url"] for target in traffic if target.get("tag") == tag]
        if not urls:
            raise SmokeTestFailed(f"no revision has the tag {tag}")
        self._url = urls[0]
        self._headers: dict[str, str] = {}
        try:
            self.request("/health")
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                raise
            audience = f"--audiences={service['status']['url']}"
            token = gcloud("auth", "print-identity-token", audience)
            # Leaves Authorization free for our own password.
            self._headers = {"X-Serverless-Authorization": f"Bearer {token}"}
            self.request("/health")

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Send a request and return the JSON of the answer."""
        call = urllib.request.Request(  # noqa: S310 - Google's own URL
            self._url + path, body, self._headers | headers
        )
        with urllib.request.urlopen(call, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)


def authorization(gcloud: Callable[..., str]) -> dict[str, str]:
    """Return the header that identifies a client as AUTH, USERNAME and SECRET say.

    Args:
        gcloud: runs gcloud and returns its output.
    """
    auth = os.environ["AUTH"]
    if auth == "iam":
        return {}  # Google's token is enough
    secret = gcloud("secrets", "versions", "access", "latest", f"--secret={os.environ['SECRET']}")
    login = first_key(secret) if auth == "keys" else f"{os.environ['USERNAME']}:{secret}"
    if ":" not in login:
        return {"Authorization": f"Bearer {login}"}
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def first_key(text: str) -> str:
    """Return the first key, or user name and password, of what AUTH_KEYS may be."""
    if text.lstrip().startswith("{"):
        return str(next(iter(json.loads(text).values())))
    entries = [entry for entry in re.split(r"[,\n]", text) if entry.strip()]
    return entries[0].partition("=")[2].strip()


def request_prediction(
    service: dict[str, Any], tag: str, image: Path, gcloud: Callable[..., str]
) -> None:
    """Request a prediction and look for a face with attributes in it.

    Args:
        service: as ``gcloud run services describe --format=json`` prints it.
        tag: of the revision.
        image: a picture with a face.
        gcloud: runs gcloud and returns its output.

    Raises:
        SmokeTestFailed: there is no answer, or not the right one.
    """
    body = {
        "b64": base64.b64encode(image.read_bytes()).decode(),
        "face_detector": "accurate",
        "return_image": False,
    }
    try:
        answer = Candidate(service, tag, gcloud).request(
            "/predict",
            json.dumps(body).encode(),
            **authorization(gcloud),
            **{"Content-Type": "application/json"},
        )
    except urllib.error.HTTPError as error:
        raise SmokeTestFailed(f"answered {error.code}: {error.read(500)!r}") from None
    except OSError as error:
        raise SmokeTestFailed(f"no answer: {error}") from None
    if not any(face["gender"] for face in answer["details"]):
        raise SmokeTestFailed(f"no face was detected in {image.name}")
    print(answer["faces"], answer["model"])  # noqa: T201
