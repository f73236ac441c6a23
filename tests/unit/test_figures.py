"""Rendered heads: shapes and colours, with a made-up mesh instead of MakeHuman's."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.figures import heads, paint, photo
from training.figures.photo import developed

EYE = np.array([0.3, 7.3, 1.2])
CENTRE = np.array([0.0, 7.2, 0.2])


def ball(
    centre: np.ndarray, radii: tuple[float, float, float], rings: int, around: int
) -> np.ndarray:
    polar = np.linspace(0.05, np.pi - 0.05, rings)[:, None]
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    points = np.stack(
        [np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle, np.sin(polar) * np.cos(angle)],
        -1,
    )
    return np.asarray(centre + points.reshape(-1, 3) * radii)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ellipsoid with eyes, whose face is in front, and targets, of which some move an eye."""
    folder = tmp_path_factory.mktemp("heads")
    rings, around = 24, 40
    vertices = np.full((heads.EYES["right"].stop, 3), -8.0)
    head = ball(CENTRE, (0.8, 1.2, 1.0), rings, around)
    vertices[: len(head)] = head
    vertices[heads.EYES["left"]] = ball(EYE, (0.14,) * 3, 9, 8)
    vertices[heads.EYES["right"]] = ball(EYE * [-1, 1, 1], (0.14,) * 3, 9, 8)
    index = np.arange(len(head)).reshape(rings, around)
    a, b = index[:-1], index[1:]
    quads = np.stack([a, b, np.roll(b, -1, 1), np.roll(a, -1, 1)], -1).reshape(-1, 4) + 1
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    # The front half of the head is the left half of the masks.
    lines += [f"vt {0.25 if z > 0.3 else 0.75} 0.5" for _, _, z in head]
    lines += [
        "g body",
        *(f"f {' '.join(f'{i}/{i}' for i in quad)}" for quad in quads),
        "f 1/1 2/2 3/3",
    ]
    (folder / "3dobjs").mkdir()
    (folder / "3dobjs" / "base.obj").write_text("\n".join(lines), encoding="utf-8")
    (folder / "textures").mkdir()
    for part in heads.PARTS:
        mask = np.zeros((8, 8), np.uint8)
        mask[:, :4] = 255 * (part == "face")
        cv2.imwrite(str(folder / "textures" / f"mpfb_{part}.jpg"), mask)
    left = range(heads.EYES["left"].start, heads.EYES["left"].stop)
    for name in wanted():
        path = folder / "targets" / f"{name}.target.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write("# moves an eye forward\n\n")
            if name.startswith("macrodetails/universal"):
                file.write("".join(f"{i} 0 0 1\n" for i in left))
    return folder


def wanted() -> set[str]:
    ages, weights = ("baby", "child", "young", "old"), ("average", "min", "max")
    names = {
        f"macrodetails/{origin}-{gender}-{age}"
        for origin in heads.ORIGINS
        for gender in ("male", "female")
        for age in ages
    }
    names |= {
        f"macrodetails/universal-{gender}-{age}-averagemuscle-{weight}weight"
        for gender in ("male", "female")
        for age in ages
        for weight in weights
    }
    for part, free in heads.FREE.items():
        names |= {f"{part}/{name.replace('?', side)}" for name in free for side in "lr"}
    names |= {f"eyes/{side}-eye-scale-{way}" for side in "lr" for way in ("incr", "decr")}
    units = ("mouth-open", "mouth-corner-puller", "eye-left-closure", "eye-right-closure")
    return names | {f"{heads.EXPRESSIONS}/{unit}" for unit in units}


@pytest.fixture(scope="module")
def head(folder: Path) -> heads.Head:
    return heads.Heads(folder).head(np.random.default_rng(0), young=0.5)


def test_a_head_is_the_mesh_in_small_triangles(head: heads.Head) -> None:
    mesh = head.mesh
    assert len(mesh.triangles) == 23 * 40 * 2 * 16
    assert mesh.triangles.max() == len(mesh.rest) - 1
    sides = np.linalg.norm(np.diff(mesh.shaped[mesh.triangles], axis=1), axis=2)
    assert np.median(sides) < 0.06
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
    # Normals point outwards, and new vertices lie on the ellipsoid, not within its edges.
    outward = mesh.shaped - CENTRE
    assert ((mesh.normals * outward).sum(axis=1) > 0).mean() > 0.99
    on_it = np.linalg.norm(outward / [0.8, 1.2, 1.0], axis=1)
    assert np.abs(on_it[np.abs(outward[:, 1]) < 1] - 1).max() < 0.01


def test_targets_move_vertices_by_weights_that_sum_to_one(head: heads.Head) -> None:
    left, right = head.eyes
    np.testing.assert_allclose(left.rest_centre, EYE, atol=0.01)
    np.testing.assert_allclose(left.centre - left.rest_centre, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(right.centre, EYE * [-1, 1, 1], atol=0.01)
    assert left.radius == pytest.approx(0.14, abs=0.01)


def test_parts_come_from_the_masks(head: heads.Head) -> None:
    front = head.mesh.rest[:, 2] > 0.5
    assert (head.mesh.parts["face"][front] > 0.9).all()
    assert (head.mesh.parts["face"][head.mesh.rest[:, 2] < 0.1] < 0.1).all()
    assert (head.mesh.parts["ears"] < 0.1).all()


def test_a_missing_mask_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        heads._sampled(folder / "none.jpg", np.zeros((1, 2)))


def test_hair_is_above_and_behind_and_a_bonnet_leaves_the_face_open(head: heads.Head) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        under = paint.scalp(head.mesh, rng)
        _, y, z = head.mesh.rest.T
        assert under.min() >= 0
        assert (under[y > 8.3] > 0.9).all()
        assert (under[(y < 7.3) & (z > 0.9)] < 0.1).all()
        bonnet = paint.outside_face(head.mesh, rng)
        assert (bonnet[head.mesh.parts["face"] > 0.9] < 0.1).all()
        assert (bonnet[(z < 0) & (y > 7)] > 0.9).all()


def test_paint_changes_what_it_is_on(head: heads.Head) -> None:
    skin = np.array([0.8, 0.6, 0.5])
    hair = paint.scalp(head.mesh, np.random.default_rng(1))
    pictures = [paint.painted(head, skin, np.random.default_rng(s), hair) for s in range(6)]
    for colours in pictures:
        assert colours.min() >= 0
        assert colours.max() <= 1
        cheek = (head.mesh.rest[:, 1] < 7.1) & (head.mesh.rest[:, 2] > 0.9)
        assert np.abs(colours[hair > 0.99] - skin).mean() > np.abs(colours[cheek] - skin).mean()
    assert len({colours.tobytes() for colours in pictures}) == 6


def test_both_eyes_are_painted_alike(head: heads.Head) -> None:
    skin = np.ones((len(head.mesh.rest), 3))
    shadows = 0
    for seed in range(40):
        dark = np.full(3, 0.001 * seed)
        left, right = (
            (skin - paint._around(skin, head.mesh, eye, dark)).sum(axis=0) for eye in head.eyes
        )
        np.testing.assert_allclose(left, right, rtol=0.05, atol=0.5)
        shadows += bool(np.ptp(left) > 1)  # all else is grey
    assert 4 <= shadows <= 25


def test_stone_is_nearly_of_one_colour(head: heads.Head) -> None:
    stone = np.array([0.4, 0.4, 0.4])
    colours = paint.weathered(head.mesh, stone, np.random.default_rng(0))
    assert np.abs(np.median(colours, axis=0) - stone).max() < 0.1
    assert colours.std() > 0


def test_an_eye_is_white_with_a_dark_pupil() -> None:
    for seed in range(5):
        white, pupil = paint.eye_colours(np.array([0.0, 1.0]), np.random.default_rng(seed))
        assert white.min() > 0.5
        assert pupil.max() < 0.05


def test_noise_is_smooth_and_of_unit_spread() -> None:
    line = np.zeros((4000, 3))
    line[:, 0] = np.linspace(0, 400, 4000)
    values = paint.noise(line, np.random.default_rng(0), 1.0)
    assert values.std() == pytest.approx(1, abs=0.2)
    assert np.abs(np.diff(values)).max() < 1


def test_colours_are_in_order_where_noise_is_taken_away() -> None:
    random = np.random.default_rng(0)
    image = np.clip(np.array([0.8, 0.3, 0.1]) + random.normal(0, 0.03, (40, 40, 3)), 0, 1)
    codes = np.asarray(image[..., ::-1] * 255, np.uint8)
    clear = cv2.fastNlMeansDenoisingColored(codes, None, 5, 5, 5, 11)[..., ::-1] / 255
    np.testing.assert_allclose(photo._without_noise(image), clear)


def test_a_picture_is_exposed_and_set_before_a_background() -> None:
    image = np.zeros((60, 40, 4))
    image[20:40, 10:30] = [5.0, 2.5, 2.5, 1.0]
    for seed in range(8):
        shown = developed(image, np.random.default_rng(seed))
        assert shown.shape == (60, 40, 3)
        assert shown.dtype == np.uint8
        red, green, _ = shown[30, 20].astype(float)
        assert red > green
        assert red > 100
    behind = {developed(image, np.random.default_rng(seed))[2, 2].tobytes() for seed in range(8)}
    assert len(behind) > 4
