"""See labelled pictures as the product does: detector, alignment, network, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import load_detector
from age_gender.vision.geometry import chip_transforms, resize, warp_chips
from age_gender.vision.model_spec import ModelSpec
from age_gender.vision.quality import assess
from training.prepare import CONFIDENCE, NMS, most_central, read_image, with_border

BATCH = 8


@dataclass(frozen=True)
class Observations:
    """What the network says of N pictures, before calibration.

    Attributes:
        found: bool ``[N]``; where False, all else is meaningless.
        distributions: float32 ``[N, K]``, over ages.
        male: float32 ``[N]``, raw probability of male.
        size: float32 ``[N]``, shorter side of the box, pixels.
        sharpness: float32 ``[N]``, see `age_gender.vision.quality`.
        yaw: float32 ``[N]``, 0 from a detector without landmarks.
    """

    found: NDArray[np.bool_]
    distributions: NDArray[np.float32]
    male: NDArray[np.float32]
    size: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    yaw: NDArray[np.float32]

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Observations:
        return Observations(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def concatenated(cls, parts: list[Observations]) -> Observations:
        """All of ``parts``, in order."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


def make_detector(name: str, models_dir: Path, threads: int) -> Detector:
    """Load a detector by its name in the registry."""
    return load_detector(
        name,
        lambda network: LiteRTEngine(models_dir / f"{network}.tflite", CpuShares(threads)),
        threads=1,
    )


@dataclass(frozen=True)
class Faces:
    """The face that a detector found in each of N pictures.

    Attributes:
        paths: ``[N]``.
        shrink: pictures are made smaller by this factor first.
        blur: standard deviation in pixels by which they are blurred after that.
        faces: ``[N]``, one detection each, in pixels of the picture with its border; or None.
    """

    paths: list[Path]
    shrink: float
    blur: float
    faces: list[Detections | None]


def find(paths: list[Path], detector: Detector, *, shrink: float = 1.0, blur: float = 0.0) -> Faces:
    """Find the face that each picture is of.

    Args:
        paths: ``[N]``.
        detector: finds the faces.
        shrink: pictures are made smaller by this factor first.
        blur: standard deviation in pixels by which they are blurred after that.
    """
    faces: list[Detections | None] = []
    for path in paths:
        picture = _picture(path, shrink, blur)
        seen = detector.detect(picture, CONFIDENCE, NMS)
        if len(seen):
            best = most_central(seen, picture.shape[1], picture.shape[0])
            faces.append(seen[np.array([best])])
        else:
            faces.append(None)
    return Faces(paths, shrink, blur, faces)


def observe(faces: Faces, engine: LiteRTEngine, spec: ModelSpec) -> Observations:
    """Cut the chips and run the network on them.

    Args:
        faces: as `find` gives them.
        engine: runs the network.
        spec: of the network.
    """
    count = len(faces.paths)
    chips = np.zeros((count, spec.chip.size, spec.chip.size, 3), np.uint8)
    size, sharpness, yaw = (np.zeros(count, np.float32) for _ in range(3))
    for i, (path, face) in enumerate(zip(faces.paths, faces.faces, strict=True)):
        if face is None:
            continue
        transforms = chip_transforms(face.boxes, face.landmarks, spec.chip.scale, spec.chip.size)
        chips[i : i + 1] = warp_chips(
            _picture(path, faces.shrink, faces.blur), transforms, spec.chip.size
        )
        (quality,) = assess(face.boxes, face.landmarks, chips[i : i + 1])
        size[i], sharpness[i], yaw[i] = quality.size, quality.sharpness, quality.yaw or 0.0
    outputs = list(_run(engine, chips))
    return Observations(
        np.array([face is not None for face in faces.faces]),
        np.concatenate([o[0] for o in outputs])[:count],
        np.concatenate([o[1] for o in outputs])[:count],
        size,
        sharpness,
        yaw,
    )


def _picture(path: Path, shrink: float, blur: float) -> NDArray[np.uint8]:
    """The picture, made smaller and less sharp and given its border."""
    picture = read_image(path)
    if shrink != 1:
        height, width = picture.shape[:2]
        picture = resize(picture, round(width * shrink), round(height * shrink))
    if blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
    return with_border(picture)[0]


def _run(
    engine: LiteRTEngine, chips: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    for start in range(0, len(chips), BATCH):
        part = chips[start : start + BATCH].astype(np.float32)
        full = np.concatenate([part, np.zeros((BATCH - len(part), *part.shape[1:]), np.float32)])
        outputs = engine.run(full)
        yield outputs["age"], outputs["gender"][:, 0]


def set_threads(count: int) -> None:
    """OpenCV's threads; LiteRT's are set where its engine is made."""
    cv2.setNumThreads(count)
