"""Requests a prediction from a new revision before it gets traffic; cloudbuild.yaml runs it.

    python3 smoke_test.py SERVICE_JSON IMAGE

SERVICE_JSON is the output of `gcloud run services describe --format=json`. USERNAME and
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
TIMEOUT_S = 120
"""For one answer, including a cold start."""


class Candidate:
    """The tagged revision, called as clients call it."""

    def __init__(self, service: dict[str, Any]):
        """Find the URL and, if the service requires IAM authentication, get a token.

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


def gcloud(*arguments: str) -> str:
    """Run gcloud and return its output.

    Raises:
        SystemExit: it failed; its own message says why.
    """
    finished = subprocess.run(["gcloud", *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
    if finished.returncode:
        sys.exit(f"gcloud {' '.join(arguments[:3])} failed")
    return finished.stdout.strip()


def main(service: Path, image: Path) -> None:
    """Request a prediction, and exit with an error unless it has a face with attributes."""
    secret = f"--secret={os.environ['PASSWORD_SECRET']}"
    password = gcloud("secrets", "versions", "access", "latest", secret)
    login = base64.b64encode(f"{os.environ['USERNAME']}:{password}".encode()).decode()
    body = {
        "b64": base64.b64encode(image.read_bytes()).decode(),
        "face_detector": "accurate",
        "return_image": False,
    }
    try:
        answer = Candidate(json.loads(service.read_text(encoding="utf-8"))).request(
            "/predict",
            json.dumps(body).encode(),
            Authorization=f"Basic {login}",
            **{"Content-Type": "application/json"},
        )
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answered {error.code}: {error.read(500)!r}")
    except OSError as error:
        sys.exit(f"no answer: {error}")
    if not any(face["gender"] for face in answer["details"]):
        sys.exit(f"no face was detected in {image.name}")
    print(answer["faces"], answer["model"])  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
