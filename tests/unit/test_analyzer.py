"""The Python API, and the examples in its documentation."""

import doctest
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import age_gender
from age_gender import FaceAnalyzer, analyzer
from age_gender.errors import ImageError, ImageTooLarge, ModelUnavailable
from age_gender.settings import Settings
from testing.photos import decoded
from testing.service import ROOT
from tests.markdown import blocks, read
from tests.unit.models import model

SAMPLE = ROOT / "function" / "age_gender" / "edge" / "web" / "sample.jpg"


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``photo.jpg`` in the working directory."""
    model("retinaface.tflite")
    model("facemesh.tflite")
    model(f"{Settings().attribute_model}.tflite")
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(SAMPLE, tmp_path / "photo.jpg"))


@pytest.mark.usefixtures("photo")
def test_the_docstring() -> None:
    outcome = doctest.testmod(analyzer)
    assert outcome.failed == 0
    assert outcome.attempted >= 5


@pytest.mark.usefixtures("photo")
def test_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(read(ROOT / "docs" / "python.md"), "python")
    exec(compile(example, "python.md", "exec"), {})
    assert capsys.readouterr().out.endswith(" F True\n")


def test_a_path_bytes_and_an_array_agree(photo: Path) -> None:
    faces = FaceAnalyzer(threads=1)
    (expected,) = faces.analyze(photo)
    assert faces.analyze(str(photo)) == [expected]
    assert faces.analyze(photo.read_bytes()) == [expected]
    assert faces.analyze(decoded(photo.read_bytes())) == [expected]


def test_options(photo: Path) -> None:
    faces = FaceAnalyzer()
    assert faces.analyze(photo, confidence=1) == []
    assert faces.analyze(photo, min_face=2000) == []
    fast = faces.analyze(photo, detector="fast")
    (accurate,) = faces.analyze(photo)
    assert accurate.landmarks is not None
    assert fast[0].landmarks is not None
    np.testing.assert_allclose(fast[0].landmarks, accurate.landmarks, atol=8)
    assert len(faces.analyze(photo, detector="fast", max_faces=1)) == 1
    (plain,) = faces.analyze(photo, attributes=False)
    assert plain.box == faces.analyze(photo)[0].box


def test_errors(photo: Path, tmp_path: Path) -> None:
    faces = FaceAnalyzer()
    with pytest.raises(FileNotFoundError):
        faces.analyze(tmp_path / "missing.jpg")
    with pytest.raises(ImageError):
        faces.analyze(b"<html>")
    with pytest.raises(ImageTooLarge):
        FaceAnalyzer(max_pixels=1024).analyze(photo)
    with pytest.raises(ValueError, match="accurate"):
        faces.analyze(photo, detector="best")
    with pytest.raises(ModelUnavailable):
        FaceAnalyzer(models_dir=tmp_path).analyze(photo)
    for array in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(TypeError, match="uint8"):
            faces.analyze(array)  # type: ignore[arg-type]


def test_the_environment_does_not_configure_it(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTRIBUTE_MODEL", "missing")
    assert len(FaceAnalyzer().analyze(photo)) == 1


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, age_gender; print({'numpy', 'cv2', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "function",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "set()"


def test_everything_public_can_be_imported() -> None:
    for name in age_gender.__all__:
        assert getattr(age_gender, name) is not None


def test_an_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="FaceAnalyser"):
        _ = age_gender.FaceAnalyser
