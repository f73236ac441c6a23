"""How long a picture takes: in the pipeline by stage, and end to end over HTTP."""

import statistics
import time
from typing import Any

import numpy as np

from age_gender.pipeline import Options
from age_gender.runtime import Runtime
from tests import photos
from tests.service import Service

ROUNDS = 25

# name, photo, width and height, options
CASES: list[tuple[str, str, tuple[int, int], dict[str, Any]]] = [
    ("fast, 640x480, min_face 80", "one", (640, 480), {"face_detector": "fast", "min_face": 80}),
    ("fast, 640x480", "one", (640, 480), {"face_detector": "fast"}),
    ("accurate, 640x480", "one", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 1024x768", "one", (1024, 768), {"face_detector": "accurate"}),
    ("accurate, 1920x1280", "one", (1920, 1280), {"face_detector": "accurate"}),
    ("accurate, 640x480, 2 faces", "two", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 640x480, 5 faces", "five", (640, 480), {"face_detector": "accurate"}),
    ("accurate, 640x480, 10 faces", "ten", (640, 480), {"face_detector": "accurate"}),
]
PEOPLE = {"one": 1, "two": 2, "five": 5, "ten": 10}


def measure() -> dict[str, Any]:
    """Medians over interleaved rounds, so that a busy moment touches all cases alike."""
    from age_gender.settings import load_settings

    pipeline = Runtime(load_settings()).pipeline
    pictures = [picture(PEOPLE[people], *size) for _, people, size, _ in CASES]
    options = [Options(return_image=False, **given) for *_, given in CASES]
    times: list[list[float]] = [[] for _ in CASES]
    stages: list[list[dict[str, float]]] = [[] for _ in CASES]
    for round_number in range(ROUNDS + 2):
        for index in range(len(CASES)):
            result = pipeline.run(pictures[index], options[index])
            if round_number >= 2:  # the first ones prepare interpreters
                times[index].append(result.inference_ms)
                stages[index].append(dict(result.stages))
    rows: list[dict[str, Any]] = [
        {
            "case": case[0],
            "faces": PEOPLE[case[1]],
            "inference_ms": summary(case_times),
            "stages_ms": {
                stage: round(statistics.median(s.get(stage, 0) for s in case_stages), 2)
                for stage in ("decode", "detect", "align", "attributes")
            },
        }
        for case, case_times, case_stages in zip(CASES, times, stages, strict=True)
    ]
    one, ten = (next(r for r in rows if r["case"].startswith(name)) for name in ONE_AND_TEN)
    extra = (ten["inference_ms"]["median"] - one["inference_ms"]["median"]) / 9
    return {"cases": rows, "each_further_face_ms": round(extra, 2)}


ONE_AND_TEN = ("accurate, 640x480", "accurate, 640x480, 10 faces")


def measure_http(service: Service) -> dict[str, Any]:
    """End to end, without and with the returned picture, for one face at 640x480."""
    data = picture(1, 640, 480)
    cases = {
        f"{detector}{', with image' if image else ''}": {
            "face_detector": detector,
            "return_image": image,
        }
        for detector in ("fast", "accurate")
        for image in (False, True)
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_number in range(ROUNDS + 2):
        for name, fields in cases.items():
            start = time.perf_counter()
            service.predict(data, **fields)
            if round_number >= 2:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: summary(values) for name, values in times.items()}


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median, least and 95th percentile."""
    return {
        "median": round(statistics.median(milliseconds), 2),
        "min": round(min(milliseconds), 2),
        "p95": round(float(np.percentile(milliseconds, 95)), 2),
    }


def picture(people: int, width: int, height: int) -> bytes:
    """A JPEG of ``width`` x ``height`` with that many real faces, side by side in rows."""
    faces = [photos.photo(name) for name in ("astronaut", "grace_hopper", "obama", "biden")]
    if people == 1:
        return photos.resized("astronaut", width, height)
    columns = min(people, 5)
    side = min(width // columns, height // -(-people // columns))
    canvas = np.full((height, width, 3), 120, np.uint8)
    for index in range(people):
        tile = photos.around_face(faces[index % len(faces)], side)
        top, left = index // columns * side, index % columns * side
        canvas[top : top + side, left : left + side] = tile
    return photos.encoded(canvas)
