"""The Python API: faces with age and gender in an image, without a server."""

import os
from collections.abc import Sequence
from pathlib import Path

from age_gender.runtime import Runtime
from age_gender.settings import Settings
from age_gender.vision.attributes import MAX_AGE
from age_gender.vision.decode import DecodedImage
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.face import Face
from age_gender.vision.geometry import Image
from age_gender.vision.pipeline import Options


class FaceAnalyzer:
    """Detects faces and estimates age and gender.

    Networks load at the first call, and later calls reuse them. Thread-safe: create one analyzer
    and share it.

    >>> from age_gender import FaceAnalyzer
    >>> analyzer = FaceAnalyzer()
    >>> (face,) = analyzer.analyze("photo.jpg")
    >>> attributes = face.attributes
    >>> attributes.gender, attributes.reliable
    ('F', True)
    >>> low, high = attributes.age_interval
    >>> low < attributes.age < high
    True
    """

    def __init__(
        self,
        *,
        attribute_model: str = "agn-v2",
        models_dir: str | os.PathLike[str] | None = None,
        threads: int = 0,
        max_pixels: int = 50_000_000,
    ):
        """Configure the analyzer.

        The service's environment variables and ``config.json`` have no effect here.

        Args:
            attribute_model: ``agn-v2``, or ``agn-v2-research``, for non-commercial research only.
            models_dir: folder of the networks, if not those of the package.
            threads: maximum threads per inference; 0 for the number of usable CPUs.
            max_pixels: maximum width times height of a file or of bytes.

        Raises:
            pydantic.ValidationError: an argument is out of range.
        """
        values = {
            "attribute_model": attribute_model,
            "inference_threads": threads,
            "max_pixels": max_pixels,
        }
        if models_dir is not None:
            values["models_dir"] = Path(models_dir)
        self._runtime = Runtime(Settings.model_validate(values))

    def analyze(
        self,
        image: str | os.PathLike[str] | bytes | Image,
        *,
        detector: DetectorName = "accurate",
        confidence: float = 0.5,
        nms: float = 0.5,
        min_face: int | None = None,
        max_faces: int | None = None,
        attributes: bool = True,
        over_age: Sequence[int] = (),
    ) -> list[Face]:
        """Detect the faces in an image and estimate their age and gender.

        Args:
            image: path of a file (any of `kinds.FORMATS`), its bytes, or pixels: uint8
                ``[H, W, 3]``, RGB, upright.
            detector: ``accurate`` (RetinaFace) or ``fast`` (dlib's HOG).
            confidence: minimum probability that a box is a human face, 0 to 1.
            nms: IoU above which the lower-scoring of two overlapping boxes is dropped.
            min_face: side of the smallest face to detect, in pixels.
            max_faces: return only the largest faces, at most this many.
            attributes: whether to estimate age and gender.
            over_age: ages, 1 to 100, to tell the probability of being at least that old for.

        Returns:
            The faces, most confident first.

        Raises:
            OSError: the file cannot be read.
            ImageError: the image is damaged, or its format is not supported.
            ImageTooLarge: the image exceeds ``max_pixels`` or 20 MiB.
            ModelUnavailable: a network is missing or damaged.
            TypeError: the array has another shape or dtype.
            ValueError: there is no such detector, or an age is not from 1 to 100.
        """
        if detector not in DETECTORS:
            raise ValueError(f"unknown detector {detector!r}; known: {', '.join(DETECTORS)}")
        options = Options(
            confidence=confidence,
            nms=nms,
            face_detector=detector,
            min_face=min_face,
            max_faces=max_faces,
            get_attributes=attributes,
            over_age=_ages(over_age),
            return_image=False,
        )
        pipeline = self._runtime.pipeline
        if isinstance(image, str | os.PathLike):
            image = Path(image).read_bytes()
        if isinstance(image, bytes):
            return pipeline.run(self._runtime.open_image(image), options).faces
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(
                f"an image array must be uint8 [H, W, 3] in RGB, not {image.dtype} {image.shape}"
            )
        return pipeline.run(DecodedImage(image), options).faces


def _ages(over_age: Sequence[int]) -> tuple[int, ...]:
    ages = tuple(sorted(set(over_age)))
    if not all(1 <= age <= MAX_AGE for age in ages):
        raise ValueError(f"over_age must be from 1 to {MAX_AGE}, not {list(over_age)}")
    return ages
