"""The services that are compared, and what they answer."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from age_gender.vision.detectors.base import Detections
from age_gender.vision.geometry import Float
from testing.service import Service
from training.prepare import central_face

DETECTORS = ("accurate", "fast")
TIMEOUT = 600
"""Seconds; enough on a busy machine, on which no picture may be refused."""


class Checkout(Service):
    """The service of any checkout whose models are built, with its own defaults."""

    def __init__(self, root: Path, log: Path):
        """Start nothing yet.

        Args:
            root: of the checkout.
            log: file for what the service prints.
        """
        # No other checkout's code may come first, as it does while benchmarks run.
        super().__init__(log, PYTHONPATH=str(root / "function"), QUEUE_TIMEOUT=str(TIMEOUT))
        self.root = root

    def faces(self, data: bytes, detector: str, min_face: int | None = None) -> "tuple[Face, ...]":
        """Send a picture and return the faces of the answer, most probable first.

        A picture that the service does not read has none.
        """
        fields = {"face_detector": detector, "return_image": "false"}
        fields |= {} if min_face is None else {"min_face": str(min_face)}
        response = self.post(files={"image": data}, data=fields, timeout=TIMEOUT)
        if response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return ()
        response.raise_for_status()
        return tuple(Face.of(detail) for detail in response.json()["details"])

    def commit(self) -> str:
        """Return the last commit that changed what it serves, and whether it is changed since."""
        git = ["git", "-C", str(self.root)]
        last = [*git, "log", "-1", "--format=%h", "--", "function"]
        changes = [*git, "status", "--porcelain", "--untracked-files=no", "function"]
        changed = subprocess.check_output(changes)
        return subprocess.check_output(last, text=True).strip() + ("-dirty" if changed else "")

    def model(self) -> str:
        """Name and version of its model for age and gender."""
        answer: dict[str, Any] = self.get("/model").json()
        return f"{answer['name']} {answer['version']}"


@dataclass(frozen=True)
class Face:
    """One face of an answer; see ``docs/api.md``.

    Attributes:
        box: float32 ``[4]``, pixels.
        landmarks: float32 ``[5, 2]``, pixels, or None.
        age: years.
        width: of the age interval, years.
        gender: ``M`` or ``F``.
        gender_probability: 0.5 to 1.
        reliable: whether the answer says so.
    """

    box: Float
    landmarks: Float | None
    age: float
    width: float
    gender: str
    gender_probability: float
    reliable: bool

    @classmethod
    def of(cls, detail: dict[str, Any]) -> "Face":
        """Read an item of ``details``."""
        low, high = detail["age_interval"]
        landmarks = detail.get("landmarks")
        return cls(
            np.array(detail["box"], np.float32),
            None if landmarks is None else np.array(landmarks, np.float32),
            float(detail["age"]),
            high - low,
            detail["gender"],
            float(detail["gender_probability"]),
            bool(detail["reliable"]),
        )


def central(faces: Sequence[Face], size: tuple[int, int]) -> Face | None:
    """Return the most central of the large faces: the subject of a cropped picture."""
    if not faces:
        return None
    boxes = np.array([face.box for face in faces])
    return faces[central_face(Detections(boxes, np.ones(len(boxes), np.float32)), *size)]
