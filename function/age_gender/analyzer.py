"""The Python API: faces with age and gender in an image, without a server."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from age_gender import tables
from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.limits.cpus import usable_cpus
from age_gender.runtime import Runtime
from age_gender.schema import face_details
from age_gender.settings import Settings
from age_gender.vision.attributes import MAX_AGE
from age_gender.vision.decode import DecodedImage
from age_gender.vision.detectors.registry import DETECTORS, DetectorName
from age_gender.vision.face import Face
from age_gender.vision.geometry import Image
from age_gender.vision.pipeline import Options

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("file", *tables.FACE_COLUMNS)
"""Keys of `Faces.to_dicts` and columns of `Faces.to_dataframe`."""

ImageLike = str | os.PathLike[str] | bytes | Image
"""Path of a file, its bytes, or pixels: uint8 ``[H, W, 3]``, RGB, upright."""


class AnalyzeOptions(TypedDict, total=False):
    """Keyword arguments of `FaceAnalyzer.analyze`."""

    detector: DetectorName
    confidence: float
    nms: float
    min_face: int | None
    max_faces: int | None
    attributes: bool
    over_age: Sequence[int]


class Faces(list[Face]):
    """The faces of one image, most confident first: a list that can become rows.

    Attributes:
        file: path of the image, or "" where it came as bytes or pixels.
        size: width and height of the upright image, pixels; 0, 0 where it could not be read.
        warnings: what is not as it should be though the image was read, in sentences.
        error: why it could not be read, with ``errors="keep"``; None otherwise.
    """

    def __init__(
        self,
        faces: Iterable[Face] = (),
        *,
        file: str = "",
        size: tuple[int, int] = (0, 0),
        warnings: Sequence[str] = (),
        error: AgeGenderError | OSError | None = None,
    ):
        """Take over the faces."""
        super().__init__(faces)
        self.file = file
        self.size = size
        self.warnings = tuple(warnings)
        self.error = error

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat dict for each face, with `COLUMNS` as keys.

        The probabilities of ``over_age`` follow as ``over_18`` and so on.
        """
        rows = []
        for number, face in enumerate(self, start=1):
            details = face_details(face)
            over = {f"over_{age}": p for age, p in details.get("over", {}).items()}
            rows.append({"file": self.file, **tables.face_row(number, details), **over})
        return rows

    def to_dataframe(self) -> "DataFrame":
        """Return one row for each face, with `COLUMNS` and those of ``over_age``.

        Raises:
            ImportError: pandas is not installed.
        """
        return to_dataframe([self])


def to_dicts(images: Iterable[Faces]) -> list[dict[str, Any]]:
    """Return the rows of several images' faces, one after the other; see `Faces.to_dicts`."""
    return [row for faces in images for row in faces.to_dicts()]


def to_dataframe(images: Iterable[Faces]) -> "DataFrame":
    """Return one table of several images' faces; see `Faces.to_dataframe`.

    Raises:
        ImportError: pandas is not installed.
    """
    rows = to_dicts(images)
    names = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))
    return tables.dataframe(rows, tuple(names))


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
        image: ImageLike,
        *,
        detector: DetectorName = "accurate",
        confidence: float = 0.5,
        nms: float = 0.5,
        min_face: int | None = None,
        max_faces: int | None = None,
        attributes: bool = True,
        over_age: Sequence[int] = (),
    ) -> Faces:
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
        file = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
        if isinstance(image, str | os.PathLike):
            image = Path(image).read_bytes()
        if isinstance(image, bytes):
            result = self._runtime.pipeline.run(self._runtime.open_image(image), options)
            return Faces(result.faces, file=file, size=result.size, warnings=result.warnings)
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(
                f"an image array must be uint8 [H, W, 3] in RGB, not {image.dtype} {image.shape}"
            )
        result = self._runtime.pipeline.run(DecodedImage(image), options)
        return Faces(result.faces, size=result.size)

    def analyze_many(
        self,
        images: Iterable[ImageLike],
        *,
        errors: Literal["raise", "keep"] = "raise",
        workers: int = 0,
        **options: Unpack[AnalyzeOptions],
    ) -> Iterator[Faces]:
        """Analyze many images, several at a time, and yield their faces in the order given.

        Images are taken from the iterable as they are needed, and few are in memory at once, so
        it may be endless.

        Args:
            images: see `analyze`.
            errors: ``raise`` what an image raises, or ``keep`` it in `Faces.error` and go on.
            workers: images at a time; 0 for the number of usable CPUs, more brings nothing.
            options: as for `analyze`.

        Raises:
            OSError, AgeGenderError: see `analyze`; with ``errors="keep"`` only
                `ModelUnavailable`, since no image would work.
            TypeError, ValueError: see `analyze`.
        """
        count = workers or usable_cpus()
        window: deque[tuple[ImageLike, Future[Faces]]] = deque()
        pool = ThreadPoolExecutor(count, "analyze")
        try:
            for image in images:
                window.append((image, pool.submit(self.analyze, image, **options)))
                if len(window) > 2 * count:
                    yield _outcome(*window.popleft(), keep=errors == "keep")
            while window:
                yield _outcome(*window.popleft(), keep=errors == "keep")
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(image: ImageLike, future: Future[Faces], *, keep: bool) -> Faces:
    """Wait for an image's faces, or for its error."""
    try:
        return future.result()
    except ModelUnavailable:
        raise
    except (OSError, AgeGenderError) as error:
        if not keep:
            raise
        file = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
        return Faces(file=file, error=error)


def _ages(over_age: Sequence[int]) -> tuple[int, ...]:
    ages = tuple(sorted(set(over_age)))
    if not all(1 <= age <= MAX_AGE for age in ages):
        raise ValueError(f"over_age must be from 1 to {MAX_AGE}, not {list(over_age)}")
    return ages
