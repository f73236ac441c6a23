"""The one lazily loaded global of a process.

gunicorn imports this code, then forks; TensorFlow started before the fork hangs after it. So
nothing is loaded at import, but by the first request that needs it, once, however many ask.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import cv2

from age_gender.limits.capacity import memory_limit, network_pixels
from age_gender.limits.cpus import CpuShares, usable_cpus
from age_gender.networks.engine import Engine, LiteRTEngine, TensorFlowEngine
from age_gender.networks.model_files import verified
from age_gender.schema import response_body
from age_gender.settings import Settings, get_settings
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.detectors import Detector
from age_gender.vision.detectors.accurate import RetinaFaceDetector
from age_gender.vision.model_spec import load_spec
from age_gender.vision.pipeline import DetectorName, Options, Pipeline, Result

log = logging.getLogger(__name__)

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value made at first use, once per process, by one thread while the others wait.

    A failure is not kept: the next use tries again.
    """

    def __init__(self, name: str, make: Callable[[], T]):
        """Make nothing yet; ``name`` is for the log."""
        self._name = name
        self._make = make
        self._lock = threading.Lock()
        self._value: T | None = None

    def __call__(self) -> T:
        """Return the value, making it if need be; raises what making it raises."""
        if self._value is None:
            with self._lock:
                if self._value is None:
                    start = time.perf_counter()
                    self._value = self._make()
                    log.info(
                        "loaded %s in %.0f ms", self._name, (time.perf_counter() - start) * 1e3
                    )
        return self._value


class Runtime:
    """The models of this process, and the pipeline over them."""

    def __init__(self, settings: Settings):
        """Load nothing yet."""
        self.settings = settings
        self._threads = settings.inference_threads or usable_cpus()
        self._cpus = CpuShares(usable_cpus(), self._threads)
        self._detectors: dict[DetectorName, Lazy[Detector]] = {
            "fast": Lazy("fast detector", self._hog_detector),
            "accurate": Lazy("accurate detector", self._retinaface_detector),
        }
        self.estimator = Lazy("attributes", self._make_estimator)
        self.pipeline = Pipeline(
            lambda name: self._detectors[name](),
            self.estimator,
            cpus=self._cpus,
            max_bytes=settings.max_picture_bytes,
            max_pixels=settings.max_pixels,
        )
        # All pictures share OpenCV's threads; more would only fight over the CPUs.
        cv2.setNumThreads(self._threads)

        self.engine = settings.engine_in_use

    def _hog_detector(self) -> Detector:
        # dlib is imported only when asked for.
        from age_gender.vision.detectors.fast import HogDetector

        return HogDetector(self._cpus.cpus)

    def _retinaface_detector(self) -> Detector:
        return RetinaFaceDetector(self._load("retinaface"))

    def _make_estimator(self) -> AttributeEstimator:
        name = self.settings.attribute_model
        spec = load_spec(self.settings.models_dir, name)
        return AttributeEstimator(self._load(name), spec)

    def _load(self, model: str) -> Engine:
        settings = self.settings
        if self.engine == "tensorflow":
            return TensorFlowEngine(
                settings.models_dir / model,
                self._threads,
                gpu=settings.gpu,
                gpu_fraction=settings.gpu_fraction,
            )
        return LiteRTEngine(
            verified(settings.models_dir, f"{model}.tflite"),
            self._cpus,
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


def response_of(runtime: Runtime, result: Result, options: Options) -> dict[str, Any]:
    """Build the JSON object that a result of this runtime is told as, without ``image``."""
    spec = runtime.estimator().spec if options.get_attributes else None
    return response_body(result, options, spec, runtime.engine)
