"""What the documents show of answers: the picture at the top of the README, and a real answer.

``python -m benchmarks.showcase`` after a change of the models or of the answer.
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
from benchmarks.marks import fill
from testing import photos

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "img" / "portraits.jpg"
SAMPLE = FUNCTION_DIR / "age_gender" / "edge" / "web" / "sample.jpg"

PEOPLE = ("astronaut", "obama", "biden")
WIDTH, HEIGHT = 320, 400
FACE_SHARE = 0.36
"""Of the height that a face takes."""

ROUNDS = 15
"""Answers of which the quickest is shown: whatever else the machine does is of no interest."""

SHORT = ("age", "age_interval", "gender", "gender_probability", "reliable")
"""What the README shows of a face."""


def strip() -> Image:
    """The portraits side by side, their faces of one size; uint8 ``[HEIGHT, W, 3]``."""
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
    """An answer as ``docs/api.md`` shows it."""
    return _block(_laid_out(answer))


def short(answer: dict[str, Any]) -> str:
    """An answer as the README shows it."""
    faces = [json.dumps({name: face[name] for name in SHORT}) for face in answer["details"]]
    details = ",\n  ".join(faces)
    return _block(f'{{"faces": {json.dumps(answer["faces"])},\n "details": [\n  {details}]}}')


def line(answer: dict[str, Any]) -> str:
    """What the programs of ``docs/examples`` print of the answer's one face."""
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
    """JSON with a line for each field, and lists of numbers on one."""
    deeper = indent + "  "
    if isinstance(value, dict) and len(json.dumps(value)) > 80:
        fields = [f"{deeper}{json.dumps(k)}: {_laid_out(v, deeper)}" for k, v in value.items()]
        return "{\n" + ",\n".join(fields) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [deeper + _laid_out(item, deeper) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return json.dumps(value)


def main() -> None:
    """Write picture and answers."""
    runtime = Runtime(load_settings())
    drawn = runtime.pipeline.run(
        runtime.open_image(photos.encoded(strip())), Options(face_detector="accurate")
    )
    assert drawn.jpeg is not None
    PICTURE.write_bytes(drawn.jpeg)
    options = Options(face_detector="accurate", return_image=False)
    image = runtime.open_image(SAMPLE.read_bytes())
    results = [runtime.pipeline.run(image, options) for _ in range(ROUNDS)]
    quickest = min(results, key=lambda result: result.inference_ms)
    answer = response_body(quickest)
    fill(ROOT / "docs" / "api.md", "answer", whole(answer))
    fill(ROOT / "README.md", "answer", short(answer))
    fill(ROOT / "docs" / "examples" / "README.md", "answer", line(answer))
    print(f"wrote {PICTURE.name} and three answers")


if __name__ == "__main__":
    main()
