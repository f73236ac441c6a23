"""The command line within the test process: exit codes, JSON Lines, copies."""

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from age_gender import __version__
from age_gender.cli.main import app
from age_gender.vision.formats.kinds import FORMATS
from testing.web import serve_folder
from tests.unit.models import all_models, model
from tests.unit.pictures import Pixels, decoded, encoded, portrait


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    all_models()
    path = tmp_path / "photos" / "one.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(portrait(), "JPEG", quality=95))
    return path


@pytest.fixture
def folder(photo: Path) -> Path:
    """Two images of one name, one without a face, a folder named like an image, and a text."""
    inner = photo.parent / "inner"
    inner.mkdir()
    (inner / "one.PNG").write_bytes(encoded(portrait(), "PNG"))
    (inner / "none.png").write_bytes(encoded(portrait()[:40, :40] * 0, "PNG"))
    (photo.parent / "notes.txt").write_text("not a picture")
    (photo.parent / "folder.jpg").mkdir()
    return photo.parent


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def changed(image: Pixels) -> NDArray[np.bool_]:
    """Mask of pixels that differ from the portrait by more than compression noise."""
    return np.asarray(abs(image.astype(int) - portrait()).max(axis=-1) > 100)


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"age-gender {__version__}\n")


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("serve", "predict", "report", "annotate", "models", "doctor"):
        assert command in result.stdout


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

    def test_drawn_copies_keep_the_folders(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "deep" / "out"
        result = run("predict", folder, "--draw", out)
        assert result.exit_code == 0, result.output
        assert files_in(out) == ["inner/none.drawn.jpg", "inner/one.drawn.jpg", "one.drawn.jpg"]
        drawn = decoded((out / "one.drawn.jpg").read_bytes())
        assert drawn.shape == (300, 300, 3)
        assert changed(drawn).any()
        face = changed(drawn)[90:150, 100:150]  # within the box, which nothing is drawn on
        assert not face.any()

    def test_drawn_and_blurred_at_once(self, photo: Path, tmp_path: Path) -> None:
        drawn, blurred = tmp_path / "drawn", tmp_path / "blurred"
        assert run("predict", photo, "--draw", drawn, "--blur", blurred).exit_code == 0
        (row,) = rows(run("predict", drawn / "one.drawn.jpg", "--json"))
        assert len(row["faces"]) == 1
        (row,) = rows(run("predict", blurred / "one.blurred.jpg", "--json"))
        assert row["faces"] == []

    def test_copies_of_the_same_name_do_not_overwrite_each_other(
        self, folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        sources = [folder / "one.jpg", folder / "inner" / "one.PNG", folder / "inner" / "none.png"]
        assert run("predict", *sources, "--draw", out).exit_code == 0
        assert files_in(out) == ["none.drawn.jpg", "one.2.drawn.jpg", "one.drawn.jpg"]
        # A second run: the same names and no others.
        assert run("predict", *sources, "--draw", out).exit_code == 0
        assert files_in(out) == ["none.drawn.jpg", "one.2.drawn.jpg", "one.drawn.jpg"]

    def test_a_copy_never_replaces_an_input(self, photo: Path) -> None:
        own = photo.with_name("one.drawn.jpg")
        own.write_bytes(photo.read_bytes())
        assert run("predict", photo, own, "--draw", photo.parent).exit_code == 0
        assert own.read_bytes() == photo.read_bytes()
        assert files_in(photo.parent) == [
            *("one.2.drawn.jpg", "one.drawn.drawn.jpg", "one.drawn.jpg", "one.jpg"),
        ]

    def test_a_sheet_never_replaces_an_input(self, photo: Path) -> None:
        png = photo.with_suffix(".png")
        png.write_bytes(photo.read_bytes())
        result = run("predict", photo, png, "--sheet", photo.parent / "." / png.name)
        assert result.exit_code == 2
        assert png.read_bytes() == photo.read_bytes()

    def test_copies_within_the_folder_are_not_read_again(self, folder: Path) -> None:
        first = run(
            "predict", folder, "--json", "--draw", folder / "out", "--sheet", folder / "s.png"
        )
        again = run(
            "predict", folder, "--json", "--draw", folder / "out", "--sheet", folder / "s.png"
        )
        assert len(rows(again)) == len(rows(first)) == 3
        assert "skipped 3 copies" in again.stderr
        assert "skipped" not in first.stderr

    def test_a_copy_that_cannot_be_written_is_reported_and_the_result_printed(
        self, photo: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "out" / "one.drawn.jpg").mkdir(parents=True)
        result = run("predict", photo, "--json", "--draw", tmp_path / "out")
        assert result.exit_code == 1
        assert len(rows(result)) == 1
        assert "the folder failed" in result.stderr
        assert files_in(tmp_path / "out") == []

    def test_comma_separated_values(self, folder: Path) -> None:
        (folder / "a,b\nc.jpg").write_bytes((folder / "one.jpg").read_bytes())
        result = run("predict", folder, "--csv")
        table = list(csv.DictReader(io.StringIO(result.stdout)))
        assert [Path(row["file"]).name for row in table] == [
            *("a,b\nc.jpg", "none.png", "one.PNG", "one.jpg"),
        ]
        assert [row["face"] for row in table] == ["1", "0", "1", "1"]
        (answer,) = rows(run("predict", folder / "one.jpg", "--json"))
        details, row = answer["details"][0], table[3]
        assert [int(row[name]) for name in ("x1", "y1", "x2", "y2")] == details["box"]
        assert [float(row[n]) for n in ("age_low", "age_high")] == details["age_interval"]
        assert (float(row["age"]), row["gender"], row["reliable"]) == (details["age"], "F", "true")
        assert (row["width"], row["height"], row["seconds"]) == ("300", "300", "")

    def test_names_cannot_write_to_the_terminal(self, photo: Path) -> None:
        wild = photo.with_name("\x1b[31m[b]\nx.jpg")
        wild.write_bytes(photo.read_bytes())
        bad = photo.with_name("\x1b[2Jbad.jpg")
        bad.write_bytes(b"<html>")
        result = run("predict", wild, bad)
        assert r"\x1b[31m[b]\nx.jpg" in result.stdout
        assert r"\x1b[2Jbad.jpg" in result.stderr
        assert "\x1b[" not in result.output

    def test_a_table_that_is_piped_is_not_cut(self, photo: Path) -> None:
        deep = photo.parent / ("long " * 40) / "one.jpg"
        deep.parent.mkdir()
        deep.write_bytes(photo.read_bytes())
        assert str(deep) in run("predict", deep).stdout

    def test_bad_files_are_reported_and_the_rest_is_processed(
        self, photo: Path, tmp_path: Path
    ) -> None:
        bad, missing = tmp_path / "bad.jpg", tmp_path / "missing.jpg"
        bad.write_bytes(b"<html>")
        result = run("predict", bad, missing, photo, "--json")
        assert result.exit_code == 1
        assert [row["file"] for row in rows(result)] == [str(photo)]
        stderr = " ".join(result.stderr.split())
        assert "bad.jpg" in stderr
        assert "missing.jpg" in stderr
        assert "Traceback" not in result.output

    def test_dangling_links_are_reported(self, photo: Path) -> None:
        (photo.parent / "gone.jpg").symlink_to("deleted.jpg")
        (photo.parent / "loop.jpg").symlink_to("loop.jpg")
        result = run("predict", photo.parent, "--json")
        assert result.exit_code == 1
        assert len(rows(result)) == 1
        stderr = " ".join(result.stderr.split())
        assert "gone.jpg: No such file or directory" in stderr
        assert "loop.jpg: Too many levels of symbolic links" in stderr
        assert "1 face in 1 picture, 2 failed" in stderr

    def test_an_empty_folder_is_not_a_failure(self, photo: Path, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        result = run("predict", empty, "--json")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no pictures in" in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["predict"],
            ["predict", "x.jpg", "--detector", "best"],
            ["predict", "x.jpg", "--confidence", "2"],
            ["predict", "x.jpg", "--nms", "-1"],
            ["predict", "x.jpg", "--min-face", "0"],
            ["predict", "x.jpg", "--json", "--csv"],
            ["predict", "x.jpg", "--camera", "0"],
            ["predict", "x.jpg", "--every", "soon"],
            ["predict", "x.jpg", "--every", "-1s"],
            ["predict", "x.jpg", "--frames", "0"],
            ["predict", "x.jpg", "--sheet", "x.pdf"],
            ["predict", "x.jpg", "--sheet", "/dev/null/x.png"],
            ["predict", "x.jpg", "--draw", "/dev/null"],
            ["predict", "x.jpg", "--blur", "/dev/null/x"],
            ["predikt"],
        ],
    )
    def test_wrong_usage(self, arguments: list[str]) -> None:
        model("retinaface.tflite")
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Traceback" not in result.output

    def test_wrong_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "high")
        result = run("predict", "x.jpg")
        assert result.exit_code == 1
        assert "PORT" in result.stderr
        assert "Traceback" not in result.output

    def test_missing_models(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        result = run("predict", "x.jpg")
        assert result.exit_code == 1
        assert "make models" in result.stderr

    def test_a_missing_attribute_model_is_reported(
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

    def test_pictures_by_address(
        self, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serve_folder(photo.parent) as server:
            address = f"{server}/one.jpg?x=1"
            refused = run("predict", address, photo, "--json")
            monkeypatch.setenv("ALLOW_PRIVATE_URLS", "true")
            fetched = run("predict", address, "--json", "--draw", tmp_path / "out")
            missing = run("predict", address.replace("one", "two"))
        assert refused.exit_code == 1
        assert [row["file"] for row in rows(refused)] == [str(photo)]
        assert "ALLOW_PRIVATE_URLS" in refused.stderr
        assert fetched.exit_code == 0, fetched.output
        (row,) = rows(fetched)
        assert (row["file"], len(row["faces"])) == (address, 1)
        assert files_in(tmp_path / "out") == ["one.drawn.jpg"]
        assert missing.exit_code == 1
        assert "404" in missing.stderr

    def test_another_model(self, photo: Path) -> None:
        model("agn-v2-research.tflite")
        result = run("predict", photo, "--json", "--model", "agn-v2-research")
        (row,) = rows(result)
        assert row["model"]["attributes"].startswith("agn-v2-research ")
        assert "non-commercial" in result.stderr
        unknown = run("predict", photo, "--model", "best")
        assert unknown.exit_code == 2
        assert "agn-v2-research" in unknown.stderr

    def test_help_names_the_formats(self) -> None:
        for command in ("predict", "report"):
            text = " ".join(run(command, "--help").stdout.replace("│", " ").split())
            for name in FORMATS:
                assert name in text
        assert "MP4" in run("predict", "--help").stdout


class TestModels:
    def test_check_of_built_models(self) -> None:
        model("manifest.json")
        result = run("models", "--check")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_check_of_missing_models(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        result = run("models", "--check")
        assert result.exit_code == 1
        assert "retinaface" in result.stdout
        assert "faceres" in result.stdout
        assert os.listdir(tmp_path) == []

    def test_without_a_checkout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "modelbuild", None)
        result = run("models", "--check")
        assert result.exit_code == 1
        assert "checkout" in result.stderr


class TestServe:
    @pytest.fixture
    def executed(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """Commands passed to `os.execv`."""
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

    @pytest.mark.parametrize(
        ("environment", "shown", "hidden"),
        [
            ({}, "User name sugar, password kubes", "your password"),
            ({"BASIC_AUTH_PASSWORD": "s3cret"}, "User name sugar, your password", "s3cret"),
            ({"AUTH": "off"}, "Serving", "User name"),
        ],
    )
    def test_the_credentials_are_shown(
        self,
        executed: list[list[str]],
        monkeypatch: pytest.MonkeyPatch,
        environment: dict[str, str],
        shown: str,
        hidden: str,
    ) -> None:
        model("manifest.json")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        result = run("serve")
        assert shown in result.stderr
        assert hidden not in result.stderr

    def test_model_and_detector_are_for_the_server(
        self, executed: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model("agn-v2-research.tflite")
        for name in ("ATTRIBUTE_MODEL", "DEFAULT_FACE_DETECTOR"):
            monkeypatch.setenv(name, "")
        run("serve", "--model", "agn-v2-research", "--detector", "accurate")
        assert len(executed) == 1
        assert os.environ["ATTRIBUTE_MODEL"] == "agn-v2-research"
        assert os.environ["DEFAULT_FACE_DETECTOR"] == "accurate"
        assert run("serve", "--model", "best").exit_code == 2

    def test_reloading_without_its_extra(
        self, executed: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model("manifest.json")
        monkeypatch.setitem(sys.modules, "watchfiles", None)
        result = run("serve", "--reload")
        assert result.exit_code == 1
        assert "age-gender-estimation[cli]" in " ".join(result.stderr.split())
        assert executed == []

    def test_it_needs_the_models(
        self, executed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODELS_DIR", str(tmp_path))
        assert run("serve").exit_code == 1
        assert executed == []
