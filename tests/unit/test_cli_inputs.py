"""Which files the arguments stand for."""

import inspect
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from age_gender.cli.inputs import Inputs, collect


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.JPG", "a.png", "sub/c.webp", "sub/deep/d.jpeg", "notes.txt", ".hidden.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "t.jpg").touch()
    return tmp_path


def names(inputs: Inputs) -> list[str]:
    return [entry.name for entry in inputs.files]


def test_folders_are_searched_in_order(tree: Path) -> None:
    inputs = collect(["."])
    assert names(inputs) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.jpeg"]
    assert [entry.relative.as_posix() for entry in inputs.files] == names(inputs)
    assert [e.relative.as_posix() for e in collect([str(tree / "sub")]).files] == [
        *("c.webp", "deep/d.jpeg"),
    ]
    assert inputs.problems == []


def test_named_files_are_read_whatever_their_suffix(tree: Path) -> None:
    inputs = collect(["notes.txt", "-", ".hidden.jpg", "sub/c.webp"])
    assert names(inputs) == ["notes.txt", "-", ".hidden.jpg", "sub/c.webp"]
    assert [e.relative.as_posix() for e in inputs.files] == [
        *("notes.txt", "stdin", ".hidden.jpg", "c.webp"),
    ]


def test_each_file_once(tree: Path) -> None:
    (tree / "link.jpg").symlink_to("b.JPG")
    arguments = ["b.JPG", "./b.JPG", str(tree / "b.JPG"), "sub/../b.JPG", "link.jpg", ".", "-", "-"]
    assert names(collect(arguments)) == ["b.JPG", "a.png", "sub/c.webp", "sub/deep/d.jpeg", "-"]


def test_patterns_that_the_shell_did_not_expand(tree: Path) -> None:
    assert names(collect(["*.png"])) == ["a.png"]
    assert names(collect(["**/*.[jw]*"])) == ["sub/c.webp", "sub/deep/d.jpeg"]
    assert names(collect([str(tree / "s?b" / "*")])) == [str(tree / "sub" / "c.webp")]
    inputs = collect(["sub/**/*.jpeg", "*.gif"])
    assert [e.relative.as_posix() for e in inputs.files] == ["deep/d.jpeg"]
    assert inputs.problems == [("*.gif", "no picture matches this pattern")]


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    (tree / "[1].jpg").touch()
    assert names(collect(["[1].jpg"])) == ["[1].jpg"]


def test_link_cycles_end(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "sub" / "same").symlink_to("deep")
    (tree / "self.jpg").symlink_to("self.jpg")
    for number in range(12):  # ways through them double with each
        (tree / f"loop{number}").symlink_to(".")
    start = time.monotonic()
    assert names(collect(["."])) == [
        *("a.png", "b.JPG", "self.jpg", "sub/c.webp", "sub/deep/d.jpeg"),
    ]
    assert len(collect(["**/*.*"]).files) >= 4
    assert time.monotonic() - start < 30, "it ends"


def test_a_folder_behind_a_link_is_read(tree: Path, tmp_path: Path) -> None:
    (tree / "linked").mkdir()
    (tree / "linked" / "album").symlink_to(tree / "sub")
    assert names(collect(["linked"])) == ["linked/album/c.webp", "linked/album/deep/d.jpeg"]


def test_a_tree_deeper_than_the_stack(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "x.jpg").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        inputs = collect([str(tmp_path)])
    finally:
        sys.setrecursionlimit(limit)
    assert len(inputs.files) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED as root, which can read everything")
def test_an_unreadable_folder_is_reported(tree: Path) -> None:
    (tree / "sub").chmod(0)
    inputs = collect(["."])
    (tree / "sub").chmod(0o755)
    assert names(inputs) == ["a.png", "b.JPG"]
    assert inputs.problems == [("sub", "Permission denied")]


def test_a_failing_folder_is_reported_and_the_rest_is_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir

    def fail(path: Path) -> list[str]:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", fail)
    inputs = collect(["."])
    assert names(inputs) == ["a.png", "b.JPG"]
    assert inputs.problems == [("sub", "Permission denied")]


def test_pipes_and_sockets_in_folders_are_skipped(tree: Path) -> None:
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert names(collect(["."])) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.jpeg"]


def test_names_of_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wild = ["new\nline.jpg", "naïve ☺.png", " spaces .jpg", os.fsdecode(b"\xff.jpg")]
    for name in wild:
        Path(name).touch()
    assert sorted(names(collect(["."]))) == sorted(wild)


def test_videos_in_folders_are_counted_and_read_when_named(tree: Path) -> None:
    (tree / "clip.MP4").touch()
    inputs = collect(["."])
    assert (len(inputs.videos), len(inputs.files)) == (1, 4)
    (entry,) = collect(["clip.MP4"]).files
    assert entry.is_video
    assert names(collect(["*.MP4"])) == ["clip.MP4"]
    assert names(collect(["clip.*"])) == []


def test_copies_and_own_outputs_in_folders_are_skipped(tree: Path) -> None:
    for name in ("b.drawn.jpg", "sub/c.blurred.jpg", "sheet.png"):
        (tree / name).touch()
    inputs = collect([".", "*.jpg"], [tree / "sheet.png"])
    assert "sheet.png" not in names(inputs)
    assert not [name for name in names(inputs) if "drawn" in name or "blurred" in name]
    assert len(inputs.copies) == 2
    assert names(collect(["b.drawn.jpg"])) == ["b.drawn.jpg"]


@pytest.mark.parametrize("argument", ["missing.jpg", "missing/", "a.png/x.jpg", "x" * 5000])
def test_missing_files_are_reported(tree: Path, argument: str) -> None:
    assert collect([argument]).problems == [(argument, "there is no such file")]


def test_empty_folders_are_named(tree: Path) -> None:
    (tree / "empty").mkdir()
    assert collect(["a.png", "b.JPG", "sub", "empty", "."]).empty == ["empty"]


def test_addresses_are_no_patterns(tree: Path) -> None:
    addresses = [
        "https://example.com/a/b%20c.jpg?x=1",
        "gs://bucket/d.png",
        "HTTP://me:pw@host:8080/",
    ]
    inputs = collect([*addresses, addresses[0]])
    assert names(inputs) == addresses
    assert all(entry.is_remote and not entry.is_video for entry in inputs.files)
    assert [e.relative.as_posix() for e in inputs.files] == ["b c.jpg", "d.png", "host:8080"]
    assert inputs.problems == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ftp://example.com/a.jpg", "start with https://"),
        ("file:///etc/passwd", "start with https://"),
        ("https://example.com/party.mp4?x", "videos are not fetched"),
    ],
)
def test_other_addresses_are_reported(tree: Path, address: str, problem: str) -> None:
    ((name, reported),) = collect([address]).problems
    assert name == address
    assert problem in reported


@pytest.mark.parametrize("path", ["../../etc/x.jpg", "a/%2e%2e%2fx.jpg", "..", "%00.jpg", "[::1"])
def test_the_copy_of_a_fetched_picture_stays_in_its_folder(tree: Path, path: str) -> None:
    (entry,) = collect([f"https://example.com/{path}"]).files
    assert len(entry.relative.parts) == 1
    assert entry.relative.name not in ("", "..")
    assert "\0" not in entry.relative.name
