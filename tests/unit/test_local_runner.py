"""The command line, without a process of its own: exit codes, lines of JSON, copies."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import local_runner
from age_gender.settings import Settings
from tests.unit.models import model
from tests.unit.pictures import decoded, encoded, portrait


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(local_runner.app, [str(a) for a in arguments])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    model("retinaface.tflite")
    model(f"{Settings().attribute_model}.tflite")
    path = tmp_path / "photos" / "one.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(portrait(), "JPEG", quality=95))
    return path


@pytest.fixture
def folder(photo: Path) -> Path:
    """Two pictures of one name, one without a face, one that is none, and something else."""
    inner = photo.parent / "inner"
    inner.mkdir()
    (inner / "one.PNG").write_bytes(encoded(portrait(), "PNG"))
    (inner / "none.png").write_bytes(encoded(portrait()[:40, :40] * 0, "PNG"))
    (photo.parent / "notes.txt").write_text("not a picture")
    (photo.parent / "folder.jpg").mkdir()
    return photo.parent


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


class TestPredict:
    def test_a_table(self, photo: Path) -> None:
        result = run("predict", photo)
        assert result.exit_code == 0, result.output
        assert "interval" in result.stdout
        assert " F " in result.stdout

    def test_a_line_of_json_for_each_file(self, folder: Path) -> None:
        result = run("predict", folder, "--json")
        assert result.exit_code == 0, result.output
        answers = {Path(row["file"]).relative_to(folder).as_posix(): row for row in rows(result)}
        assert list(answers) == ["inner/none.png", "inner/one.PNG", "one.jpg"]
        assert answers["inner/none.png"]["faces"] == []
        ((*_, age, gender),) = answers["one.jpg"]["faces"]
        assert gender == "F"
        assert type(age) is int
        assert answers["one.jpg"]["image_size"] == [300, 300]
        assert "image" not in answers["one.jpg"]

    @pytest.mark.parametrize("detector", ["fast", "accurate"])
    def test_detectors(self, photo: Path, detector: str) -> None:
        (row,) = rows(run("predict", photo, "--json", "--detector", detector))
        assert len(row["faces"]) == 1
        assert ("hog" in row["model"]["detector"]) == (detector == "fast")
        assert run("predict", photo, "--json", "--confidence", "1").exit_code == 0

    def test_options_reach_the_detector(self, photo: Path) -> None:
        (row,) = rows(run("predict", photo, "--json", "--min-face", "2000"))
        assert row["faces"] == []
        (row,) = rows(run("predict", photo, "--json", "--confidence", "1"))
        assert row["faces"] == []
        assert row["confidence"] == 1

    def test_annotated_copies(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "deep" / "out"
        result = run("predict", folder, "--draw", out)
        assert result.exit_code == 0, result.output
        assert sorted(os.listdir(out)) == [
            "none.annotated.jpg",
            "one.2.annotated.jpg",
            "one.annotated.jpg",
        ]
        drawn = decoded((out / "one.annotated.jpg").read_bytes())
        assert drawn.shape == (300, 300, 3)
        difference = abs(drawn.astype(int) - portrait()).max(axis=-1)
        assert (difference > 100).any()

    def test_blurred_copies_have_no_face_left(self, photo: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        assert run("predict", photo, "--draw", out, "--blur").exit_code == 0
        (row,) = rows(run("predict", out, "--json"))
        assert row["faces"] == []

    def test_bad_files_are_told_and_the_rest_is_done(self, photo: Path, tmp_path: Path) -> None:
        bad, missing = tmp_path / "bad.jpg", tmp_path / "missing.jpg"
        bad.write_bytes(b"<html>")
        result = run("predict", bad, missing, photo, "--json")
        assert result.exit_code == 1
        assert [row["file"] for row in rows(result)] == [str(photo)]
        said = " ".join(result.stderr.split())
        assert "bad.jpg" in said
        assert "missing.jpg" in said
        assert "Traceback" not in result.output

    def test_an_empty_folder_is_no_failure(self, photo: Path, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        result = run("predict", empty, "--json")
        assert (result.exit_code, result.stdout) == (0, "")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["predict"],
            ["predict", "x.jpg", "--detector", "best"],
            ["predict", "x.jpg", "--confidence", "2"],
            ["predict", "x.jpg", "--nms", "-1"],
            ["predict", "x.jpg", "--min-face", "0"],
            ["predikt"],
        ],
    )
    def test_wrong_usage(self, arguments: list[str]) -> None:
        assert run(*arguments).exit_code == 2

    def test_wrong_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "high")
        result = run("predict", "x.jpg")
        assert result.exit_code == 1
        assert "PORT" in result.stderr
        assert "Traceback" not in result.output

    def test_models_are_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        result = run("predict", "x.jpg")
        assert result.exit_code == 1
        assert "make models" in result.stderr

    def test_a_missing_model_is_told(
        self, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("manifest.json", "specs/faceres.json"):
            target = tmp_path / "models" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(model(name))
        monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
        monkeypatch.setenv("ATTRIBUTE_MODEL", "faceres")
        result = run("predict", photo)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert "make models" in " ".join(result.stderr.split())


class TestModels:
    def test_check_of_what_is_there(self) -> None:
        model("manifest.json")
        result = run("models", "--check")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_check_of_what_is_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        result = run("models", "--check")
        assert result.exit_code == 1
        assert "retinaface" in result.stdout
        assert "faceres" in result.stdout
        assert os.listdir(tmp_path) == []


class TestServe:
    @pytest.fixture
    def executed(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """What would have taken this process's place."""
        commands: list[list[str]] = []
        monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
        monkeypatch.setattr(os, "chdir", lambda _: None)
        return commands

    @pytest.mark.parametrize(
        ("environment", "arguments", "port"),
        [
            ({}, [], "8080"),
            ({"PORT": "9001"}, [], "9001"),
            ({"PORT": "9001"}, ["--port", "9002"], "9002"),
        ],
    )
    def test_port(
        self,
        executed: list[list[str]],
        monkeypatch: pytest.MonkeyPatch,
        environment: dict[str, str],
        arguments: list[str],
        port: str,
    ) -> None:
        model("manifest.json")
        monkeypatch.delenv("PORT", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert run("serve", *arguments).exit_code == 0
        (command,) = executed
        assert command[1:3] == ["-m", "functions_framework"]
        assert f"--port={port}" in command
        assert "--target=predict" in command

    def test_not_without_models(
        self, executed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        assert run("serve").exit_code == 1
        assert executed == []
