"""Finds the faces in a picture and tells each one's age and gender.

The story of one request, module by module, in the order in which data flows:

``http`` -> ``schema``/``auth`` -> ``sources`` -> ``imaging`` -> ``detectors`` -> ``geometry``
(alignment) -> ``attributes`` -> ``pipeline`` (which ties the middle together) -> ``http``.
"""

__version__ = "0.1.0"
