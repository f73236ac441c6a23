"""Runs the service's detector, alignment and network on labelled images."""

from __future__ import annotations

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
from age_gender.vision.quality import Quality, assess
from training.prepare import CONFIDENCE, NMS, central_face, read_image, with_border

BATCH = 8


NOTHING = Quality(0.0, 0.0, None, None)
"""Of a face that was not detected."""


@dataclass(frozen=True)
class Observations:
    """Raw outputs of the network and face qualities for N images.

    Attributes:
        detected: bool ``[N]``; where False, all else is meaningless.
        distributions: float32 ``[N, K]``, over ages.
        male: float32 ``[N]``, raw probability of male.
        embedding: float16 ``[N, E]``; E is 0 where the network returns none.
        quality: of each face, `age_gender.vision.quality.Quality` ``[N]``.
    """

    detected: NDArray[np.bool_]
    distributions: NDArray[np.float32]
    male: NDArray[np.float32]
    embedding: NDArray[np.float16]
    quality: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.detected)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Observations:
        return Observations(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def concatenated(cls, parts: list[Observations]) -> Observations:
        """Concatenate ``parts``."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )

    def of(self, name: str) -> NDArray[np.float32]:
        """One quality of all faces, ``[N]``; 0 for None."""
        return np.array([getattr(quality, name) or 0.0 for quality in self.quality], np.float32)

    def qualities(self) -> list[Quality]:
        """All qualities of each face."""
        return list(self.quality)


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
    detected = np.array([face is not None for face in faces.detections])
    quality = np.full(len(detected), NOTHING, object)
    outputs = []
    for start in range(0, len(detected), BATCH):
        chips = np.zeros((BATCH, spec.chip.size, spec.chip.size, 3), np.uint8)
        for i in range(start, min(start + BATCH, len(detected))):
            face = faces.detections[i]
            if face is not None:
                chip = chips[i - start : i - start + 1]
                image = _load(faces.paths[i], faces.scale, faces.blur)
                transforms = chip_transforms(
                    face.boxes, face.landmarks, spec.chip.scale, spec.chip.size
                )
                chip[:] = warp_chips(image, transforms, spec.chip.size)
                (quality[i],) = assess(face.boxes, face.landmarks, chip)
        outputs.append(_run(engine, chips))
    ages, male, embedding = (
        np.concatenate(parts)[: len(detected)] for parts in zip(*outputs, strict=True)
    )
    return Observations(detected, ages, male, embedding, quality)


def _load(path: Path, scale: float, blur: float) -> NDArray[np.uint8]:
    """Read an image, resize and blur it, and add the border."""
    image = read_image(path)
    if scale != 1:
        height, width = image.shape[:2]
        image = resize(image, round(width * scale), round(height * scale))
    if blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8)
    return with_border(image)[0]


def _run(engine: LiteRTEngine, chips: NDArray[np.uint8]) -> tuple[NDArray[np.floating], ...]:
    """Ages ``[B, K]``, probability of male ``[B]`` and embedding ``[B, E]`` of a batch of chips."""
    outputs = engine.run(chips.astype(np.float32))
    embedding = outputs.get("embedding", np.zeros((len(chips), 0), np.float32))
    return outputs["age"], outputs["gender"][:, 0], embedding.astype(np.float16)


def set_threads(count: int) -> None:
    """Set OpenCV's threads; LiteRT's are set per engine."""
    cv2.setNumThreads(count)
