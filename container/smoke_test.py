"""Asks a new revision for a prediction before it gets traffic; cloudbuild.yaml runs it.

    python3 smoke_test.py SERVICE_JSON PICTURE

SERVICE_JSON is what `gcloud run services describe --format=json` wrote. USERNAME and
PASSWORD_SECRET come from the environment, the password itself from Secret Manager.
"""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TAG = "candidate"
SECONDS = 120
"""For one answer, a cold start included."""


class Candidate:
    """The revision under the tag, reached as its callers reach it."""

    def __init__(self, service: dict[str, Any]):
        """Find the address and, where Google lets not everyone in, get a token for it.

        Raises:
            SystemExit: there is no such revision, or it does not answer.
        """
        traffic = service["status"]["traffic"]
        urls = [target["url"] for target in traffic if target.get("tag") == TAG]
        if not urls:
            sys.exit(f"no revision has the tag {TAG}")
        self._url = urls[0]
        self._headers: dict[str, str] = {}
        try:
            self.ask("/health")
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                raise
            audience = f"--audiences={service['status']['url']}"
            token = gcloud("auth", "print-identity-token", audience)
            # Authorization stays free for our own password.
            self._headers = {"X-Serverless-Authorization": f"Bearer {token}"}
            self.ask("/health")

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Return the JSON of an answer."""
        request = urllib.request.Request(  # noqa: S310 - Google's own address
            self._url + path, body, self._headers | headers
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return json.load(answer)


def gcloud(*arguments: str) -> str:
    """Return what gcloud prints.

    Raises:
        SystemExit: it failed; it has said why.
    """
    done = subprocess.run(["gcloud", *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
    if done.returncode:
        sys.exit(f"gcloud {' '.join(arguments[:3])} failed")
    return done.stdout.strip()


def main(service: Path, picture: Path) -> None:
    """Ask, and end with an error unless a face is found and judged."""
    secret = f"--secret={os.environ['PASSWORD_SECRET']}"
    password = gcloud("secrets", "versions", "access", "latest", secret)
    login = base64.b64encode(f"{os.environ['USERNAME']}:{password}".encode()).decode()
    body = {
        "b64": base64.b64encode(picture.read_bytes()).decode(),
        "face_detector": "accurate",
        "return_image": False,
    }
    try:
        answer = Candidate(json.loads(service.read_text(encoding="utf-8"))).ask(
            "/predict",
            json.dumps(body).encode(),
            Authorization=f"Basic {login}",
            **{"Content-Type": "application/json"},
        )
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answers {error.code}: {error.read(500)!r}")
    except OSError as error:
        sys.exit(f"no answer: {error}")
    if not any(face["gender"] for face in answer["details"]):
        sys.exit(f"no face is found in {picture.name}")
    print(answer["faces"], answer["model"])  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
