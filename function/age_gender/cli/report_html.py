"""A report on a collection of pictures as one HTML file that needs nothing from elsewhere."""

import base64
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from age_gender import __version__
from age_gender.batch.folder_store import FolderStore
from age_gender.cli.frames import Frame
from age_gender.cli.reports import csv_rows, csv_text
from age_gender.cli.text import percent, plural, printable
from age_gender.vision.face import Face, Reason
from age_gender.vision.geometry import Image, resize
from age_gender.vision.pipeline import Result
from age_gender.vision.render import COLOURS, encode_jpeg

BANDS = 10
BAND_YEARS = 10
COVERAGE = 0.8
"""Of the age intervals, as the models are calibrated."""
REASONS: dict[Reason, str] = {
    "not-a-face": "perhaps not a face",
    "turned": "turned away",
    "blurred": "blurred",
    "dark": "too dark",
    "overexposed": "too bright",
    "small": "too small",
    "cut-off": "cut off",
    "covered": "covered",
    "age-uncertain": "age uncertain",
    "gender-uncertain": "gender uncertain",
}
_FORMULAS = ("=", "+", "-", "@", "\t")
"""What begins a formula in spreadsheets."""


class HtmlReport:
    """Takes results like the other reports, and writes the file when it is closed.

    Pictures are kept scaled down, in a temporary file until then, so memory does not grow with
    them.
    """

    def __init__(self, path: Path, title: str, max_side: int):
        """Start without pictures.

        Args:
            path: the file.
            title: what it is about.
            max_side: longer side of the pictures in it, pixels.
        """
        self._path = path
        self._title = title
        self._max_side = max_side
        self._environment = _environment()
        self._figure = self._environment.get_template("report_figure.html")
        self._figures = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the report
        self._images = 0
        self._faces: list[dict[str, Any]] = []
        self._csv: list[str] = [csv_text([], with_header=True)]
        self._models: dict[str, Any] = {}

    def add(self, frame: Frame, result: Result, body: dict[str, Any]) -> None:
        """Add one picture; the blurred one, if there is one."""
        self._images += 1
        self._models = body["model"]
        image = frame.image
        if result.jpeg:
            decoded = cv2.imdecode(np.frombuffer(result.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
            image = np.asarray(decoded, np.uint8)
        # Without the folders above: they are this machine's business.
        name = printable(f"{frame.stem.as_posix()}{Path(frame.name).suffix}")
        first = len(self._faces)
        rows = [{**row, "file": name} for row in csv_rows(frame, result, body)]
        self._csv += [_line(row) for row in rows]
        self._faces += [
            _data(self._images, name, face, _line(row))
            for face, row in zip(result.faces, rows[: len(result.faces)], strict=True)
        ]
        figure = self._figure.render(
            number=self._images,
            name=name,
            jpeg=encode_jpeg(_fitted(image, self._max_side)),
            width=result.size[0],
            height=result.size[1],
            faces=list(enumerate(zip(result.faces, self._faces[first:], strict=True), first)),
            warnings=frame.warnings,
        )
        self._figures.write(figure.encode())

    def close(self) -> None:
        """Write the file.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with self._figures, FolderStore(self._path.parent).replacing(self._path.name, "") as file:
            before, after = self._page().split("<!-- figures -->")
            file.write(before.encode())
            self._figures.seek(0)
            shutil.copyfileobj(self._figures, file)
            file.write(after.encode())

    def _page(self) -> str:
        script = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        reliable = sum(face["reliable"] for face in self._faces)
        return self._environment.get_template("report.html").render(
            title=self._title,
            made=f"{datetime.now():%d %B %Y, %H:%M}",
            version=__version__,
            models=self._models,
            images=plural(self._images, "picture"),
            count=len(self._faces),
            faces=plural(len(self._faces), "face"),
            reliable=reliable,
            data=_json({"faces": self._faces, "header": self._csv[0], "reasons": REASONS}),
            csv="".join(self._csv),
            reasons=REASONS,
            script=Markup(script),  # noqa: S704 - our own
            style=Markup(  # noqa: S704 - our own
                Path(__file__).with_name("report.css").read_text(encoding="utf-8")
            ),
            digest=digest,
            colours={gender: f"rgb{colour}" for gender, colour in COLOURS.items()},
        )


def age_bands(age: float, interval: Sequence[float]) -> list[float]:
    """Distribute one person over bands of ten years.

    The age is taken as normal on either side of the estimate, with the interval's ends as 10 % and
    90 % quantiles, and cut off below 0.

    Args:
        age: years.
        interval: years, the ends of the 80 % interval.

    Returns:
        Probabilities of 0 to 9, 10 to 19, ..., 90 and more; they add up to 1.
    """
    quantile = NormalDist().inv_cdf((1 + COVERAGE) / 2)
    low, high = (max(abs(end - age) / quantile, 0.1) for end in interval)

    def below(years: float) -> float:
        return NormalDist(age, low if years < age else high).cdf(years)

    # Someone is 39 until the 40th birthday, but ages are rounded: 39.5 counts as 40.
    edges = [band * BAND_YEARS - 0.5 for band in range(1, BANDS)]
    zero = below(-0.5)
    cumulative = [0.0, *((below(edge) - zero) / (1 - zero) for edge in edges), 1.0]
    return [max(b - a, 0.0) for a, b in pairwise(cumulative)]


def _data(image: int, name: str, face: Face, line: str) -> dict[str, Any]:
    """What the page's script needs to know about a face."""
    attributes = face.attributes
    assert attributes is not None  # the command always asks for them
    low, high = attributes.age_interval
    return {
        "picture": image,
        "name": name,
        "age": round(attributes.age, 1),
        "low": round(low, 1),
        "high": round(high, 1),
        "gender": attributes.gender,
        "probability": round(attributes.gender_probability, 4),
        "reliable": attributes.reliable,
        "reasons": list(attributes.reasons),
        "bands": [round(p, 4) for p in age_bands(attributes.age, attributes.age_interval)],
        "csv": line,
    }


def _line(row: dict[str, Any]) -> str:
    """Format a row for people, whose spreadsheet must not run a file's name as a formula."""
    name = row["file"]
    guarded = f"'{name}" if name.startswith(_FORMULAS) else name
    return csv_text([{**row, "file": guarded}], with_header=False)


def _fitted(image: Image, max_side: int) -> Image:
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    return resize(image, max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))


def _json(value: object) -> Markup:
    """Encode for a script element, which no text in it can end."""
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704 - escaped above


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda data: base64.b64encode(
        data if isinstance(data, bytes) else data.encode()
    ).decode("ascii")
    environment.filters["percent"] = lambda p: percent(p).replace("%", " %")
    environment.globals["reason_texts"] = REASONS
    return environment
