"""The Python API, and the examples in its documentation."""

import doctest
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import age_gender
from age_gender import FaceAnalyzer, Faces, analyzer
from age_gender.analyzer import ImageLike
from age_gender.errors import ImageError, ImageTooLarge, ModelUnavailable
from age_gender.settings import REPLACED_MODELS
from testing.photos import decoded
from testing.service import ROOT
from tests.markdown import blocks, read
from tests.unit.models import all_models

SAMPLE = ROOT / "function" / "age_gender" / "edge" / "web" / "sample.jpg"


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``photo.jpg`` in the working directory."""
    all_models()
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(SAMPLE, tmp_path / "photo.jpg"))


@pytest.mark.usefixtures("photo")
def test_the_docstring() -> None:
    outcome = doctest.testmod(analyzer)
    assert outcome.failed == 0
    assert outcome.attempted >= 5


@pytest.mark.usefixtures("photo")
def test_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    example = blocks(read(ROOT / "docs" / "python.md"), "python")[0]
    exec(compile(example, "python.md", "exec"), {})
    assert capsys.readouterr().out.endswith(" F True\n")


def test_the_notebook_of_the_documentation(photo: Path) -> None:
    """Its cells run one after the other, as in a notebook, over a folder of two pictures."""
    pytest.importorskip("matplotlib").use("agg")
    (photo.parent / "holiday").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(photo, photo.parent / "holiday" / name)
    (photo.parent / "holiday" / "c.jpg").write_bytes(b"<html>")
    cells = [
        block
        for block in blocks(read(ROOT / "docs" / "python.md"), "python")
        if block.startswith("# cell")
    ]
    assert len(cells) >= 4
    names: dict[str, object] = {}
    for number, cell in enumerate(cells, start=1):
        exec(compile(cell, f"cell {number} of python.md", "exec"), names)
    assert (photo.parent / "ages.png").stat().st_size > 1000


def test_a_path_bytes_and_an_array_agree(photo: Path) -> None:
    faces = FaceAnalyzer(threads=1)
    (expected,) = faces.analyze(photo)
    assert faces.analyze(str(photo)) == [expected]
    assert faces.analyze(photo.read_bytes()) == [expected]
    assert faces.analyze(decoded(photo.read_bytes())) == [expected]


def test_rows(photo: Path) -> None:
    faces = FaceAnalyzer(threads=1).analyze(photo, over_age=[18])
    assert faces.size == (512, 512)
    (row,) = faces.to_dicts()
    (face,) = faces
    assert face.attributes is not None
    assert (row["file"], row["face"], row["gender"]) == (str(photo), 1, "F")
    assert [row[name] for name in ("x1", "y1", "x2", "y2")] == list(face.box)
    assert row["age"] == round(face.attributes.age, 1)
    assert (row["reliable"], row["reasons"]) == (True, "")
    assert row["over_18"] == round(face.attributes.over[18], 4)
    assert tuple(row)[: len(analyzer.COLUMNS)] == analyzer.COLUMNS
    (plain,) = FaceAnalyzer(threads=1).analyze(photo.read_bytes(), attributes=False).to_dicts()
    assert (plain["file"], plain["age"], plain["reasons"]) == ("", None, None)


def test_tables(photo: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="to_dataframe is NOT TESTED: no pandas")
    faces = FaceAnalyzer(threads=1).analyze(photo)
    table = age_gender.to_dataframe([faces, Faces(), faces])
    assert list(table.columns) == list(analyzer.COLUMNS)
    assert table["gender"].tolist() == ["F", "F"]
    assert pandas.api.types.is_float_dtype(table["age"])
    assert faces.to_dataframe().shape == (1, len(analyzer.COLUMNS))
    assert list(Faces().to_dataframe().columns) == list(analyzer.COLUMNS)


def test_without_pandas(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"age-gender-estimation\[pandas\]"):
        Faces().to_dataframe()


def test_many(photo: Path, tmp_path: Path) -> None:
    faces = FaceAnalyzer()
    (expected,) = faces.analyze(photo)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    given: list[ImageLike] = [
        photo,
        bad,
        photo.read_bytes(),
        tmp_path / "missing.jpg",
        *[photo] * 4,
    ]
    outcomes = list(faces.analyze_many(given, errors="keep"))
    assert [len(outcome) for outcome in outcomes] == [1, 0, 1, 0, 1, 1, 1, 1]
    assert [outcome[0].box for outcome in outcomes if outcome] == [expected.box] * 6
    assert [outcome.file for outcome in outcomes[:4]] == [
        *(str(photo), str(bad), "", str(tmp_path / "missing.jpg")),
    ]
    assert isinstance(outcomes[1].error, ImageError)
    assert isinstance(outcomes[3].error, FileNotFoundError)
    assert outcomes[0].error is None
    with pytest.raises(ImageError):
        list(faces.analyze_many(given))
    with pytest.raises(ModelUnavailable):
        list(FaceAnalyzer(models_dir=tmp_path).analyze_many([photo], errors="keep"))


def test_many_takes_images_as_they_are_needed(photo: Path) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield photo

    outcomes = FaceAnalyzer().analyze_many(endless(), workers=2, attributes=False)
    assert len(next(outcomes)) == 1
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    assert taken <= 6


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


@pytest.mark.parametrize("name", REPLACED_MODELS)
def test_an_old_model_is_refused_and_the_new_ones_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} no longer exists: agn-v2, the default"):
        FaceAnalyzer(attribute_model=name)


def test_over_age(photo: Path) -> None:
    faces = FaceAnalyzer(threads=1)
    (face,) = faces.analyze(photo, over_age=[60, 18, 18])
    assert face.attributes is not None
    assert list(face.attributes.over) == [18, 60]
    assert 1 >= face.attributes.over[18] > face.attributes.over[60] >= 0
    (face,) = faces.analyze(photo)
    assert face.attributes is not None
    assert face.attributes.over == {}
    for ages in ([0], [101]):
        with pytest.raises(ValueError, match="from 1 to 100"):
            faces.analyze(photo, over_age=ages)


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
