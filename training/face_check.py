"""Fits the probability that a box is a human face: see ``age_gender.vision.face_check``.

Both detectors and the face mesh run, as in the service, over pictures that a program varies: faces
as they are, small in a scene, turned, half outside, blurred, dark, overexposed, covered; and
animals, drawings, statues, textures and fragments of faces, which are none::

    python -m training.face_check --data DIR --models DIR --out FILE

The folder has ``NAME.tar`` and ``NAME.csv`` of each set. Only sets whose licences allow commercial
use are fitted on; the others show how it does on pictures of other sources.
"""

from __future__ import annotations

import argparse
import csv
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.detectors.base import Detector
from age_gender.vision.detectors.registry import DETECTORS, FACE_MESH
from age_gender.vision.face_check import (
    FEATURES,
    Evidence,
    FaceCheck,
    FaceCheckParameters,
    features,
    offsets,
)
from age_gender.vision.geometry import Float, Image, clip_boxes, iou_matrix, resize
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.orientation import orient
from training.data import DataError
from training.observe import make_detector
from training.prepare import central_face, with_border

FITTED = ("fairface_train", "portraits")
"""Sets of faces that may be used commercially."""
HELD_OUT = ("fairface_more", "utk_train", "aaf_train")
ANIMALS = "animals"
FREE = ("BSD", "MIT", "CC BY 4.0", "GPL-2+ or CC BY-SA 4.0 (Debian package)")
"""Licences of animals and drawings that allow commercial use."""
MIN_SCORE = 0.15
"""Detector's score of the boxes collected; lower than in the service, for more that are none."""
MIN_TRUE_IOU = 0.4
"""Of a box with the face of a scene, for it to count as that."""
VARIATIONS_OF_ANIMALS = 8
FACE_SHARE = 0.75
"""Of all boxes. Detectors find more faces than others in the pictures that people send; it decides
what a probability of 0.5 means: here 99 % of FairFace keep more."""
KIND_WEIGHTS = {"drawing": 0.3, "cartoon": 0.3, "statue": 0.3, "texture": 0.3, "fragment": 0.3}
"""Weight of a kind of pictures without faces, 1 if not named. The first three show human features,
and may be found, so they must not cost the faces that look like them."""
L2 = 1e-3
"""Weight of the squared parameters, beside a mean loss."""

LICENCE = "Apache-2.0"
DATA = (
    "Faces: FairFace (CC BY 4.0, Kärkkäinen and Joo 2021) and official portraits (US Congress: "
    "public domain; House of Commons: CC BY 3.0, Chris McAndrew), varied by a program. Others: "
    "cats (BSD), drawings of Wesnoth (GPL or CC BY-SA 4.0), cartoons (MIT), a statue (CC BY 4.0), "
    "textures. All allow commercial use."
)

Rng = np.random.Generator


@dataclass(frozen=True)
class Subject:
    """A face that `accurate` found in a cropped picture.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB, with a border.
        box: float32 ``[4]``, pixels.
        landmarks: float32 ``[5, 2]``, pixels.
    """

    image: Image
    box: Float
    landmarks: Float

    @property
    def side(self) -> float:
        """Longer side of the box, pixels."""
        return float((self.box[2:] - self.box[:2]).max())


@dataclass(frozen=True)
class Scene:
    """A picture made for fitting.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        box: of its only face, float32 ``[4]``, or None.
    """

    image: Image
    box: Float | None


# --- pictures of faces ---------------------------------------------------------------------------


def pasted(
    subject: Subject, side: float, degrees: float, rng: Rng, size: tuple[int, int] | None = None
) -> Scene:
    """Put a face into a scene of textures.

    Args:
        subject: the face.
        side: of its box in the scene, pixels.
        degrees: by which it is rotated clockwise.
        rng: chooses scene and place.
        size: width and height of the scene; None for one that holds the face with room around it.
    """
    width, height = size or tuple(round(side * rng.uniform(2, 4)) + 96 for _ in range(2))
    scene = texture(width, height, rng)
    room = side * 0.6
    centre = [rng.uniform(min(room, n / 2), max(n - room, n / 2)) for n in (width, height)]
    zoom = side / subject.side
    image, shrunk = subject.image, 1.0
    if zoom < 1:
        new = [max(1, round(n * zoom)) for n in image.shape[1::-1]]
        image, shrunk = resize(image, *new), zoom
    middle = (subject.box[:2] + subject.box[2:]) / 2 * shrunk
    transform = cv2.getRotationMatrix2D(tuple(map(float, middle)), -degrees, zoom / shrunk)
    transform[:, 2] += np.subtract(centre, middle)
    cv2.warpAffine(image, transform, (width, height), dst=scene, borderMode=cv2.BORDER_TRANSPARENT)
    half = (subject.box[2:] - subject.box[:2]) / 2 * zoom
    return Scene(scene, np.concatenate([centre - half, centre + half]).astype(np.float32))


def texture(width: int, height: int, rng: Rng) -> Image:
    """Noise of a random grain, contrast and colour, sometimes with shapes in it."""
    grain = int(rng.integers(1, 48))
    cells = rng.normal(0, rng.uniform(5, 60), (height // grain + 2, width // grain + 2, 3))
    colour = rng.uniform(20, 235, 3)
    image = np.clip(cells + colour, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(int(rng.integers(0, 8))):
        start, end = (tuple(map(int, rng.integers(0, (width, height)))) for _ in range(2))
        line = int(rng.integers(-1, 6)) or 1
        shade = tuple(map(float, rng.uniform(0, 255, 3)))
        if rng.random() < 0.5:
            cv2.rectangle(image, start, end, shade, line)
        else:
            cv2.circle(image, start, int(rng.integers(2, 60)), shade, line)
    return image


def as_it_is(subject: Subject, _rng: Rng) -> Scene:
    """The picture itself."""
    return Scene(subject.image, subject.box)


def small(subject: Subject, rng: Rng) -> Scene:
    """A face of 12 to 200 pixels in a scene."""
    side = float(np.exp(rng.uniform(np.log(12), np.log(200))))
    return pasted(subject, side, rng.normal(0, 8), rng)


def turned(subject: Subject, rng: Rng) -> Scene:
    """A face rotated by any angle."""
    return pasted(subject, rng.uniform(40, 200), rng.uniform(0, 360), rng)


def half_outside(subject: Subject, rng: Rng) -> Scene:
    """A face of which a border of the picture cuts off up to half."""
    scene = pasted(subject, rng.uniform(40, 200), rng.normal(0, 8), rng)
    assert scene.box is not None
    x1, y1, x2, y2 = scene.box
    inside = rng.uniform(0.5, 0.9)
    height, width = scene.image.shape[:2]
    crops = [
        (0, 0, x1 + (x2 - x1) * inside, height),
        (x2 - (x2 - x1) * inside, 0, width, height),
        (0, 0, width, y1 + (y2 - y1) * inside),
        (0, y2 - (y2 - y1) * inside, width, height),
    ]
    left, top, right, bottom = map(int, crops[rng.integers(4)])
    image = np.ascontiguousarray(scene.image[top:bottom, left:right])
    return Scene(image, scene.box - np.array([left, top] * 2, np.float32))


def blurred(subject: Subject, rng: Rng) -> Scene:
    """Out of focus, or moved."""
    side = rng.uniform(40, 160)
    scene = pasted(subject, side, rng.normal(0, 8), rng)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(scene.image, (0, 0), side * rng.uniform(0.01, 0.06))
    else:
        kernel = np.zeros((31, 31), np.float32)
        reach = max(1, min(15, round(side * rng.uniform(0.03, 0.12))))
        kernel[15, 15 - reach : 16 + reach] = 1
        tilt = cv2.getRotationMatrix2D((15, 15), rng.uniform(0, 180), 1)
        kernel = np.asarray(cv2.warpAffine(kernel, tilt, (31, 31)), np.float32)
        image = cv2.filter2D(scene.image, -1, kernel / kernel.sum())
    return Scene(np.asarray(image, np.uint8), scene.box)


def badly_lit(subject: Subject, rng: Rng) -> Scene:
    """Dark with noise, or overexposed."""
    scene = pasted(subject, rng.uniform(40, 200), rng.normal(0, 8), rng)
    image = scene.image.astype(np.float32)
    if rng.random() < 0.5:
        image *= np.float32(rng.uniform(0.08, 0.4))
        image += rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
    else:
        image *= np.float32(rng.uniform(1.5, 4))
    return Scene(np.clip(image, 0, 255).astype(np.uint8), scene.box)


def covered(subject: Subject, rng: Rng) -> Scene:
    """A face with a mask or dark glasses drawn on it, among them both."""
    image = subject.image.copy()
    left, right, nose, mouth_left, mouth_right = subject.landmarks
    across, eyes = right - left, (left + right) / 2
    down = (mouth_left + mouth_right) / 2 - eyes
    shade = tuple(map(float, rng.uniform(0, 255, 3)))
    kind = rng.integers(3)
    if kind != 1:
        top = eyes + down * rng.uniform(0.25, 0.6)
        chin = eyes + down * rng.uniform(1.7, 2.0)
        width = across * rng.uniform(0.75, 0.95)
        corners = [
            top - width,
            nose - down * 0.2,
            top + width,
            chin + width * 0.5,
            chin - width * 0.5,
        ]
        cv2.fillConvexPoly(image, cv2.convexHull(np.array(corners, np.int32)), shade, cv2.LINE_AA)
    if kind != 0:
        dark = tuple(map(float, rng.uniform(0, 60, 3)))
        radius = float(np.linalg.norm(across))
        axes = (max(1, round(radius * 0.38)), max(1, round(radius * rng.uniform(0.2, 0.32))))
        for eye in (left, right):
            cv2.ellipse(image, tuple(map(int, eye)), axes, 0, 0, 360, dark, cv2.FILLED, cv2.LINE_AA)
    return pasted(
        Subject(image, subject.box, subject.landmarks), rng.uniform(40, 200), rng.normal(0, 8), rng
    )


def close_up(subject: Subject, rng: Rng) -> Scene:
    """A face as large as the picture or larger, in which a detector sees faces that are none."""
    side = rng.uniform(200, 500)
    size = round(side / rng.uniform(0.5, 1.5))
    return pasted(subject, side, rng.normal(0, 5), rng, (size, size))


def fragment(subject: Subject, rng: Rng) -> Scene:
    """An eye, a cheek or a mouth alone: less than a third of a face, so none."""
    centre = subject.landmarks[rng.integers(5)] + rng.normal(0, subject.side * 0.1, 2)
    half = subject.side * rng.uniform(0.12, 0.25)
    height, width = subject.image.shape[:2]
    x1, y1 = np.clip(centre - half, 0, [width - 2, height - 2]).astype(int)
    x2, y2 = np.clip(centre + half, [x1 + 1, y1 + 1], [width, height]).astype(int)
    part = subject.image[y1:y2, x1:x2]
    scene = texture(320, 240, rng)
    zoom = rng.uniform(30, 200) / max(part.shape[:2])
    part = resize(part, max(1, round(part.shape[1] * zoom)), max(1, round(part.shape[0] * zoom)))
    y, x = (int(rng.integers(0, n - m)) for n, m in zip((240, 320), part.shape, strict=False))
    scene[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Scene(scene, None)


Vary = Callable[[Subject, Rng], Scene]
VARIATIONS: tuple[Vary, ...] = (
    *(turned, half_outside, blurred, badly_lit, covered, close_up, fragment),
)


def varied_animal(image: Image, rng: Rng) -> Image:
    """A picture without people, mirrored, rotated, resized and relit."""
    if rng.random() < 0.5:
        image = np.asarray(image[:, ::-1], np.uint8)
    if rng.random() < 0.3:
        image = np.asarray(np.rot90(image, int(rng.integers(1, 4))), np.uint8)
    zoom = float(np.exp(rng.uniform(np.log(0.3), np.log(2))))
    width, height = (max(32, round(n * zoom)) for n in image.shape[1::-1])
    image = resize(np.ascontiguousarray(image), width, height)
    return np.asarray(np.clip(image * rng.uniform(0.6, 1.3), 0, 255), np.uint8)


# --- boxes found in them -------------------------------------------------------------------------


@dataclass(frozen=True)
class Boxes:
    """N boxes that a detector found.

    Attributes:
        evidence: what is known of them.
        faces: bool ``[N]``.
        group: ``[N]``, set and kind of their pictures.
        picture: int ``[N]``, the picture that they are from.
    """

    evidence: Evidence
    faces: NDArray[np.bool_]
    group: NDArray[np.str_]
    picture: NDArray[np.intp]


class Collector:
    """Runs a detector and the mesh over scenes, and collects what they found."""

    def __init__(self, detector: Detector, mesh: FaceMesh):
        """Collect nothing yet."""
        self._detector = detector
        self._mesh = mesh
        self._parts: list[tuple[Evidence, NDArray[np.bool_], str, int]] = []
        self.missed: dict[str, list[bool]] = defaultdict(list)
        """Whether the face was missed, for each scene of a group that has one."""

    def add(self, scene: Scene, group: str, picture: int) -> None:
        """Detect the faces of a scene."""
        height, width = scene.image.shape[:2]
        found = self._detector.detect(scene.image, MIN_SCORE, 0.5).inside(width, height)
        if scene.box is not None:
            boxes = (clip_boxes(b, width, height) for b in (found.boxes, scene.box[None]))
            overlaps = iou_matrix(*boxes)[:, 0]
            self.missed[group].append(not (overlaps >= MIN_TRUE_IOU).any())
            # The best of several boxes on the face. Those beside it may be faces of other people.
            found = found[np.flatnonzero(overlaps >= MIN_TRUE_IOU)[:1]]
        if len(found):
            orientations = orient(self._mesh, scene.image, found)
            evidence = Evidence.of(found, orientations, width, height)
            faces = np.full(len(found), scene.box is not None)
            self._parts.append((evidence, faces, group, picture))

    def boxes(self) -> Boxes:
        """Return all boxes found so far."""
        names = Evidence.__dataclass_fields__
        parts = [part for part, *_ in self._parts]
        evidence = Evidence(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
        lengths = [len(part.scores) for part in parts]
        return Boxes(
            evidence,
            np.concatenate([faces for _, faces, _, _ in self._parts]),
            np.repeat([group for _, _, group, _ in self._parts], lengths),
            np.repeat([picture for *_, picture in self._parts], lengths),
        )


def pictures(data: Path, name: str, count: int | None, rng: Rng) -> Iterator[tuple[str, Image]]:
    """Yield the names and pixels of a random sample of a set's pictures.

    Raises:
        DataError: a picture cannot be decoded.
    """
    with tarfile.open(data / f"{name}.tar") as archive:
        members = sorted(member.name for member in archive.getmembers() if member.isfile())
        for index in rng.permutation(len(members))[:count]:
            stream = archive.extractfile(members[index])
            assert stream is not None
            encoded = np.frombuffer(stream.read(), np.uint8)
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
            if image is None:
                raise DataError(f"cannot read {members[index]} of {name}.tar")
            yield members[index], np.asarray(image, np.uint8)


def subject_of(image: Image, detector: Detector) -> Subject | None:
    """Find the face of a cropped picture."""
    padded, _ = with_border(image)
    found = detector.detect(padded, 0.5, 0.5)
    if not len(found) or found.landmarks is None:
        return None
    i = central_face(found, padded.shape[1], padded.shape[0])
    return Subject(padded, found.boxes[i], found.landmarks[i])


def collect(
    data: Path,
    detectors: dict[str, Detector],
    mesh: FaceMesh,
    faces: dict[str, int],
    *,
    free: bool,
    seed: int = 0,
) -> dict[str, Collector]:
    """Vary pictures and run the detectors over them.

    Args:
        data: folder of the sets.
        detectors: by name, `accurate` among them.
        mesh: the face mesh.
        faces: number of pictures of each set of faces.
        free: whether the animals are those whose licences allow commercial use, or the others.
        seed: of all choices.

    Returns:
        What each detector found.
    """
    rng = np.random.default_rng(seed)
    found = {name: Collector(detector, mesh) for name, detector in detectors.items()}

    def add(scene: Scene, group: str, picture: int) -> None:
        for collector in found.values():
            collector.add(scene, group, picture)

    number = 0
    for name, count in faces.items():
        for _, image in pictures(data, name, count, rng):
            number += 1
            subject = subject_of(image, detectors["accurate"])
            if subject is None:
                continue
            others = rng.choice(len(VARIATIONS), 2, replace=False)
            for vary in (as_it_is, small, *(VARIATIONS[i] for i in others)):
                scene = vary(subject, rng)
                group = "fragment" if scene.box is None else f"{name} {vary.__name__}"
                add(scene, group, number)
    with (data / f"{ANIMALS}.csv").open(newline="", encoding="utf-8") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    for file, image in pictures(data, ANIMALS, None, rng):
        number += 1
        if (rows[file]["licence"] in FREE) != free:
            continue
        add(Scene(image, None), f"{rows[file]['kind']} as it is", number)
        for _ in range(VARIATIONS_OF_ANIMALS):
            add(Scene(varied_animal(image, rng), None), f"{rows[file]['kind']} varied", number)
    for _ in range(100):
        number += 1
        add(Scene(texture(480, 360, rng), None), "texture", number)
    return found


# --- the regression ------------------------------------------------------------------------------


def sample_weights(boxes: Boxes) -> NDArray[np.float64]:
    """Weigh boxes so that faces and others, and among these each kind, have their share.

    Returns:
        float64 ``[N]``, that sum to 1, those of faces to `FACE_SHARE`.
    """
    kinds = np.array([group.split()[0] for group in boxes.group])
    weights = np.zeros(len(kinds))
    weights[boxes.faces] = FACE_SHARE / max(1, boxes.faces.sum())
    others = {kind: ~boxes.faces & (kinds == kind) for kind in np.unique(kinds[~boxes.faces])}
    total = sum(KIND_WEIGHTS.get(kind, 1.0) for kind in others)
    for kind, rows in others.items():
        share = (1 - FACE_SHARE) * KIND_WEIGHTS.get(kind, 1.0) / total
        weights[rows] = share / rows.sum()
    return weights


def fit(
    inputs: Float,
    base: Float,
    faces: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fit a logistic regression by Newton's method.

    Args:
        inputs: ``[N, K]``, the first of them without a penalty.
        base: ``[N]``, added to the logits.
        faces: ``[N]``.
        weights: ``[N]``, that sum to 1.

    Returns:
        float64 ``[K]``.
    """
    rows = inputs.astype(np.float64)
    penalty = np.full(rows.shape[1], L2)
    penalty[0] = 0
    signs = np.where(faces, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        surprise = np.logaddexp(0, -signs * (rows @ parameters + base))
        return float(weights @ surprise + 0.5 * penalty @ parameters**2)

    parameters = np.zeros(rows.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(rows @ parameters + base, -30, 30)))
        gradient = rows.T @ (weights * (p - faces)) + penalty * parameters
        curvature = (rows.T * (weights * p * (1 - p))) @ rows + np.diag(penalty + 1e-6)
        step = np.linalg.solve(curvature, gradient)
        while loss(parameters - step) > loss(parameters) and np.abs(step).max() > 1e-9:
            step /= 2
        parameters = parameters - step
    return parameters


def report(boxes: Boxes, probabilities: Float) -> str:
    """Tabulate the share of boxes kept at 0.5 by detector alone and by probability, by group."""
    lines = ["| boxes | faces | n | detector | checked |", "| --- | --- | --- | --- | --- |"]
    for group in np.unique(boxes.group):
        for faces in (True, False):
            rows = (boxes.group == group) & (boxes.faces == faces)
            if rows.any():
                before = (boxes.evidence.scores[rows] >= 0.5).mean()
                after = (probabilities[rows] >= 0.5).mean()
                word = "yes" if faces else "no"
                lines.append(f"| {group} | {word} | {rows.sum()} | {before:.1%} | {after:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the probability that a box is a face.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=600, help="pictures of each set of faces")
    parser.add_argument("--held-out", type=int, default=300, help="likewise, to evaluate on")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    mesh = FaceMesh(LiteRTEngine(args.models / f"{FACE_MESH}.tflite", CpuShares(1)))
    detectors = {name: make_detector(name, args.models, 1) for name in DETECTORS}
    fitted = collect(args.data, detectors, mesh, dict.fromkeys(FITTED, args.faces), free=True)
    weights = {}
    for name, collector in fitted.items():
        boxes = collector.boxes()
        inputs, base = features(boxes.evidence), offsets(boxes.evidence)
        row = fit(inputs, base, boxes.faces, sample_weights(boxes))
        weights[name] = tuple(round(float(weight), 4) for weight in row)
    parameters = FaceCheckParameters(licence=LICENCE, data=DATA, features=FEATURES, weights=weights)
    args.out.write_text(parameters.model_dump_json(indent=1) + "\n", encoding="utf-8")
    check = FaceCheck(parameters)
    others = dict.fromkeys(HELD_OUT, args.held_out)
    held_out = (
        collect(args.data, detectors, mesh, others, free=False, seed=1) if args.held_out else {}
    )
    for title, collectors in (("fitted on", fitted), ("held out", held_out)):
        for name, collector in collectors.items():
            boxes = collector.boxes()
            print(f"\n{name}, {title}:\n")
            print(report(boxes, check.probabilities(name, boxes.evidence)))


if __name__ == "__main__":
    main()
