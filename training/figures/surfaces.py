"""What a head is made of: skin, wig, bonnet, eyeballs; meshes of Mitsuba with materials."""

from __future__ import annotations

from typing import Any

import mitsuba
import numpy as np

from training.figures.heads import Eye, Floats, Head, Ints, Mesh, Rng
from training.figures.paint import (
    HAIRS,
    METALS,
    SKINS,
    STONES,
    chosen,
    eye_colours,
    noise,
    outside_face,
    painted,
    scalp,
    step,
    weathered,
)

COVERS = {"none": 0.15, "painted": 0.2, "moulded": 0.2, "wig": 0.25, "bonnet": 0.2}
"""Share of the dolls with each."""
HARD = ("statue", "metal")
GREYS = (0.03, 0.4, 0.8, 0.9)
"""Of mannequins."""
GLASS = {"roughness": 0.05, "specular": 0.8, "clearcoat": 1.0, "clearcoat_gloss": 1.0}
RINGS = 48
"""Rings of vertices of an eyeball."""


def parts_of(head: Head, kind: str, rng: Rng) -> list[Any]:
    """Return the meshes of a head.

    Args:
        head: its shape.
        kind: doll, mannequin, statue or metal.
        rng: chooses materials and colours.
    """
    mesh = head.mesh
    under = scalp(mesh, rng)
    cover = str(rng.choice(list(COVERS), p=list(COVERS.values()))) if kind == "doll" else "none"
    colours, surface = _skin(head, kind, rng, under if cover in ("painted", "moulded") else None)
    parts = [_body(mesh, kind, cover, under, colours, surface, rng)]
    if cover == "wig":
        parts.append(_wig(mesh, under, rng))
    elif cover == "bonnet":
        parts.append(_bonnet(mesh, rng))
    is_blank = kind in HARD or (kind == "mannequin" and rng.random() < 0.6)
    gaze = direction(rng.normal(0, 0.12), rng.normal(0, 0.08))
    seed = int(rng.integers(2**31))
    colour = np.median(colours[mesh.parts["face"] > 0.5], axis=0) if is_blank else None
    surface = surface if is_blank else GLASS
    return parts + [_eyeball(eye, gaze, surface, colour, seed) for eye in head.eyes]


def _skin(head: Head, kind: str, rng: Rng, hair: Floats | None) -> tuple[Floats, dict[str, float]]:
    """Colours of the vertices and the material."""
    is_coloured = kind == "doll" or rng.random() < 0.5
    skin = chosen(SKINS, rng) if is_coloured else np.full(3, rng.choice(GREYS))
    if kind == "doll":
        surface = {
            "roughness": rng.uniform(0.12, 0.6),
            "specular": rng.uniform(0.3, 1),
            "clearcoat": rng.choice([0.0, rng.uniform(0.3, 1)]),
            "clearcoat_gloss": rng.uniform(0.6, 1),
        }
        return painted(head, skin, rng, hair), surface
    if kind == "mannequin":
        surface = {"roughness": rng.uniform(0.1, 0.8), "specular": rng.uniform(0.2, 0.8)}
        if rng.random() < 0.4:
            return painted(head, skin, rng, None), surface
        return np.tile(skin, (len(head.mesh.rest), 1)), surface
    if kind == "statue":
        surface = {"roughness": rng.uniform(0.5, 1), "specular": rng.uniform(0, 0.4)}
        return weathered(head.mesh, chosen(STONES, rng), rng), surface
    surface = {"roughness": rng.uniform(0.15, 0.6), "metallic": rng.uniform(0.6, 1)}
    return weathered(head.mesh, chosen(METALS, rng), rng), surface


def _body(
    mesh: Mesh,
    kind: str,
    cover: str,
    under: Floats,
    colours: Floats,
    surface: dict[str, float],
    rng: Rng,
) -> Any:
    """Head and shoulders; stone and metal are uneven, and carved or moulded hair stands out."""
    if kind in HARD:
        rough = rng.uniform(0, 0.006) * noise(mesh.rest, rng, rng.uniform(5, 40))
        curls = under * (0.03 + 0.03 * noise(mesh.rest, rng, rng.uniform(6, 20)))
        heights = rough + (rng.random() < 0.7) * curls
    elif cover == "moulded":
        curls = np.abs(noise(mesh.rest, rng, rng.uniform(5, 15)))
        heights = under * (0.01 + rng.uniform(0.01, 0.05) * curls)
    else:
        return _mesh(mesh.shaped, mesh.normals, mesh.triangles, colours, surface)
    shaped = mesh.shaped + mesh.normals * heights[:, None]
    return _mesh(shaped, None, mesh.triangles, colours, surface)


def _lifted(
    mesh: Mesh, under: Floats, heights: Floats, colours: Floats, rng: Rng, drop: float = 0
) -> Any:
    """What covers a part of the head: its surface, lifted and let down."""
    triangles = mesh.triangles[under[mesh.triangles].min(axis=1) > 0.02]
    share = step(under, 0, 0.9)
    vertices = mesh.shaped + mesh.normals * (share * heights)[:, None]
    vertices[:, 1] -= drop * share * step(-mesh.rest[:, 1], -7.9, -6.9)
    surface = {"roughness": rng.uniform(0.3, 0.9), "specular": 0.5}
    return _mesh(vertices, None, triangles, np.clip(colours, 0, 1), surface)


def _wig(mesh: Mesh, under: Floats, rng: Rng) -> Any:
    stretched = mesh.rest * [1, rng.uniform(0.1, 1), 1]
    curls = noise(stretched, rng, rng.uniform(8, 30))
    shade = 1 + 0.3 * noise(stretched, rng, 45.0) + 0.15 * curls
    heights = rng.uniform(0.04, 0.25) + rng.uniform(0.005, 0.04) * curls
    long = float(rng.uniform(0.3, 1.5)) if rng.random() < 0.5 else 0.0
    return _lifted(mesh, under, heights, chosen(HAIRS, rng) * shade[:, None], rng, long)


def _bonnet(mesh: Mesh, rng: Rng) -> Any:
    stitches = rng.uniform(20, 60)
    x, y, _ = mesh.rest.T
    knit = np.sin(y * stitches) * np.sin(np.arctan2(x, y - 7) * stitches)
    colours = rng.uniform(0.05, 0.9, 3) * (1 + 0.15 * knit)[:, None]
    heights = rng.uniform(0.03, 0.15) + rng.uniform(0, 0.012) * knit
    return _lifted(mesh, outside_face(mesh, rng), heights, colours, rng)


def _eyeball(
    eye: Eye, gaze: Floats, surface: dict[str, float], colour: Floats | None, seed: int
) -> Any:
    polar = np.linspace(0, np.pi, RINGS)[:, None]
    around = np.linspace(0, 2 * np.pi, 2 * RINGS, endpoint=False)[None]
    across = np.cross(gaze, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    up = np.cross(across, gaze)
    points = (
        np.cos(polar)[..., None] * gaze
        + (np.sin(polar) * np.cos(around))[..., None] * across
        + (np.sin(polar) * np.sin(around))[..., None] * up
    ).reshape(-1, 3)
    index = np.arange(len(points)).reshape(RINGS, -1)
    a, b = index[:-1], index[1:]
    c, d = np.roll(b, -1, axis=1), np.roll(a, -1, axis=1)
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    if colour is None:
        colours = eye_colours(points @ gaze, np.random.default_rng(seed))
    else:
        colours = np.tile(colour, (len(points), 1))
    return _mesh(eye.centre + points * eye.radius, points, triangles, colours, surface)


def _mesh(
    vertices: Floats,
    normals: Floats | None,
    triangles: Ints,
    colours: Floats,
    surface: dict[str, Any],
) -> Any:
    bsdf = {
        "type": "twosided",
        "bsdf": {
            "type": "principled",
            "base_color": {"type": "mesh_attribute", "name": "vertex_color"},
        }
        | {name: float(value) for name, value in surface.items()},
    }
    properties = mitsuba.Properties()
    properties["bsdf"] = mitsuba.load_dict(bsdf)
    mesh = mitsuba.Mesh(
        "part",
        len(vertices),
        len(triangles),
        has_vertex_normals=normals is not None,
        props=properties,
    )
    parameters = mitsuba.traverse(mesh)
    parameters["vertex_positions"] = vertices.astype(np.float32).ravel()
    parameters["faces"] = triangles.astype(np.uint32).ravel()
    if normals is not None:
        parameters["vertex_normals"] = normals.astype(np.float32).ravel()
    parameters.update()
    mesh.add_attribute("vertex_color", 3, np.ascontiguousarray(colours, np.float32).ravel())
    return mesh


def direction(yaw: float, pitch: float) -> Floats:
    """Unit vector ``[3]`` that looks to the left and up by these angles in radians."""
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
