"""Face detectors: one protocol, ``fast`` (dlib) and ``accurate`` (RetinaFace) behind it."""

from age_gender.vision.detectors.base import Detections, Detector

__all__ = ["Detections", "Detector"]
