"""Send a picture to the service: ``python predict.py http://127.0.0.1:8080 photo.jpg``.

Needs ``requests``. User name and password come from AGE_GENDER_USER and AGE_GENDER_PASSWORD.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import requests

ATTEMPTS = 5


class ServiceError(Exception):
    """The service returned an error; the message says why."""


def predict(service: str, picture: Path, **options: Any) -> dict[str, Any]:
    """Return the response for a picture; retries while the service is busy."""
    user = os.environ.get("AGE_GENDER_USER", "sugar")
    password = os.environ.get("AGE_GENDER_PASSWORD", "kubes")
    for attempt in range(1, ATTEMPTS + 1):
        response = requests.post(
            f"{service}/predict",
            auth=(user, password),
            files={"image": picture.read_bytes()},
            data=options,
            timeout=60,
        )
        if response.status_code != 429 or attempt == ATTEMPTS:
            break
        time.sleep(int(response.headers.get("Retry-After", 1)))
    if response.ok:
        answer: dict[str, Any] = response.json()
        return answer
    if response.headers.get("Content-Type") == "application/problem+json":
        problem = response.json()
        raise ServiceError(f"{problem['status']} {problem['code']}: {problem['detail']}")
    raise ServiceError(f"{response.status_code} {response.text[:200]}")  # for example, from a proxy


def main() -> None:
    """Print a line for each face: age, 80 % interval, gender, its probability, box."""
    service, picture = sys.argv[1:]
    try:
        answer = predict(service, Path(picture), face_detector="accurate", return_image="false")
    except (ServiceError, OSError) as error:  # requests' errors are OSErrors
        sys.exit(f"no answer: {error}")
    for face in answer["details"]:
        low, high = face["age_interval"]
        box = ",".join(map(str, face["box"]))
        gender = f"{face['gender']} {face['gender_probability']:.2f}"
        print(f"{face['age']:.1f} {low:.1f}-{high:.1f} {gender} {box}")


if __name__ == "__main__":
    main()
