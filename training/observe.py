"""Runs the service's detector, alignment and network on labelled images."""

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
from training.prepare import CONFIDENCE, NMS, central_face, read_image, with_border

BATCH = 8


@dataclass(frozen=True)
class Observations:
    """Raw outputs of the network and face qualities for N images.

    Attributes:
        detected: bool ``[N]``; where False, all else is meaningless.
        distributions: float32 ``[N, K]``, over ages.
        male: float32 ``[N]``, raw probability of male.
        size: float32 ``[N]``, shorter side of the box, pixels.
        sharpness: float32 ``[N]``, see `age_gender.vision.quality`.
        yaw: float32 ``[N]``, 0 from a detector without landmarks.
    """

    detected: NDArray[np.bool_]
    distributions: NDArray[np.float32]
    male: NDArray[np.float32]
    size: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    yaw: NDArray[np.float32]

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Observations:
        return Observations(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def concatenated(cls, parts: list[Observations]) -> Observations:
        """Concatenate ``parts``."""
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
    """The face detected in each of N images.

    Attributes:
        paths: ``[N]``.
        scale: factor by which the images are resized first.
        blur: standard deviation of a blur after that, pixels.
        detections: ``[N]``, one face each, in pixels of the image with its border; or None.
    """

    paths: list[Path]
    scale: float
    blur: float
    detections: list[Detections | None]


def detect_faces(
    paths: list[Path], detector: Detector, *, scale: float = 1.0, blur: float = 0.0
) -> Faces:
    """Detect the subject of each image.

    Args:
        paths: ``[N]``.
        detector: detects the faces.
        scale: factor by which the images are resized first.
        blur: standard deviation of a blur after that, pixels.
    """
    subjects: list[Detections | None] = []
    for path in paths:
        image = _load(path, scale, blur)
        detections = detector.detect(image, CONFIDENCE, NMS)
        if len(detections):
            index = central_face(detections, image.shape[1], image.shape[0])
            subjects.append(detections[np.array([index])])
        else:
            subjects.append(None)
    return Faces(paths, scale, blur, subjects)


def observe(faces: Faces, engine: LiteRTEngine, spec: ModelSpec) -> Observations:
    """Cut the chips and run the network on them.

    Args:
        faces: from `detect_faces`.
        engine: runs the network.
        spec: of the network.
    """
    count = len(faces.paths)
    chips = np.zeros((count, spec.chip.size, spec.chip.size, 3), np.uint8)
    size, sharpness, yaw = (np.zeros(count, np.float32) for _ in range(3))
    for i, (path, face) in enumerate(zip(faces.paths, faces.detections, strict=True)):
        if face is None:
            continue
        transforms = chip_transforms(face.boxes, face.landmarks, spec.chip.scale, spec.chip.size)
        chips[i : i + 1] = warp_chips(
            _load(path, faces.scale, faces.blur), transforms, spec.chip.size
        )
        (quality,) = assess(face.boxes, face.landmarks, chips[i : i + 1])
        size[i], sharpness[i], yaw[i] = quality.size, quality.sharpness, quality.yaw or 0.0
    outputs = list(_run(engine, chips))
    return Observations(
        np.array([face is not None for face in faces.detections]),
        np.concatenate([o[0] for o in outputs])[:count],
        np.concatenate([o[1] for o in outputs])[:count],
        size,
        sharpness,
        yaw,
    )


def _load(path: Path, scale: float, blur: float) -> NDArray[np.uint8]:
    """Read an image, resize and blur it, and add the border."""
    image = read_image(path)
    if scale != 1:
        height, width = image.shape[:2]
        image = resize(image, round(width * scale), round(height * scale))
    if blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8)
    return with_border(image)[0]


def _run(
    engine: LiteRTEngine, chips: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    for start in range(0, len(chips), BATCH):
        part = chips[start : start + BATCH].astype(np.float32)
        full = np.concatenate([part, np.zeros((BATCH - len(part), *part.shape[1:]), np.float32)])
        outputs = engine.run(full)
        yield outputs["age"], outputs["gender"][:, 0]


def set_threads(count: int) -> None:
    """Set OpenCV's threads; LiteRT's are set per engine."""
    cv2.setNumThreads(count)
