"""Example answers in the documents, and the annotated photo of the README.

Run ``python -m benchmarks.showcase`` after a change of the models or the answer.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from age_gender.runtime import Runtime
from age_gender.schema import response_body
from age_gender.settings import FUNCTION_DIR, load_settings
from age_gender.vision.geometry import Image, resize
from age_gender.vision.pipeline import Options
from benchmarks.markers import write_section
from testing import photos

ROOT = Path(__file__).resolve().parents[1]
PORTRAITS = ROOT / "docs" / "img" / "portraits.jpg"
SAMPLE = FUNCTION_DIR / "age_gender" / "edge" / "web" / "sample.jpg"

PEOPLE = ("astronaut", "obama", "biden")
WIDTH, HEIGHT = 320, 400
FACE_SHARE = 0.36
"""Height of a face, relative to its tile."""

ROUNDS = 15
"""The fastest answer of these is shown, as the least disturbed one."""

SHORT = ("age", "age_interval", "gender", "gender_probability", "reliable")
"""Fields of a face in the README."""


def strip() -> Image:
    """The portraits side by side, with faces of one size; uint8 ``[HEIGHT, W, 3]``, RGB."""
    return np.hstack([_portrait(photos.photo(name)) for name in PEOPLE])


def _portrait(photo: photos.Photo) -> Image:
    image = photos.decoded(photo.data)
    x1, y1, x2, y2 = photo.people[0].box
    height = min(round((y2 - y1) / FACE_SHARE), image.shape[0])
    width = min(height * WIDTH // HEIGHT, image.shape[1])
    left = min(max((x1 + x2 - width) // 2, 0), image.shape[1] - width)
    top = min(max((y1 + y2 - height) // 2, 0), image.shape[0] - height)
    return resize(image[top : top + height, left : left + width], WIDTH, HEIGHT)


def whole(answer: dict[str, Any]) -> str:
    """Format an answer for ``docs/api.md``."""
    return _block(_laid_out(answer))


def short(answer: dict[str, Any]) -> str:
    """Format an answer for the README."""
    faces = [json.dumps({name: face[name] for name in SHORT}) for face in answer["details"]]
    details = ",\n  ".join(faces)
    return _block(f'{{"faces": {json.dumps(answer["faces"])},\n "details": [\n  {details}]}}')


def line(answer: dict[str, Any]) -> str:
    """Format the only face of an answer as the programs of ``docs/examples`` print it."""
    (face,) = answer["details"]
    low, high = face["age_interval"]
    box = ",".join(map(str, face["box"]))
    return (
        "```console\n$ python predict.py http://127.0.0.1:8080 "
        "../../function/age_gender/edge/web/sample.jpg\n"
        f"{face['age']:.1f} {low:.1f}-{high:.1f} {face['gender']} "
        f"{face['gender_probability']:.2f} {box}\n```"
    )


def _block(text: str) -> str:
    return f"```json\n{text}\n```"


def _laid_out(value: Any, indent: str = "") -> str:
    """JSON with one line per field, and lists of numbers on one line."""
    deeper = indent + "  "
    if isinstance(value, dict) and len(json.dumps(value)) > 80:
        fields = [f"{deeper}{json.dumps(k)}: {_laid_out(v, deeper)}" for k, v in value.items()]
        return "{\n" + ",\n".join(fields) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [deeper + _laid_out(item, deeper) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return json.dumps(value)


def main() -> None:
    """Write the photo and the answers."""
    runtime = Runtime(load_settings())
    annotated = runtime.pipeline.run(
        runtime.open_image(photos.encoded(strip())), Options(face_detector="accurate")
    )
    assert annotated.jpeg is not None
    PORTRAITS.write_bytes(annotated.jpeg)
    options = Options(face_detector="accurate", return_image=False)
    image = runtime.open_image(SAMPLE.read_bytes())
    results = [runtime.pipeline.run(image, options) for _ in range(ROUNDS)]
    answer = response_body(min(results, key=lambda result: result.inference_ms))
    write_section(ROOT / "docs" / "api.md", "answer", whole(answer))
    write_section(ROOT / "README.md", "answer", short(answer))
    write_section(ROOT / "docs" / "examples" / "README.md", "answer", line(answer))
    print(f"wrote {PORTRAITS.name} and three answers")


if __name__ == "__main__":
    main()
