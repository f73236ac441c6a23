"""Writes the filters of the ``fast`` detector: ``python -m modelbuild.hog``.

They are built into dlib (Boost Software Licence 1.0), which takes half a second to unpack them and
a millisecond to read them from its own file format. The file also limits the scan to one level of
the image pyramid, for which dlib has no API.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import dlib

from modelbuild.catalogue import ROOT
from modelbuild.errors import ModelBuildError

FILTERS = ROOT / "function" / "age_gender" / "vision" / "detectors" / "hog.svm"

MANY_LEVELS, ONE_LEVEL = b"\x02\xe8\x03", b"\x01\x01"
"""1000 and 1 as dlib serialises integers: byte count, then the bytes in little-endian order."""
HEAD_BYTES = 40


def filters() -> bytes:
    """Return the content of the file.

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
