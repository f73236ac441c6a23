"""The run over image packages' test files judges answers rightly."""

import io
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.corpus import Answer, files_of, is_upright, pillow_thumbnail
from tests.unit.files import IMAGE, oriented
from tests.unit.pictures import encoded
from tests.unit.test_decode import STORED


def test_files_of_folders_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(b"a")
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        member = tarfile.TarInfo("sub/a")
        member.size = 1
        file.addfile(member, io.BytesIO(b"a"))
    assert list(files_of(folder)) == list(files_of(archive)) == [("sub/a", b"a")]


def test_pictures_that_lie_down_are_noticed() -> None:
    upright = pillow_thumbnail(encoded(IMAGE, "PNG"))
    assert upright is not None
    for orientation, stored in STORED.items():
        image = np.ascontiguousarray(stored(IMAGE))  # type: ignore[no-untyped-call]
        turned = pillow_thumbnail(oriented(image, "JPEG", orientation))
        lying = pillow_thumbnail(encoded(image, "PNG"))
        assert turned is not None
        assert lying is not None
        assert is_upright(turned, upright)
        assert is_upright(lying, upright) == (orientation == 1)
    assert pillow_thumbnail(b"no picture") is None


def test_what_counts_as_wrong() -> None:
    assert not Answer("a", 200, "", True, True).is_wrong
    assert not Answer("a", 415, "", None, True).is_wrong
    for status, upright in ((0, None), (500, None), (503, None), (200, False)):
        assert Answer("a", status, "", upright, True).is_wrong
