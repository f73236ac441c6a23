"""A picture that is a face already."""

from typing import Any

import numpy as np
import pytest

from age_gender.runtime import Runtime
from age_gender.settings import Settings
from age_gender.vision.decode import DecodedImage
from age_gender.vision.face import Face, FaceAttributes
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.pipeline import Options, Result
from age_gender.vision.whole_image import find_face
from tests.unit.fakes import FakeEngine, Float
from tests.unit.models import all_models
from tests.unit.pictures import Pixels, noise, portrait


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    all_models()
    return Runtime(Settings())


def run(runtime: Runtime, image: Pixels, **options: Any) -> Result:
    defaults: dict[str, Any] = {"return_image": False, "face_detector": "accurate"}
    return runtime.pipeline.run(DecodedImage(image), Options(**(defaults | options)))


def only_face(result: Result) -> tuple[Face, FaceAttributes]:
    (face,) = result.faces
    assert face.attributes is not None
    return face, face.attributes


@pytest.fixture(scope="module")
def found(runtime: Runtime) -> tuple[Face, FaceAttributes]:
    """The portrait's face as the detector finds it."""
    return only_face(run(runtime, portrait()))


def crop(box: tuple[int, int, int, int], scale: float) -> Pixels:
    """Cut a square out of the portrait; repeats its borders."""
    x1, y1, x2, y2 = box
    half = round(max(x2 - x1, y2 - y1) * scale / 2)
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    padded = np.pad(portrait(), ((500, 500), (500, 500), (0, 0)), mode="edge")
    return padded[500 + y - half : 500 + y + half, 500 + x - half : 500 + x + half].copy()


@pytest.mark.parametrize(("scale", "years"), [(1.0, 9), (1.25, 5), (1.8, 4)])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_it_is_estimated_like_a_face_that_was_found(
    runtime: Runtime, found: tuple[Face, FaceAttributes], scale: float, years: float, turn: int
) -> None:
    """Cut close to its box it lacks surroundings, on which the model relies a little."""
    image = np.ascontiguousarray(np.rot90(crop(found[0].box, scale), turn))
    height, width = image.shape[:2]
    result = run(runtime, image, detect=False)
    face, attributes = only_face(result)
    assert face.box == (0, 0, width, height)
    assert attributes.gender == found[1].gender
    assert abs(attributes.age - found[1].age) < years
    assert face.landmarks is not None
    rolls = (attributes.quality.roll, found[1].quality.roll)
    assert abs(((rolls[0] or 0) - (rolls[1] or 0) + 90 * turn + 180) % 360 - 180) < 8
    assert face.confidence > 0.6
    assert result.models.detector is None
    assert result.smallest_face == min(width, height)


def test_a_large_one_is_decoded_smaller_and_estimated_alike(
    runtime: Runtime, found: tuple[Face, FaceAttributes]
) -> None:
    image = np.kron(crop(found[0].box, 1.25), np.ones((4, 4, 1), np.uint8))
    _, attributes = only_face(run(runtime, image, detect=False))
    assert abs(attributes.age - found[1].age) < 6


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (200, 200)])
def test_what_is_no_face_is_still_one_row(runtime: Runtime, size: tuple[int, int]) -> None:
    face, attributes = only_face(run(runtime, noise(*size), detect=False, confidence=1.0))
    assert face.box == (0, 0, *size)
    assert face.landmarks is None
    assert face.confidence <= 0.5
    assert "not-a-face" in attributes.reasons


def test_without_attributes_and_with_an_image(runtime: Runtime) -> None:
    result = run(
        runtime, noise(60, 50), detect=False, get_attributes=False, return_image=True, blur=True
    )
    (face,) = result.faces
    assert face.attributes is None
    assert result.jpeg is not None


class TestMesh:
    """With a network that sees a face only where a test puts one."""

    def mesh(self, logit: float) -> FaceMesh:
        def answer(batch: Float) -> dict[str, Float]:
            points = np.tile(np.linspace(40, 150, 468, dtype=np.float32)[:, None], (1, 3))
            face = np.full((len(batch), 1), logit, np.float32)
            return {"points": np.stack([points] * len(batch)), "face": face}

        return FaceMesh(FakeEngine(answer))

    def test_where_it_is_sure_the_box_follows_it(self) -> None:
        face = find_face(self.mesh(30.0), noise(192, 192))
        assert face.landmarks is not None
        assert face.evidence.own.tolist() == [30.0]

    def test_where_it_is_not_the_picture_is_a_chip(self) -> None:
        face = find_face(self.mesh(-5.0), noise(100, 60))
        assert face.landmarks is None
        np.testing.assert_allclose(face.box, [[10, 6, 90, 54]])
