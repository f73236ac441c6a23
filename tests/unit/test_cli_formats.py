"""Every file that is given ends as a row, a named error, or a named "not a picture"."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from age_gender.batch.folder_store import FolderStore
from age_gender.batch.storage import StoredObject, Unreadable
from age_gender.cli.main import app
from tests.unit import files
from tests.unit.models import all_models
from tests.unit.pictures import encoded

JPEG = encoded(files.IMAGE, "JPEG")
NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def models() -> None:
    all_models()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """One file of each kind, and what else lies around in folders."""
    album = tmp_path / "album"
    album.mkdir()
    for group in (files.readable(), files.refused(), files.others()):
        for number, (suffix, data) in enumerate(group.values()):
            (album / f"{number}{suffix}").write_bytes(data)
    (album / "sub").mkdir()
    (album / "sub" / "without an ending").write_bytes(JPEG)
    (album / "web.jpg").write_bytes(b"<html>")
    (album / "nothing.heic").symlink_to("missing")
    (album / "nothing else").symlink_to("missing")
    (album / ".hidden").write_bytes(JPEG)
    (album / NOT_UTF8).write_bytes(JPEG)
    os.mkfifo(album / "pipe")
    return album


def shown(album: Path) -> list[Path]:
    return [p for p in album.rglob("*") if not p.is_dir() and not p.name.startswith(".")]


class TestPredict:
    def test_nothing_is_skipped_in_silence(self, album: Path) -> None:
        result = run("predict", album, "--json")
        assert result.exit_code == 1
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        read = {Path(row["file"]).name for row in rows}
        stderr = " ".join(result.stderr.split())
        silent = [
            path.name
            for path in shown(album)
            if path.name not in read and str(path) not in stderr and path.name != NOT_UTF8
        ]
        videos = [name for name, (_, data) in files.others().items() if b"ftyp" in data[:8]]
        assert len(silent) == len(videos) == 1
        assert "skipped 1 video" in stderr
        assert "skipped 1 hidden file" in stderr
        assert f"{album / '3.txt'}: not a picture but a text" in stderr

    def test_a_folder_of_one_format(self, tmp_path: Path) -> None:
        for number in range(2):
            (tmp_path / f"IMG_{number}.HEIC").write_bytes(files.heic(files.IMAGE))
        result = run("predict", tmp_path, "--json")
        assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)

    def test_no_picture_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("notes", encoding="utf-8")
        result = run("predict", tmp_path, "--json")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "notes.txt: not a picture but a text" in " ".join(result.stderr.split())
        assert "no pictures in" in result.stderr

    def test_warnings(self, tmp_path: Path) -> None:
        image = np.ascontiguousarray(files.IMAGE.repeat(4, 0).repeat(4, 1))
        data = encoded(image, "JPEG", quality=95)
        path = tmp_path / "cut.jpg"
        path.write_bytes(data[: len(data) * 9 // 10])
        result = run("predict", path, "--json")
        assert result.exit_code == 0
        (row,) = [json.loads(line) for line in result.stdout.splitlines()]
        assert "rows are missing" in row["warnings"][0]
        assert "rows are missing" in " ".join(result.stderr.split())


class TestAnnotate:
    def test_nothing_is_skipped_in_silence(self, album: Path, tmp_path: Path) -> None:
        result = run("annotate", album, "--out", tmp_path / "out")
        assert result.exit_code == 1
        stderr = " ".join(result.stderr.split())
        done = {p.name.rsplit(".", 2)[0] for p in (tmp_path / "out").rglob("*.json")}
        for path in shown(album):
            if path.name != NOT_UTF8:
                assert path.name in done or path.name in stderr, path.name
        assert "caf\\xe9.jpg: its name is not UTF-8" in stderr
        assert "nothing.heic: No such file" in stderr
        summary = summary_of(tmp_path / "out")
        # A dangling link twice, a pipe, and a name that is not UTF-8.
        assert (summary["failed"], summary["complete"]) == (4, False)
        assert summary["pictures"] == len(shown(album)) + 1  # the hidden one

    def test_the_summary_is_for_people(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name, data in {"a.jpg": JPEG, "b.txt": b"notes", "c.png": b"<html>"}.items():
            (tmp_path / "in" / name).write_bytes(data)
        result = run("annotate", tmp_path / "in", "--out", tmp_path / "out")
        first, *more = result.stdout.splitlines()
        assert first.startswith("1 picture with 0 faces in ")
        assert "1 now, 0 before" in first
        assert more == [
            "1 file is no picture.",
            "1 picture cannot be read, see above: convert or replace them.",
        ]
        again = run("annotate", tmp_path / "in", "--out", tmp_path / "out", "--json")
        assert json.loads(again.stdout)["done_before"] == 1

    def test_the_detector_is_an_option_and_out_is_checked_first(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.jpg").write_bytes(JPEG)
        out = tmp_path / "out"
        assert run("annotate", tmp_path / "in", "--out", out, "--detector", "fast").exit_code == 0
        (written,) = out.glob("a.jpg.*.json")
        assert json.loads(written.read_text())["model"]["detector"] == "dlib-hog"
        refused = run("annotate", tmp_path / "in", "--out", "/dev/null/x")
        assert refused.exit_code == 2
        assert "/dev/null/x" in refused.stderr

    @pytest.mark.parametrize(
        ("name", "data", "code"),
        [
            ("a.jpg", JPEG, 0),
            ("notes.txt", b"notes", 0),
            ("a.svg", files.refused()["an SVG"][1], 3),
            ("a.jpg", b"<html>", 3),
            ("a.png", b"", 3),
        ],
    )
    def test_exit_codes(self, name: str, data: bytes, code: int, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / name).write_bytes(data)
        result = run("annotate", tmp_path / "in", "--out", tmp_path / "out")
        assert result.exit_code == code, result.output
        assert code == 0 or f"{name}: " in result.stderr

    def test_it_goes_on_past_a_folder_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a", "locked", "z"):
            (tmp_path / "in" / name).mkdir(parents=True)
            (tmp_path / "in" / name / "one.jpg").write_bytes(JPEG)
        scandir = os.scandir

        def refuse(path: Any) -> Any:
            if Path(path).name == "locked":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        result = run("annotate", tmp_path / "in", "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "locked/: the folder cannot be read: Permission denied" in result.stderr
        assert summary_of(tmp_path / "out")["annotated"] == 2

    def test_many_unreadable_files_do_not_end_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "in").mkdir()
        for number in range(25):
            (tmp_path / "in" / f"{number:02}.jpg").write_bytes(JPEG)
        read = FolderStore.read

        def refuse(store: FolderStore, stored: StoredObject) -> bytes:
            if stored.name != "24.jpg":
                raise Unreadable("it cannot be read: Permission denied")
            return read(store, stored)

        monkeypatch.setattr(FolderStore, "read", refuse)
        result = run("annotate", tmp_path / "in", "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert result.stderr.count("it cannot be read") >= 24
        assert summary_of(tmp_path / "out")["annotated"] == 1


def summary_of(out: Path) -> dict[str, Any]:
    (path,) = out.glob("summary-*.json")
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary
