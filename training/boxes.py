"""What detectors, face mesh and the networks for age and gender say of boxes in varied pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DETECTORS, FACE_MESH, SECOND_DETECTOR
from age_gender.vision.face_check import Evidence
from age_gender.vision.geometry import (
    Float,
    Image,
    chip_transforms,
    clip_boxes,
    iou_matrix,
    roll_angles,
    unmirrored,
    warp_chips,
)
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.model_spec import load_spec
from age_gender.vision.orientation import orient
from age_gender.vision.second_detector import SecondDetector
from training.observe import make_detector
from training.prepare import read_image
from training.scenes import (
    VARIATIONS,
    Rng,
    Scene,
    as_it_is,
    small,
    subject_of,
    texture,
    varied_animal,
)
from training.without_people import opened

MIN_SCORE = 0.15
"""Detector's score of the boxes collected; lower than in the service, for more that are none."""
MIN_TRUE_IOU = 0.4
"""Of a box with the face of a scene, for it to count as that."""
MAX_BOXES = 6
"""Collected from one picture, the best ones."""
PLAIN = ("faces", "group", "picture", "turned")
"""Arrays of `Boxes`, one row a box."""
VARIATIONS_OF_ANIMALS = 6
TEXTURES = 100
SHARE_OF_SLOW = 4
"""`fast` sees one picture in so many: it is slow on large scenes, and has fewer parameters."""
CHUNK = 20
"""Pictures that a worker takes at a time."""


@dataclass(frozen=True)
class Task:
    """A picture to vary.

    Attributes:
        number: of the picture, which also seeds its variations.
        path: of the file, None for a texture.
        group: data set, or kind of a picture without people.
        face: whether it shows one.
        varied: whether a picture without people is varied, or taken as it is.
    """

    number: int
    path: Path | None
    group: str
    face: bool = False
    varied: bool = False


@dataclass(frozen=True)
class Boxes:
    """N boxes that a detector found.

    Attributes:
        evidence: what is known of them, but for the embedding.
        faces: bool ``[N]``.
        group: ``[N]``, set and kind of their pictures.
        picture: int ``[N]``, the picture that they are from.
        turned: bool ``[N]``, whether the mesh sees the face turned by a right angle or more.
        first: by network, float16 ``[N, E]``: features of the chip as the detector has it.
        final: likewise, of the chip as the mesh has it.
    """

    evidence: Evidence
    faces: NDArray[np.bool_]
    group: NDArray[np.str_]
    picture: NDArray[np.intp]
    turned: NDArray[np.bool_]
    first: dict[str, NDArray[np.float16]]
    final: dict[str, NDArray[np.float16]]

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Boxes:
        return Boxes(
            self.evidence[index],
            *(self.faces[index], self.group[index], self.picture[index], self.turned[index]),
            {name: rows[index] for name, rows in self.first.items()},
            {name: rows[index] for name, rows in self.final.items()},
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Boxes]) -> Boxes:
        """Concatenate ``parts``, at least one."""
        evidence = {
            f.name: np.concatenate([getattr(part.evidence, f.name) for part in parts])
            for f in fields(Evidence)
        }
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PLAIN}
        first, final = (
            {n: np.concatenate([getattr(p, which)[n] for p in parts]) for n in parts[0].first}
            for which in ("first", "final")
        )
        return cls(Evidence(**evidence), **arrays, first=first, final=final)

    def arrays(self) -> dict[str, Any]:
        """All arrays by name, for `numpy.savez`; `of_arrays` reads them."""
        named: dict[str, Any] = {
            f"evidence {f.name}": getattr(self.evidence, f.name) for f in fields(Evidence)
        }
        named |= {name: getattr(self, name) for name in PLAIN}
        for which in ("first", "final"):
            named |= {f"{which} {name}": rows for name, rows in getattr(self, which).items()}
        return named

    @classmethod
    def of_arrays(cls, named: Mapping[str, NDArray[Any]]) -> Boxes:
        """The inverse of `arrays`."""
        parts: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
        for key, array in named.items():
            which, _, name = key.partition(" ")
            parts[which if name else ""][name or which] = array
        evidence = Evidence(**parts["evidence"])
        return cls(evidence, **parts[""], first=parts["first"], final=parts["final"])


class Collector:
    """Runs a detector, the mesh and networks over scenes, and collects what they say."""

    def __init__(
        self,
        detector: Detector,
        mesh: FaceMesh,
        second: SecondDetector,
        networks: Mapping[str, AttributeEstimator],
    ):
        """Collect nothing yet."""
        self._detector = detector
        self._mesh = mesh
        self._second = second
        self._networks = networks
        self.parts: list[Boxes] = []

    def add(self, scene: Scene, group: str, picture: int) -> None:
        """Detect the faces of a scene."""
        height, width = scene.image.shape[:2]
        found = self._detector.detect(scene.image, MIN_SCORE, 0.5).inside(width, height)
        if scene.box is not None:
            boxes = (clip_boxes(b, width, height) for b in (found.boxes, scene.box[None]))
            overlaps = iou_matrix(*boxes)[:, 0]
            # The best of several boxes on the face. Those beside it may be faces of other people.
            found = found[np.flatnonzero(overlaps >= MIN_TRUE_IOU)[:1]]
        found = found[np.arange(min(len(found), MAX_BOXES))]
        if not len(found):
            return
        orientations = orient(self._mesh, scene.image, found)
        every_row = np.arange(len(found))
        evidence = Evidence.of(found, width, height).with_mesh(every_row, orientations)
        angles = roll_angles(orientations.landmarks)
        second = self._second.logits(scene.image, found.boxes, angles)
        evidence = evidence.with_second(every_row, second)
        detected = found.landmarks
        own = orientations.landmarks if detected is None else unmirrored(detected)
        count = len(found)
        self.parts.append(
            Boxes(
                evidence,
                np.full(count, scene.box is not None),
                np.full(count, group),
                np.full(count, picture),
                orientations.turns != 0,
                self._features(scene.image, found, own),
                self._features(scene.image, found, orientations.landmarks),
            )
        )

    def _features(
        self, image: Image, found: Detections, landmarks: Float
    ) -> dict[str, NDArray[np.float16]]:
        features = {}
        for name, network in self._networks.items():
            chip = network.spec.chip
            transforms = chip_transforms(found.boxes, landmarks, chip.scale, chip.size)
            embedding = network.estimate(warp_chips(image, transforms, chip.size)).embedding
            assert embedding is not None
            features[name] = embedding.astype(np.float16)
        return features


class Worker:
    """Varies pictures and runs everything over them."""

    def __init__(self, models: Path, names: Sequence[str]):
        """Load the networks.

        Args:
            models: folder of the models.
            names: of the networks for age and gender.
        """
        cv2.setNumThreads(1)

        def engine(name: str) -> LiteRTEngine:
            return LiteRTEngine(models / f"{name}.tflite", CpuShares(1))

        self._mesh = FaceMesh(engine(FACE_MESH))
        self._second = SecondDetector(engine(SECOND_DETECTOR))
        self._detectors = {name: make_detector(name, models, 1) for name in DETECTORS}
        self._networks = {
            name: AttributeEstimator(engine(name), load_spec(models, name)) for name in names
        }

    def observe(self, tasks: Sequence[Task]) -> dict[str, Boxes | None]:
        """Return the boxes of each detector, None if there are none; grouped by kind of scene."""
        found = {
            name: Collector(detector, self._mesh, self._second, self._networks)
            for name, detector in self._detectors.items()
        }
        for task in tasks:
            for kind, scene in self._scenes(task):
                for name, collector in found.items():
                    if name == "accurate" or task.number % SHARE_OF_SLOW == 0:
                        collector.add(scene, kind, task.number)
        return {
            name: Boxes.concatenated(collector.parts) if collector.parts else None
            for name, collector in found.items()
        }

    def _scenes(self, task: Task) -> list[tuple[str, Scene]]:
        rng = np.random.default_rng(task.number)
        if task.path is None:
            return [(task.group, Scene(texture(480, 360, rng), None))]
        if task.face:
            return self._faces(task.path, task.group, rng)
        image = opened(task.path, rng)
        if image is None:
            return []
        others = range(VARIATIONS_OF_ANIMALS if task.varied else 0)
        images = [image, *(varied_animal(image, rng) for _ in others)]
        return [(task.group, Scene(each, None)) for each in images]

    def _faces(self, path: Path, group: str, rng: Rng) -> list[tuple[str, Scene]]:
        subject = subject_of(read_image(path), self._detectors["accurate"])
        if subject is None:
            return []
        others = rng.choice(len(VARIATIONS), 2, replace=False)
        chosen = (as_it_is, small, *(VARIATIONS[i] for i in others))
        scenes = [(vary.__name__, vary(subject, rng)) for vary in chosen]
        return [(name if scene.box is None else f"{group} {name}", scene) for name, scene in scenes]


_worker: Worker | None = None


def _start(models: Path, names: Sequence[str]) -> None:
    global _worker
    _worker = Worker(models, names)


def _observe(tasks: Sequence[Task]) -> dict[str, Boxes | None]:
    assert _worker is not None
    return _worker.observe(tasks)


def collect(
    tasks: Sequence[Task], models: Path, names: Sequence[str], workers: int
) -> dict[str, Boxes]:
    """Run everything over varied pictures.

    Args:
        tasks: the pictures.
        models: folder of the models.
        names: of the networks for age and gender.
        workers: processes.

    Returns:
        What each detector found.
    """
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    parts: dict[str, list[Boxes]] = {name: [] for name in DETECTORS}
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(models, names)) as pool:
        for done, found in enumerate(pool.map(_observe, chunks), 1):
            for name, boxes in found.items():
                if boxes is not None:
                    parts[name].append(boxes)
            print(f"{done} of {len(chunks)}", end="\r", flush=True)
    return {name: Boxes.concatenated(found) for name, found in parts.items()}
