"""Finds the faces in a picture and tells each one's age and gender.

The story of one request, module by module, in the order in which data flows:

``http`` -> ``auth`` -> ``body`` -> ``inputs`` (``inline``, ``sources``) -> ``picture`` ->
``detectors`` -> ``geometry`` (alignment) -> ``attributes`` -> ``pipeline`` (which ties the middle
together) -> ``render`` -> ``http``.

Pictures in buckets take the same way from ``events`` or ``backfill`` through ``annotate``.
"""

import os

__version__ = "0.1.0"

# OpenCV reads this once, at its import. The picture's header is checked against the setting
# `max_pixels` before; this is the second line, for headers that lie.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
# Messages about damaged pictures, which are the sender's problem, would flood the log.
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
