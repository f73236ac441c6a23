"""Face detection with age and gender estimation: a service, a command line and a Python API.

``FaceAnalyzer`` is the Python API, ``age_gender.client`` a client of the service. A request to the
service goes through these packages in order: ``edge`` -> ``fetch`` -> ``limits`` -> ``vision`` ->
``networks`` and back to ``edge``; ``runtime`` holds the loaded models. Uploads to a bucket enter at
``batch`` instead.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from age_gender.analyzer import FaceAnalyzer as FaceAnalyzer
    from age_gender.analyzer import Faces as Faces
    from age_gender.analyzer import to_dataframe as to_dataframe
    from age_gender.analyzer import to_dicts as to_dicts
    from age_gender.errors import ImageError as ImageError
    from age_gender.errors import ImageTooLarge as ImageTooLarge
    from age_gender.errors import ModelUnavailable as ModelUnavailable
    from age_gender.vision.face import Face as Face
    from age_gender.vision.face import FaceAttributes as FaceAttributes

__version__ = "0.1.0"
__all__ = [
    "Face",
    "FaceAnalyzer",
    "FaceAttributes",
    "Faces",
    "ImageError",
    "ImageTooLarge",
    "ModelUnavailable",
    "__version__",
    "to_dataframe",
    "to_dicts",
]

_MODULES = {
    "FaceAnalyzer": "age_gender.analyzer",
    "Faces": "age_gender.analyzer",
    "to_dataframe": "age_gender.analyzer",
    "to_dicts": "age_gender.analyzer",
    "Face": "age_gender.vision.face",
    "FaceAttributes": "age_gender.vision.face",
    "ImageError": "age_gender.errors",
    "ImageTooLarge": "age_gender.errors",
    "ModelUnavailable": "age_gender.errors",
}

# OpenCV reads this once, at its import. Headers are checked against the setting `max_pixels`
# before decoding; this is the second line of defence, against headers that lie.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
# Messages about damaged images, which are the sender's problem, would flood the log.
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")


def __getattr__(name: str) -> Any:
    """Import the Python API on first use: the service starts faster without it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
