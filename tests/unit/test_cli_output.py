"""`predict --output`: results that grow over several runs; tables in narrow terminals."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from age_gender.cli import reports
from age_gender.cli.frames import Frame
from age_gender.cli.results_file import ResultsFile, UnusableFile
from age_gender.vision.face import Face
from age_gender.vision.pipeline import ModelNames, Result
from tests.unit.fakes import face_attributes
from tests.unit.models import all_models
from tests.unit.pictures import encoded, portrait
from tests.unit.test_cli import run

MODELS = ("retinaface-v2", "agn-v2 2.1.0")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    all_models()
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("a.png", "b\n.png", "c.png"):
        (folder / name).write_bytes(encoded(portrait(), "PNG"))
    return folder


def names(path: Path) -> list[str]:
    """Last part of each row's file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row["file"] for row in csv.DictReader(file)]
    else:
        rows = [json.loads(line)["file"] for line in path.read_text().splitlines()]
    return [Path(row).name for row in rows]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_run_that_was_killed_goes_on(album: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "out" / f"faces{suffix}"
    first = run("predict", album, "-o", path)
    assert (first.exit_code, first.stdout) == (0, ""), first.output
    whole = path.read_bytes()
    assert names(path) == ["a.png", "b\n.png", "c.png"]
    # Cut within the last row, and within the one before.
    for cut in (len(whole) - 5, whole.index(b"c.png") - 20):
        path.write_bytes(whole[:cut])
        again = run("predict", album, "-o", path)
        assert again.exit_code == 0, again.output
        assert "that an earlier run finished" in again.stderr
        assert names(path) == ["a.png", "b\n.png", "c.png"]
    (album / "d.png").write_bytes(encoded(portrait(), "PNG"))
    more = run("predict", album, "-o", path)
    assert "skipped 3 files" in more.stderr
    assert "1 face in 1 picture" not in more.stderr
    assert names(path)[-1] == "d.png"
    assert run("predict", album, "-o", path, "--overwrite").exit_code == 0
    assert len(names(path)) == 4


def test_copies_keep_their_names_over_runs(album: Path, tmp_path: Path) -> None:
    (album / "inner").mkdir()
    (album / "inner" / "a.jpg").write_bytes((album / "a.png").read_bytes())
    one, other = album / "a.png", album / "inner" / "a.jpg"
    out, path = tmp_path / "out", tmp_path / "faces.jsonl"
    assert run("predict", one, "-o", path, "--draw", out).exit_code == 0
    assert run("predict", one, other, "-o", path, "--draw", out).exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.2.drawn.jpg", "a.drawn.jpg"]


def test_other_models_are_refused(album: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    assert run("predict", album, "-o", path).exit_code == 0
    before = path.read_bytes()
    result = run("predict", album, "-o", path, "--detector", "fast")
    assert result.exit_code == 2
    assert "dlib-hog" in result.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"my notes, without an end of line"),
        ("a.jsonl", b'{"other": 1}\n'),
        ("a.csv", b"name,age\nx,3\n"),
        ("a.csv", b"my notes"),
    ],
)
def test_files_of_other_kinds_are_kept(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnusableFile, match="something else"):
        ResultsFile.opened(path, MODELS, (), as_csv=name.endswith("csv"), overwrite=False)
    assert path.read_bytes() == content


def test_two_runs_do_not_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = ResultsFile.opened(path, MODELS, (), as_csv=False, overwrite=False)
    with pytest.raises(UnusableFile, match="another run"):
        ResultsFile.opened(path, MODELS, (), as_csv=False, overwrite=False)
    first.close()
    ResultsFile.opened(path, MODELS, (), as_csv=False, overwrite=False).close()


def test_the_last_video_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    detector, attributes = MODELS
    model_names = {"detector": detector, "attributes": attributes}
    rows: list[dict[str, Any]] = [
        {"file": "one.mp4", "seconds": 0.0, "model": model_names},
        {"file": "a.png", "model": model_names},
        {"file": "two.mp4", "seconds": 0.0, "model": model_names},
        {"file": "two.mp4", "seconds": 1.0, "model": model_names},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = path.read_bytes()
    others = ResultsFile.opened(path, MODELS, ["b.png"], as_csv=False, overwrite=False)
    others.close()
    assert path.read_bytes() == whole, "what this run does not read again stays"
    inputs = ["one.mp4", "two.mp4"]
    results = ResultsFile.opened(path, MODELS, inputs, as_csv=False, overwrite=False)
    results.close()
    assert results.done == {"one.mp4", "a.png"}
    assert names(path) == ["one.mp4", "a.png"]


@pytest.mark.parametrize(
    "arguments",
    [["-o", "x.txt"], ["--overwrite"], ["-o", "/dev/null/x.csv"], ["-o", "album/a.png", "--json"]],
)
def test_wrong_usage(album: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album.parent)
    before = (album / "a.png").read_bytes()
    assert run("predict", "album/a.png", *arguments).exit_code == 2
    assert (album / "a.png").read_bytes() == before


@pytest.mark.parametrize("width", [100, 60, 40, 25])
def test_nothing_is_cut_in_a_narrow_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    report = reports.Rows()
    face = Face((1, 2, 30, 40), 1.0, None, face_attributes(52.0, reliable=True))
    result = Result(
        (64, 64), [face, face], None, {}, 0.5, ModelNames("d", "a 1", "litert", "MIT"), 16
    )
    name = "holiday/2026/a beach.jpg"
    image = portrait()
    report.add(Frame(name, Path("x"), image), result, {})
    report.add(Frame("none.jpg", Path("y"), image), Result(**{**vars(result), "faces": []}), {})
    report.close()
    shown = capfdbinary.readouterr().out.decode()
    assert "\x1b[" in shown
    plain = "".join(
        part.partition("m")[2] if i else part for i, part in enumerate(shown.split("\x1b["))
    )
    assert all(len(line) <= width for line in plain.splitlines())
    assert name in plain.replace("\n", "")
    assert plain.count("52") == 2
    assert "a 1, licence MIT" in plain
    assert "…" not in plain
