"""What the service sees of labelled faces, as they are and with defects: outputs and qualities.

Everything that is fitted on it comes from these arrays, which are cached, so that a new network
costs one pass over the chips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision import pose, quality
from age_gender.vision.detectors.base import Detector
from age_gender.vision.geometry import chip_transforms, resize, warp_chips
from age_gender.vision.model_spec import ModelSpec, load_spec
from age_gender.vision.quality import Quality, assess
from training import defects, drawings, retouch, without_people
from training.data import Prepared, load_prepared
from training.observe import make_detector
from training.retouch import retouched
from training.without_people import Picture, read, varied

QUALITIES = tuple(f.name for f in fields(Quality) if f.name != "covered")
"""All that the chip and the box tell; `covered` needs what is fitted on it."""
LISTED, PACKAGES, RENDERED = "listed", "packages", "rendered"
"""Kinds of the looks at pictures without people: of a table, of packages, of `training.figures`."""
WITHOUT_PEOPLE = (LISTED, PACKAGES, RENDERED)
EDITED = {kind: f"{kind}-edited" for kind in WITHOUT_PEOPLE}
"""Kinds of the looks at the same pictures, edited as photos are: smooth or grey must not mean a
face either."""
VARIATIONS = 4
"""Sizes and backgrounds of each of these pictures, and as many that are edited."""
CHUNK = 250
"""Faces that a worker takes at a time."""
_MODULES = (defects, drawings, retouch, without_people, pose, quality)
_SOURCES = (*(str(m.__file__) for m in _MODULES), __file__)
"""Files that decide what is observed."""


@dataclass(frozen=True)
class Looks:
    """N faces as the service sees them.

    Attributes:
        row: int ``[N]``, row in the prepared folder; for picture P without people, of those of its
            kind, -1 - P.
        kind: ``[N]``, what was done to the picture: a key of `KINDS`; or one of `WITHOUT_PEOPLE`
            or `EDITED`.
        distributions: float32 ``[N, K]``, over ages, as the network returns them.
        male: float32 ``[N]``, likewise.
        embedding: float16 ``[N, E]``.
        quality: float32 ``[N, Q]``, in the order of `QUALITIES`; 0 for None.
    """

    row: NDArray[np.int64]
    kind: NDArray[np.str_]
    distributions: NDArray[np.float32]
    male: NDArray[np.float32]
    embedding: NDArray[np.float16]
    quality: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Looks:
        return Looks(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def concatenated(cls, parts: Sequence[Looks]) -> Looks:
        """Concatenate ``parts``."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )

    def of(self, name: str) -> NDArray[np.float32]:
        """One quality of all faces, ``[N]``."""
        return self.quality[:, QUALITIES.index(name)]

    def qualities(self) -> list[Quality]:
        """The qualities as serving has them."""
        return [Quality(**dict(zip(QUALITIES, row, strict=True))) for row in self.quality.tolist()]


def cut_off(
    image: defects.Image, box: defects.Float, points: defects.Float, rng: np.random.Generator
) -> tuple[defects.Image, defects.Float, defects.Float]:
    """Cut 35 to 65 % of the face off, and return image, box and landmarks as a detector would."""
    side = int(rng.integers(4))
    share = rng.uniform(0.35, 0.65)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    left, top, right, bottom = 0, 0, width, height
    if side == 0:
        left = round(float(np.clip(x1 + share * (x2 - x1), 0, width - 8)))
    elif side == 1:
        right = round(float(np.clip(x2 - share * (x2 - x1), 8, width)))
    elif side == 2:
        top = round(float(np.clip(y1 + share * (y2 - y1), 0, height - 8)))
    else:
        bottom = round(float(np.clip(y2 - share * (y2 - y1), 8, height)))
    part = np.ascontiguousarray(image[top:bottom, left:right])
    # Detectors box what they see and guess the rest: somewhere between.
    seen = np.array(
        [max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)], np.float32
    ) - np.array([left, top, left, top], np.float32)
    whole = box - np.array([left, top, left, top], np.float32)
    guess = rng.uniform(0, 0.4)
    shift = np.array([left, top], np.float32)
    moved = points - shift
    jitter = rng.normal(0, 0.02 * (x2 - x1), moved.shape)
    inside = np.clip(moved, 0, [right - left, bottom - top])
    pull = rng.uniform(0.5, 1)
    return (
        part,
        (seen * (1 - guess) + whole * guess).astype(np.float32),
        (moved * (1 - pull) + inside * pull + jitter).astype(np.float32),
    )


def _whole(
    defect: defects.Defect,
) -> Callable[..., tuple[defects.Image, defects.Float, defects.Float]]:
    def altered(
        image: defects.Image, box: defects.Float, points: defects.Float, rng: np.random.Generator
    ) -> tuple[defects.Image, defects.Float, defects.Float]:
        return defect(image, box, points, rng), box, points

    return altered


def _small(
    image: defects.Image, box: defects.Float, points: defects.Float, rng: np.random.Generator
) -> tuple[defects.Image, defects.Float, defects.Float]:
    """Make the face 12 to 48 pixels wide."""
    factor = float(np.exp(rng.uniform(np.log(12), np.log(48)))) / float((box[2:] - box[:2]).min())
    height, width = image.shape[:2]
    shrunk = resize(image, max(8, round(width * factor)), max(8, round(height * factor)))
    return shrunk, box * np.float32(factor), points * np.float32(factor)


KINDS = {
    "clean": lambda image, box, points, _: (image, box, points),
    "motion": _whole(defects.motion_blur),
    "defocus": _whole(defects.defocus),
    "overexposed": _whole(defects.overexposed),
    "underexposed": _whole(defects.underexposed),
    "covered": _whole(defects.covered),
    "mask": _whole(defects.mask),
    "glasses": _whole(defects.dark_glasses),
    "hand": _whole(defects.hand),
    "bar": _whole(defects.bar),
    "half": _whole(defects.half),
    "beside": _whole(defects.beside),
    "drawn": _whole(drawings.drawn),
    "cut": cut_off,
    "small": _small,
    "retouched": _whole(retouched),
}


def _observe(task: tuple[Path, Path, str, str, NDArray[np.int64]]) -> Looks:
    """Observe some faces of a prepared folder; run in a worker."""
    folder, models, name, kind, rows = task
    cv2.setNumThreads(1)
    data = load_prepared(folder)
    engine = LiteRTEngine(models / f"{name}.tflite", CpuShares(1))
    spec = load_spec(models, name)
    return _looks(_altered(data, kind, rows), kind, rows, engine, spec)


def _altered(
    data: Prepared, kind: str, rows: NDArray[np.int64]
) -> Iterator[tuple[defects.Image, defects.Float, defects.Float]]:
    for row in rows.tolist():
        rng = np.random.default_rng([row, sum(kind.encode())])
        image = np.asarray(data.images[row])
        yield KINDS[kind](image, data.boxes[row], data.landmarks[row], rng)


def _looks(
    faces: Iterator[tuple[defects.Image, defects.Float, defects.Float]],
    kind: str,
    rows: NDArray[np.int64],
    engine: LiteRTEngine,
    spec: ModelSpec,
) -> Looks:
    parts, qualities = [], []
    for image, box, points in faces:
        transforms = chip_transforms(box[None], points[None], spec.chip.scale, spec.chip.size)
        chip = warp_chips(image, transforms, spec.chip.size)
        # Labelled pictures are cropped tightly: only a picture that was cut has a border.
        size = (image.shape[1], image.shape[0]) if kind == "cut" else None
        (measured,) = assess(box[None], points[None], chip, size)
        qualities.append([getattr(measured, q) or 0.0 for q in QUALITIES])
        parts.append(engine.run(chip))
    return Looks(
        rows,
        np.full(len(rows), kind, "<U16"),
        np.concatenate([p["age"] for p in parts]),
        np.concatenate([p["gender"][:, 0] for p in parts]),
        np.concatenate([p["embedding"] for p in parts]).astype(np.float16),
        np.array(qualities, np.float32),
    )


def looks_without_people(
    kind: str, pictures: Sequence[Picture], models: Path, name: str, detector: Detector
) -> Looks:
    """Observe what the detector takes for faces in pictures of a kind of `WITHOUT_PEOPLE`.

    Half of the variations are edited, after detection, and are of the kind in `EDITED`.

    Raises:
        ValueError: the detector finds nothing in any of them.
    """
    engine = LiteRTEngine(models / f"{name}.tflite", CpuShares(1))
    spec = load_spec(models, name)
    found: dict[str, list[tuple[defects.Image, defects.Float, defects.Float]]] = {}
    rows: dict[str, list[int]] = {}
    for number, picture in enumerate(pictures):
        original = read(picture.path)
        if original is None:
            continue
        for variation in range(2 * VARIATIONS):
            edited = variation >= VARIATIONS
            rng = np.random.default_rng((number, variation))
            image = varied(original, rng)
            detections = detector.detect(image, 0.1, 0.4)
            assert detections.landmarks is not None
            called = EDITED[kind] if edited else kind
            for box, points in zip(detections.boxes, detections.landmarks, strict=True):
                shown = retouched(image, box, points, rng) if edited else image
                found.setdefault(called, []).append((shown, box, points))
                rows.setdefault(called, []).append(-1 - number)
    if not found:
        raise ValueError(f"the detector finds nothing in the {len(pictures)} pictures of {kind!r}")
    return Looks.concatenated(
        [
            _looks(iter(faces), called, np.array(rows[called], np.int64), engine, spec)
            for called, faces in found.items()
        ]
    )


def observe_all(
    folder: Path,
    models: Path,
    name: str,
    wanted: dict[str, NDArray[np.int64]],
    empty: Mapping[str, Sequence[Picture]],
    cache: Path,
    workers: int = 2,
) -> Looks:
    """Observe faces of a prepared folder, or read what an earlier call observed.

    Args:
        folder: from `training.prepare`.
        models: with the built network and its specification.
        name: of the network.
        wanted: rows of the folder, by kind.
        empty: pictures without people, by kind, of `WITHOUT_PEOPLE`.
        cache: folder for the arrays; a changed network or wish is observed again.
        workers: processes.
    """
    digest = hashlib.sha256((models / f"{name}.tflite").read_bytes())
    for source in map(Path, _SOURCES):
        digest.update(source.read_bytes())
    for kind, rows in wanted.items():
        digest.update(kind.encode() + np.ascontiguousarray(rows).tobytes())
    for kind, pictures in empty.items():
        digest.update(kind.encode())
        for picture in pictures:
            digest.update(picture.path.read_bytes())
    file = cache / f"{name}-{digest.hexdigest()[:12]}.npz"
    if not file.exists():
        tasks = [
            (folder, models, name, kind, rows[start : start + CHUNK])
            for kind, rows in wanted.items()
            for start in range(0, len(rows), CHUNK)
        ]
        parts = []
        with ProcessPoolExecutor(workers) as pool:
            for part in pool.map(_observe, tasks):
                parts.append(part)
                print(f"{sum(map(len, parts))} faces", end="\r", flush=True)
        detector = make_detector("accurate", models, 1)
        parts += [
            looks_without_people(kind, pictures, models, name, detector)
            for kind, pictures in empty.items()
            if pictures
        ]
        looks = Looks.concatenated(parts)
        cache.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".new.npz")
        np.savez(temporary, **{f.name: getattr(looks, f.name) for f in fields(Looks)})
        temporary.replace(file)
    with np.load(file) as arrays:
        return Looks(**arrays)
