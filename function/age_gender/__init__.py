"""Face detection with age and gender estimation: a service, a command line and a Python API.

``FaceAnalyzer`` is the Python API. A request to the service goes through these packages in order:
``edge`` -> ``fetch`` -> ``limits`` -> ``vision`` -> ``networks`` and back to ``edge``; ``runtime``
holds the loaded models. Uploads to a bucket enter at ``batch`` instead.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from age_gender.analyzer import FaceAnalyzer as FaceAnalyzer

__version__ = "0.1.0"
__all__ = ["FaceAnalyzer", "__version__"]

# OpenCV reads this once, at its import. Headers are checked against the setting `max_pixels`
# before decoding; this is the second line of defence, against headers that lie.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
# Messages about damaged images, which are the sender's problem, would flood the log.
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")


def __getattr__(name: str) -> Any:
    """Import the Python API at its first use: a cold start of the service does without it."""
    if name == "FaceAnalyzer":
        from age_gender.analyzer import FaceAnalyzer

        return FaceAnalyzer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
