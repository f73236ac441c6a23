"""Writes the filters of the ``fast`` detector: ``python -m modelbuild.hog``.

They are those built into dlib (Boost Software Licence 1.0). Unpacking them takes dlib half a
second, reading them from its own file format a millisecond. The file says besides that only one
level of the pyramid of scales is to be scanned, for which dlib has no call.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import dlib

from modelbuild.catalogue import ROOT
from modelbuild.errors import ModelBuildError

FILTERS = ROOT / "function" / "age_gender" / "vision" / "detectors" / "hog.svm"

MANY_LEVELS, ONE_LEVEL = b"\x02\xe8\x03", b"\x01\x01"
"""1000 and 1 as dlib writes numbers: how many bytes follow, then these from the lowest up."""
HEAD_BYTES = 40


def filters() -> bytes:
    """The file's content.

    Raises:
        ModelBuildError: this version of dlib writes another format.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "filters"
        dlib.get_frontal_face_detector().save(str(path))
        content = path.read_bytes()
    if content.count(MANY_LEVELS, 0, HEAD_BYTES) != 1:
        raise ModelBuildError("dlib: the number of levels is not where it was in version 20.0")
    return content.replace(MANY_LEVELS, ONE_LEVEL, 1)


if __name__ == "__main__":
    FILTERS.write_bytes(filters())
