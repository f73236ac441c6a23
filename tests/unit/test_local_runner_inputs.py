"""Which files are read for what was typed."""

import inspect
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from age_gender.cli.gather import Gathered, gather


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


def names(gathered: Gathered) -> list[str]:
    return [entry.name for entry in gathered.entries]


def test_folders_with_all_that_is_below_in_order(tree: Path) -> None:
    found = gather(["."])
    assert names(found) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.jpeg"]
    assert [entry.relative.as_posix() for entry in found.entries] == names(found)
    assert [e.relative.as_posix() for e in gather([str(tree / "sub")]).entries] == [
        *("c.webp", "deep/d.jpeg"),
    ]
    assert found.problems == []


def test_what_is_named_is_read_whatever_its_ending(tree: Path) -> None:
    found = gather(["notes.txt", "-", ".hidden.jpg", "sub/c.webp"])
    assert names(found) == ["notes.txt", "-", ".hidden.jpg", "sub/c.webp"]
    assert [e.relative.as_posix() for e in found.entries] == [
        *("notes.txt", "stdin", ".hidden.jpg", "c.webp"),
    ]


def test_each_file_once(tree: Path) -> None:
    (tree / "link.jpg").symlink_to("b.JPG")
    arguments = ["b.JPG", "./b.JPG", str(tree / "b.JPG"), "sub/../b.JPG", "link.jpg", ".", "-", "-"]
    assert names(gather(arguments)) == ["b.JPG", "a.png", "sub/c.webp", "sub/deep/d.jpeg", "-"]


def test_patterns_that_the_shell_left_alone(tree: Path) -> None:
    assert names(gather(["*.png"])) == ["a.png"]
    assert names(gather(["**/*.[jw]*"])) == ["sub/c.webp", "sub/deep/d.jpeg"]
    assert names(gather([str(tree / "s?b" / "*")])) == [str(tree / "sub" / "c.webp")]
    found = gather(["sub/**/*.jpeg", "*.gif"])
    assert [e.relative.as_posix() for e in found.entries] == ["deep/d.jpeg"]
    assert found.problems == [("*.gif", "no picture matches this pattern")]


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    (tree / "[1].jpg").touch()
    assert names(gather(["[1].jpg"])) == ["[1].jpg"]


def test_links_that_lead_back_end(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "sub" / "same").symlink_to("deep")
    (tree / "self.jpg").symlink_to("self.jpg")
    for number in range(12):  # ways through them double with each
        (tree / f"loop{number}").symlink_to(".")
    start = time.monotonic()
    assert names(gather(["."])) == [
        *("a.png", "b.JPG", "self.jpg", "sub/c.webp", "sub/deep/d.jpeg"),
    ]
    assert len(gather(["**/*.*"]).entries) >= 4
    assert time.monotonic() - start < 30, "it ends"


def test_a_folder_behind_a_link_is_read(tree: Path, tmp_path: Path) -> None:
    (tree / "linked").mkdir()
    (tree / "linked" / "album").symlink_to(tree / "sub")
    assert names(gather(["linked"])) == ["linked/album/c.webp", "linked/album/deep/d.jpeg"]


def test_a_tree_deeper_than_the_stack(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "x.jpg").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = gather([str(tmp_path)])
    finally:
        sys.setrecursionlimit(limit)
    assert len(found.entries) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED as root, who may read everything")
def test_a_folder_that_may_not_be_read_is_told(tree: Path) -> None:
    (tree / "sub").chmod(0)
    found = gather(["."])
    (tree / "sub").chmod(0o755)
    assert names(found) == ["a.png", "b.JPG"]
    assert found.problems == [("sub", "Permission denied")]


def test_a_folder_that_fails_is_told_and_the_rest_is_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir

    def fail(path: Path) -> list[str]:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", fail)
    found = gather(["."])
    assert names(found) == ["a.png", "b.JPG"]
    assert found.problems == [("sub", "Permission denied")]


def test_pipes_and_sockets_in_folders_are_left_alone(tree: Path) -> None:
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert names(gather(["."])) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.jpeg"]


def test_names_of_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wild = ["new\nline.jpg", "naïve ☺.png", " spaces .jpg", os.fsdecode(b"\xff.jpg")]
    for name in wild:
        Path(name).touch()
    assert sorted(names(gather(["."]))) == sorted(wild)


def test_videos_in_folders_are_counted_and_read_when_named(tree: Path) -> None:
    (tree / "clip.MP4").touch()
    found = gather(["."])
    assert (len(found.videos), len(found.entries)) == (1, 4)
    (entry,) = gather(["clip.MP4"]).entries
    assert entry.is_video
    assert names(gather(["*.MP4"])) == ["clip.MP4"]
    assert names(gather(["clip.*"])) == []


def test_copies_and_own_outputs_are_left_out_of_folders(tree: Path) -> None:
    for name in ("b.drawn.jpg", "sub/c.blurred.jpg", "sheet.png"):
        (tree / name).touch()
    found = gather([".", "*.jpg"], [tree / "sheet.png"])
    assert "sheet.png" not in names(found)
    assert not [name for name in names(found) if "drawn" in name or "blurred" in name]
    assert len(found.copies) == 2
    assert names(gather(["b.drawn.jpg"])) == ["b.drawn.jpg"]


@pytest.mark.parametrize("argument", ["missing.jpg", "missing/", "a.png/x.jpg", "x" * 5000])
def test_what_is_not_there_is_told(tree: Path, argument: str) -> None:
    assert gather([argument]).problems == [(argument, "there is no such file")]


def test_empty_folders_are_named(tree: Path) -> None:
    (tree / "empty").mkdir()
    assert gather(["a.png", "b.JPG", "sub", "empty", "."]).empty == ["empty"]


def test_addresses_are_told_apart_from_patterns(tree: Path) -> None:
    ((name, problem),) = gather(["https://example.com/a.jpg?x=1"]).problems
    assert name == "https://example.com/a.jpg?x=1"
    assert "not fetched" in problem
