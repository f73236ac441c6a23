"""Colours of heads, by vertex: skin, lips, eyebrows, lashes, painted hair, clothes, eyes, stone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.figures.heads import Eye, Float, Floats, Head, Mesh, Rng

Colour = NDArray[np.float64]
"""Linear RGB from 0 to 1, ``[3]``."""

SKINS = (
    (0.86, 0.62, 0.48),
    (0.90, 0.70, 0.58),
    (0.93, 0.80, 0.72),
    (0.75, 0.48, 0.32),
    (0.55, 0.32, 0.20),
    (0.36, 0.19, 0.11),
    (0.20, 0.10, 0.06),
    (0.95, 0.90, 0.86),
    (0.85, 0.66, 0.40),
)
STONES = (
    (0.80, 0.78, 0.74),
    (0.60, 0.57, 0.52),
    (0.42, 0.40, 0.37),
    (0.25, 0.23, 0.21),
    (0.62, 0.50, 0.36),
    (0.55, 0.33, 0.20),
    (0.88, 0.87, 0.85),
    (0.10, 0.10, 0.11),
)
METALS = (
    (0.55, 0.35, 0.16),
    (0.30, 0.20, 0.10),
    (0.80, 0.60, 0.25),
    (0.65, 0.65, 0.66),
    (0.25, 0.36, 0.30),
)
IRISES = (
    (0.05, 0.03, 0.02),
    (0.16, 0.08, 0.03),
    (0.08, 0.20, 0.42),
    (0.10, 0.28, 0.14),
    (0.30, 0.32, 0.34),
    (0.02, 0.02, 0.02),
)
HAIRS = (
    (0.02, 0.015, 0.01),
    (0.08, 0.04, 0.02),
    (0.25, 0.12, 0.05),
    (0.60, 0.42, 0.18),
    (0.45, 0.10, 0.03),
    (0.70, 0.68, 0.62),
)


def chosen(colours: tuple[tuple[float, ...], ...], rng: Rng, spread: float = 0.15) -> Colour:
    """Return one of the colours, a little changed."""
    colour = np.array(colours[rng.integers(len(colours))])
    return np.clip(colour * rng.uniform(1 - spread, 1 + spread, 3), 0, 1)


def noise(points: Floats, rng: Rng, frequency: float, waves: int = 24) -> Floats:
    """Smooth noise of standard deviation 1, ``[N]``: a sum of waves of random direction."""
    directions = rng.normal(0, frequency, (waves, 3))
    phases = rng.uniform(0, 2 * np.pi, waves)
    return np.asarray(np.sin(points @ directions.T + phases).sum(axis=1) * (2 / waves) ** 0.5)


def step(values: Float, start: float, end: float) -> Floats:
    """0 before ``start``, 1 after ``end``, smooth between."""
    t = np.clip((values - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def scalp(mesh: Mesh, rng: Rng) -> Floats:
    """How much each vertex is under the hair, from 0 to 1."""
    x, y, z = mesh.rest.T
    front, back = rng.uniform(7.7, 8.0), rng.uniform(6.3, 6.8)
    line = back + (front - back) * step(z, 0.1, rng.uniform(0.75, 1.05))
    line = line + 0.03 * noise(mesh.rest, rng, 6.0) - 0.15 * np.abs(x)
    return np.asarray(step(y, line - 0.03, line + 0.03) * (1 - mesh.parts["ears"]))


def outside_face(mesh: Mesh, rng: Rng) -> Floats:
    """How much each vertex is under a bonnet, which leaves the face open, from 0 to 1."""
    chin = rng.uniform(6.1, 6.4)
    edge = mesh.parts["face"] + 0.03 * noise(mesh.rest, rng, 5.0)
    start = rng.uniform(0.1, 0.4)
    x, y, z = mesh.rest.T
    mouth = (np.abs(x) < 0.5) & (z > 0.3) & (y > 6.5) & (y < 7.2)
    return np.asarray(step(-edge, -start - 0.3, -start) * step(y, chin, chin + 0.1) * ~mouth)


def mixed(colours: Floats, other: Floats, share: Floats) -> Floats:
    """Mix ``[N, 3]`` with a colour ``[3]`` or ``[N, 3]`` by ``[N]``."""
    return np.asarray(colours + (other - colours) * share[:, None])


def painted(head: Head, skin: Colour, rng: Rng, hair: Floats | None) -> Floats:
    """Colours of a doll or mannequin, ``[V, 3]``.

    Args:
        head: to paint.
        skin: of all that is not painted.
        rng: chooses what is painted.
        hair: how much each vertex is under painted hair, if it has any.
    """
    mesh = head.mesh
    colours = np.tile(skin, (len(mesh.rest), 1))
    x, y, z = mesh.rest.T
    shade = 1 + rng.uniform(0, 0.05) * noise(mesh.rest, rng, rng.uniform(1, 12))
    colours = np.clip(colours * shade[:, None], 0, 1)
    if rng.random() < 0.7:
        cheeks = np.exp(-(((np.abs(x) - 0.45) / 0.22) ** 2) - ((y - 6.98) / 0.2) ** 2) * step(
            z, 0.5, 0.8
        )
        colours = mixed(colours, np.array([0.8, 0.2, 0.16]), cheeks * rng.uniform(0.1, 0.6))
    if rng.random() < 0.85:
        lips = np.array([rng.uniform(0.35, 0.8), rng.uniform(0.05, 0.3), rng.uniform(0.06, 0.3)])
        start, end = np.sort(rng.uniform([0.1, 0.15], [0.9, 0.95]))
        share = step(mesh.parts["lips"], float(start), float(end))
        colours = mixed(colours, lips, share * rng.uniform(0.4, 1))
    dark = chosen(HAIRS, rng)
    for eye in head.eyes:
        colours = _around(colours, mesh, eye, dark)
    if hair is not None:
        strands = 1 + 0.25 * noise(mesh.rest * [1, 0.3, 1], rng, 25.0)
        colours = mixed(colours, np.clip(chosen(HAIRS, rng) * strands[:, None], 0, 1), hair)
    if rng.random() < 0.6:
        clothes = rng.uniform(0, 0.9, 3)
        colours = mixed(colours, clothes, step(-y, -rng.uniform(5.7, 6.0), -5.68))
    return colours


def _around(colours: Floats, mesh: Mesh, eye: Eye, dark: Colour) -> Floats:
    """Paint eyebrow, lid line and shadow of one eye."""
    random = np.random.default_rng(int(dark.sum() * 1e6))  # alike on both sides
    outward = (mesh.rest[:, 0] - eye.rest_centre[0]) * np.sign(eye.rest_centre[0])
    above = mesh.rest[:, 1] - eye.rest_centre[1]
    front = step(mesh.rest[:, 2], 0.8, 1.0)
    if random.random() < 0.75:
        arch = random.uniform(0.2, 0.34) - random.uniform(0, 1.2) * (outward - 0.03) ** 2
        arch = arch + random.uniform(-0.15, 0.15) * outward
        width = random.uniform(0.01, 0.045)
        along = step(outward, -0.26, -0.18) * step(-outward, -0.34, -0.24)
        share = step(-np.abs(above - arch), -width - 0.015, -width + 0.005) * along * front
        colours = mixed(colours, dark, share * random.uniform(0.4, 1))
    distance = np.linalg.norm(mesh.rest - eye.rest_centre, axis=1) / eye.rest_radius
    near = np.abs(outward) < 0.26
    if random.random() < 0.7:
        line = step(-distance, -random.uniform(1.06, 1.25), -1.03) * near
        upper = step(above, -0.03 if random.random() < 0.6 else -0.3, 0.02)
        colours = mixed(colours, dark * 0.5, line * upper * random.uniform(0.5, 1))
    if random.random() < 0.3:
        shadow = np.exp(-((distance - 1.3) ** 2) * 12) * step(above, 0, 0.05) * front
        colours = mixed(colours, random.uniform(0, 0.6, 3), shadow * random.uniform(0.1, 0.6))
    return colours


def weathered(mesh: Mesh, stone: Colour, rng: Rng) -> Floats:
    """Colours of stone or metal with stains, ``[V, 3]``."""
    veins = rng.uniform(0, 0.12) * noise(mesh.rest, rng, rng.uniform(2, 8))
    grain = rng.uniform(0, 0.1) * noise(mesh.rest, rng, 60.0)
    colours = np.clip(stone * (1 + veins + grain)[:, None], 0, 1)
    if rng.random() < 0.4:
        stains = step(noise(mesh.rest * [1, 0.4, 1], rng, 4.0), 0.8, 1.6)
        colours = mixed(colours, rng.uniform(0, 0.5, 3), stains * rng.uniform(0.1, 0.5))
    return colours


def eye_colours(cosines: Floats, rng: Rng) -> Floats:
    """Colours of an eyeball by the cosine of the angle to where it looks, ``[N, 3]``."""
    radius = np.radians(rng.uniform(20, 38))
    iris, pupil = np.cos(radius), np.cos(radius * rng.uniform(0.3, 0.6))
    white = np.full(3, rng.uniform(0.6, 0.95)) * rng.uniform(0.93, 1, 3)
    colours = np.tile(white, (len(cosines), 1))
    colour = chosen(IRISES, rng)
    ring = step(cosines, iris - 0.012, iris + 0.008)
    colours = mixed(colours, colour * 0.4, ring)
    colours = mixed(colours, colour, step(cosines, iris + 0.012, iris + 0.035))
    return mixed(colours, np.full(3, 0.01), step(cosines, pupil - 0.008, pupil + 0.008))
