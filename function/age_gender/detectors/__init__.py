"""Face detectors: one protocol, ``fast`` (dlib) and ``accurate`` (TensorFlow CNN) behind it."""

from age_gender.detectors.base import Detections, Detector

__all__ = ["Detections", "Detector"]
