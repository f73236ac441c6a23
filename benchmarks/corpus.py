"""Sends every file of a folder or archive to the service, and compares its pictures with Pillow's.

    python -m benchmarks.corpus pillow-12.0.0.tar.gz [--json results.json]

Made for the test files of image packages, which are as odd and as damaged as they come; a source
archive is fetched with ``pip download --no-binary :all: --no-deps pillow==12.0.0``. The exit status
is 1 if an answer was a 5xx, the connection broke, or a picture lies on its side.
"""

import argparse
import base64
import io
import json
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image, ImageOps

from testing.service import Service

SIDE = 24
"""Pixels of the thumbnails that are compared."""
MAX_FILE_BYTES = 20_000_000
BETTER = 8.0
"""Levels of 255 by which another way up has to be closer to count as the right one."""
CLOSE = 30.0
"""Levels of 255 within which it has to be: damaged files look different in each program."""


@dataclass(frozen=True)
class Answer:
    """What came back for one file.

    Attributes:
        name: of the file.
        status: HTTP status; 0 where the connection broke.
        detail: of an error, or the warnings.
        upright: whether the picture is the way up that Pillow has it; None if it cannot tell.
        pillow_reads: whether Pillow reads the file.
    """

    name: str
    status: int
    detail: str
    upright: bool | None
    pillow_reads: bool

    @property
    def is_wrong(self) -> bool:
        """Whether the service failed, or turned the picture wrongly."""
        return self.status == 0 or self.status >= 500 or self.upright is False


def files_of(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a folder or tar archive."""
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    with tarfile.open(source) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file and member.size <= MAX_FILE_BYTES:
                yield member.name, file.read()


def ask(service: Service, name: str, data: bytes) -> Answer:
    """Send one file and judge the answer."""
    reference = pillow_thumbnail(data)
    try:
        response = service.post(
            "/predict?draw=false&get_attributes=false&face_detector=accurate",
            data=data,
            headers={"Content-Type": "application/octet-stream"},
        )
    except requests.RequestException as error:
        return Answer(name, 0, str(error), None, reference is not None)
    body = response.json()
    if response.status_code != 200:
        return Answer(name, response.status_code, body["detail"], None, reference is not None)
    picture = pillow_thumbnail(base64.b64decode(body["image"]))
    upright = None
    if reference is not None and picture is not None:
        upright = is_upright(picture, reference)
    return Answer(name, 200, "; ".join(body["warnings"]), upright, reference is not None)


def pillow_thumbnail(data: bytes) -> NDArray[np.float32] | None:
    """Decode with Pillow, upright, to float32 ``[SIDE, SIDE, 3]``; None if it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                upright = ImageOps.exif_transpose(image)
                deep = upright.mode.startswith("I;16")
                if deep:
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                return np.asarray(upright.convert("RGB").resize((SIDE, SIDE)), np.float32)
    except Exception:
        return None


def is_upright(picture: NDArray[np.float32], reference: NDArray[np.float32]) -> bool:
    """Whether no other of the eight ways up is close to the reference, and clearly closer."""
    turned = [np.rot90(way, k) for way in (picture, picture[:, ::-1]) for k in range(4)]
    distances = [float(np.abs(way - reference).mean()) for way in turned]
    return distances[0] - min(distances) < BETTER or min(distances) > CLOSE


def main() -> int:
    """Run over one archive or folder, print a summary, and return the exit status."""
    parser = argparse.ArgumentParser("benchmarks.corpus", description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="an archive (.tar.gz) or a folder")
    parser.add_argument("--json", type=Path, help="file for all answers")
    options = parser.parse_args()
    if not options.source.exists():
        print(f"NOT MEASURED: there is no {options.source}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "log") as service:
        answers = [ask(service, name, data) for name, data in files_of(options.source)]
        alive = service.process.poll() is None
    if options.json:
        rows = [asdict(answer) for answer in answers]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    statuses = Counter(answer.status for answer in answers)
    ours = sum(answer.status == 200 and not answer.pillow_reads for answer in answers)
    print(f"{len(answers)} files: {dict(sorted(statuses.items()))}")
    print(
        f"{sum(a.upright is True for a in answers)} upright, {ours} read that Pillow does not read"
    )
    for answer in answers:
        if answer.is_wrong:
            print(f"WRONG: {answer}")
    return 0 if alive and not any(answer.is_wrong for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
