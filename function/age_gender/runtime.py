"""The models of a process, loaded on first use.

gunicorn imports this code and then forks, and TensorFlow hangs if it was started before the fork.
So nothing is loaded at import; the first request that needs a model loads it, once.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import cv2

from age_gender.errors import ModelUnavailable
from age_gender.limits.capacity import memory_limit, network_pixels
from age_gender.limits.cpus import CpuShares, usable_cpus
from age_gender.networks.batching import BatchingEngine
from age_gender.networks.engine import Engine, LiteRTEngine, TensorFlowEngine
from age_gender.networks.gpu import require_gpu
from age_gender.networks.model_files import verified
from age_gender.settings import Settings, get_settings
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.decode import EncodedImage
from age_gender.vision.detectors.base import Detector
from age_gender.vision.detectors.registry import (
    DETECTORS,
    FACE_MESH,
    SECOND_DETECTOR,
    DetectorName,
    load_detector,
    required_networks,
)
from age_gender.vision.face_check import load_face_check
from age_gender.vision.mesh import FaceMesh
from age_gender.vision.model_spec import load_spec
from age_gender.vision.pipeline import Pipeline
from age_gender.vision.second_detector import SecondDetector
from age_gender.vision.verification import FaceVerifier

log = logging.getLogger(__name__)

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that is made on first use; other threads wait meanwhile.

    A failure is not kept: the next use tries again.
    """

    def __init__(self, name: str, make: Callable[[], T]):
        """Store ``make`` for the first call; ``name`` appears in the log."""
        self._name = name
        self._make = make
        self._lock = threading.Lock()
        self._value: T | None = None

    def __call__(self) -> T:
        """Return the value, made if necessary; raises what ``make`` raises."""
        if self._value is None:
            with self._lock:
                if self._value is None:
                    start = time.perf_counter()
                    self._value = self._make()
                    log.info(
                        "loaded %s in %.0f ms", self._name, (time.perf_counter() - start) * 1e3
                    )
        return self._value


def check_models(settings: Settings) -> None:
    """Check that the models that requests need are there, and a GPU if one is required.

    Nothing is loaded.

    Raises:
        ModelUnavailable: one is missing, or ``attribute_model`` is none of them.
    """
    if settings.gpu_required:
        require_gpu()
    folder = settings.models_dir
    load_spec(folder, settings.attribute_model)
    kind = "{}/saved_model.pb" if settings.engine_in_use == "tensorflow" else "{}.tflite"
    names = required_networks(settings.attribute_model)
    missing = [file for file in map(kind.format, names) if not (folder / file).is_file()]
    if missing:
        raise ModelUnavailable(f"model files are missing: {', '.join(missing)}: run `make models`")


class Runtime:
    """The models of a process, and the pipeline over them.

    Attributes:
        settings: as passed in.
        engine: ``litert`` or ``tensorflow``.
        estimator: returns the age and gender model.
        verifier: returns what checks the detectors' faces.
        pipeline: runs over images.
    """

    def __init__(self, settings: Settings):
        """Build the pipeline; models load on first use."""
        self.settings = settings
        self.engine = settings.engine_in_use
        self._threads = settings.inference_threads or usable_cpus()
        self._cpus = CpuShares(usable_cpus(), self._threads)
        self._detectors = {
            name: Lazy(f"{name} detector", partial(self._load_detector, name)) for name in DETECTORS
        }
        self.estimator = Lazy("attributes", self._load_estimator)
        mesh = Lazy("face mesh", lambda: FaceMesh(self._load_engine(FACE_MESH)))
        second = Lazy("second detector", lambda: SecondDetector(self._load_engine(SECOND_DETECTOR)))
        self.verifier = Lazy("face check", lambda: FaceVerifier(mesh, second, load_face_check()))
        self.pipeline = Pipeline(
            self._detector, self.estimator, self.verifier, cpus=self._cpus, engine=self.engine
        )
        # OpenCV's threads are shared by all images; more would only compete for the CPUs.
        cv2.setNumThreads(self._threads)

    def open_image(self, data: bytes) -> EncodedImage:
        """Read the header of an image file, within the settings' limits; see `EncodedImage`."""
        return EncodedImage(
            data,
            max_bytes=self.settings.max_picture_bytes,
            max_pixels=self.settings.max_pixels,
        )

    def _detector(self, name: DetectorName) -> Detector:
        return self._detectors[name]()

    def _load_detector(self, name: DetectorName) -> Detector:
        return load_detector(name, self._load_engine, self._cpus.cpus)

    def _load_estimator(self) -> AttributeEstimator:
        name = self.settings.attribute_model
        spec = load_spec(self.settings.models_dir, name)
        return AttributeEstimator(self._load_engine(name), spec)

    def _load_engine(self, model: str) -> Engine:
        settings = self.settings
        if self.engine == "tensorflow":
            network = TensorFlowEngine(
                settings.models_dir / model,
                self._threads,
                gpu=settings.gpu,
                gpu_fraction=settings.gpu_fraction,
                gpu_required=settings.gpu_required,
            )
            batch = settings.batch_in_use
            return BatchingEngine(network, batch) if batch > 1 else network
        file = f"{model}.tflite"
        return LiteRTEngine(
            settings.models_dir / file,
            self._cpus,
            content=verified(settings.models_dir, file),
            max_pixels=network_pixels(self._cpus.cpus, memory_limit()),
        )


_lock = threading.Lock()
_current: tuple[int, Runtime] | None = None


def get_runtime() -> Runtime:
    """Return this process's runtime; a forked child makes its own."""
    global _current
    with _lock:
        if _current is None or _current[0] != os.getpid():
            _current = (os.getpid(), Runtime(get_settings()))
        return _current[1]
