"""Runs a network on arrays: LiteRT by default, TensorFlow beside it, behind one protocol.

An engine takes one float32 batch and gives named arrays; nothing above it knows which library
does the work. Engines may be used by several threads at once.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.limits.admission import Gate
from age_gender.limits.capacity import NETWORK_PIXELS
from age_gender.limits.cpus import CpuShares

log = logging.getLogger(__name__)

FIXED_PIXELS = 40_000
"""What an interpreter takes beside its input's pixels, in pixels: weights, packed for it anew."""
EVERYBODY = 1_000_000
"""May wait for a turn: who came this far has been let in."""

Arrays = Mapping[str, NDArray[np.float32]]
Write = Callable[[NDArray[np.float32]], None]


class Engine(Protocol):
    """A network that has been loaded."""

    batch: int
    """Samples in one run from which on more bring nothing."""

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """Run the network.

        Args:
            batch: ``[N, H, W, 3]``, RGB, 0-255 (the networks normalise inside).

        Returns:
            Output name -> float32 array whose first dimension is ``N``.
        """
        ...

    def run_on(self, shape: tuple[int, ...], write: Write) -> Arrays:
        """Run the network on what is written into its input, which spares a copy.

        Args:
            shape: of the input, as above.
            write: gets the input, float32 with any values in it, and must not keep it.
        """
        ...


class LiteRTEngine:
    """TensorFlow Lite's interpreter with XNNPACK.

    An interpreter has a number of threads for life, and is prepared for one input shape at a time,
    which takes tens of milliseconds and, for the detector, some 120 bytes a pixel. So those last
    used are kept within a budget of pixels, and beyond it the one that was idle longest is turned
    to the new shape, which is cheap.
    """

    batch = 1  # each face costs the same alone or in a batch, which would only take memory

    def __init__(
        self,
        path: Path,
        cpus: CpuShares,
        *,
        keep_pixels: int = 896 * 896 + FIXED_PIXELS,
        max_pixels: int = NETWORK_PIXELS,
    ):
        """Load nothing yet but the library.

        Args:
            path: a ``.tflite`` file with the signature ``serving_default``.
            cpus: says how many threads a run gets, and how many runs there may be at a time.
            keep_pixels: input pixels of all shapes that stay prepared while one picture at a time
                is worked on.
            max_pixels: input pixels that are run at the same time, and that stay prepared while
                several pictures are worked on; a larger input is run alone.

        Raises:
            ModelUnavailable: the file is missing.
        """
        if not path.is_file():
            raise ModelUnavailable(f"model file {path.name} is missing: run `make models`")
        self._path = path
        self._cpus = cpus
        self._keep_pixels = keep_pixels
        self._idle: list[_Prepared] = []
        """The one idle longest first."""
        self._pixels_running = 0
        self._lock = threading.Lock()
        self._max_pixels = max_pixels
        self._turns = Gate(cpus.cpus, EVERYBODY, math.inf, capacity=self._max_pixels)

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """See `Engine.run`."""
        return self.run_on(batch.shape, lambda into: np.copyto(into, batch))

    def run_on(self, shape: tuple[int, ...], write: Write) -> Arrays:
        """See `Engine.run_on`."""
        with self._turns.enter(_cost(shape)):
            threads = self._cpus.threads
            with self._lock:
                taken = self._take(threads, shape)
                pixels = max(taken.pixels if taken else 0, _cost(shape))
                self._pixels_running += pixels
            to_keep = []
            try:
                prepared = taken or _Prepared(self._path, threads)
                if prepared.shape != shape:
                    prepared.resize_input(shape)
                outputs = prepared.run_on(write)
                to_keep.append(prepared)
            finally:
                with self._lock:
                    self._pixels_running -= pixels
                    self._idle += to_keep
                    self._free_up(0)
        return outputs

    def _take(self, threads: int, shape: tuple[int, ...]) -> "_Prepared | None":
        """Take an idle interpreter, prepared for this or to be turned; None: make one."""
        for prepared in reversed(self._idle):  # the one used last, whose memory is warm
            if prepared.shape == shape and prepared.threads == threads:
                self._idle.remove(prepared)
                return prepared
        for freed in self._free_up(_cost(shape)):
            if freed.threads == threads:
                return freed
        return None

    def _free_up(self, pixels: int) -> list["_Prepared"]:
        """Part with idle interpreters until there is room for ``pixels``; the last one first."""
        several = self._cpus.busy and self._cpus.cpus > 1
        budget = self._max_pixels if several else self._keep_pixels
        freed: list[_Prepared] = []
        while self._idle and self._held() + pixels > budget:
            freed.insert(0, self._idle.pop(0))
        return freed

    def _held(self) -> int:
        return self._pixels_running + sum(prepared.pixels for prepared in self._idle)


def _cost(shape: tuple[int, ...]) -> int:
    """Pixels of an input, and what an interpreter takes whatever it is prepared for."""
    return math.prod(shape[:3]) + FIXED_PIXELS


class _Prepared:
    """One interpreter with its tensors allocated for one input shape at a time."""

    def __init__(self, path: Path, threads: int):
        # Imported here: the TensorFlow engine does not need it.
        from ai_edge_litert.interpreter import Interpreter

        self.threads = threads
        self.shape: tuple[int, ...] = ()
        self.pixels = 0
        self._path = path
        with self._telling_of_damage():
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._input, self._outputs = _tensor_indices(self._interpreter)

    def resize_input(self, shape: tuple[int, ...]) -> None:
        """Prepare for inputs of ``shape``."""
        # The library says the same of both.
        with self._telling_of_damage(or_else=", or there is too little memory for this size"):
            self._interpreter.resize_tensor_input(self._input, shape)
            self._interpreter.allocate_tensors()
        self.shape = shape
        # Memory that it once had it keeps.
        self.pixels = max(self.pixels, _cost(shape))

    @contextmanager
    def _telling_of_damage(self, or_else: str = "") -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise ModelUnavailable(
                f"model file {self._path.name} is damaged or made for another version "
                f"(delete it and run `make models`){or_else}"
            ) from error

    def run_on(self, write: Write) -> dict[str, NDArray[np.float32]]:
        # Nobody may hold the input's memory while the network runs.
        write(self._interpreter.tensor(self._input)())
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(i) for name, i in self._outputs.items()}


def _tensor_indices(interpreter: Any) -> tuple[int, dict[str, int]]:
    """Index of the input tensor, and of each output by its name in the signature.

    A function of its own because the runner must be gone before the input can be resized.
    """
    signature = interpreter.get_signature_runner()
    (input_details,) = signature.get_input_details().values()
    outputs = signature.get_output_details()
    return int(input_details["index"]), {name: int(d["index"]) for name, d in outputs.items()}


class TensorFlowEngine:
    """A SavedModel run by TensorFlow: the reference in parity tests, and the route to a GPU."""

    batch = 16

    def __init__(self, path: Path, threads: int, *, gpu: bool, gpu_fraction: float):
        """Import TensorFlow and load the model.

        Args:
            path: a SavedModel folder with the signature ``serving_default``.
            threads: CPU threads per run.
            gpu: whether to use a GPU, if there is one.
            gpu_fraction: most of the GPU's memory to take, 0-1.

        Raises:
            ModelUnavailable: the folder is missing or damaged, or TensorFlow is not installed.
        """
        if not (path / "saved_model.pb").is_file():
            raise ModelUnavailable(f"SavedModel {path.name}/ is missing: run `make models`")
        tf = _import_tensorflow(threads, gpu=gpu, gpu_fraction=gpu_fraction)
        try:
            self._model = tf.saved_model.load(str(path))
            self._run = self._model.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise ModelUnavailable(
                f"SavedModel {path.name}/ is damaged: run `make models`"
            ) from error
        (self._input,) = self._run.structured_input_signature[1]
        self._constant = tf.constant

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """See `Engine.run`."""
        return self.run_on(batch.shape, lambda into: np.copyto(into, batch))

    def run_on(self, shape: tuple[int, ...], write: Write) -> Arrays:
        """See `Engine.run_on`."""
        batch = np.empty(shape, np.float32)
        write(batch)
        outputs = self._run(**{self._input: self._constant(batch)})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


_tensorflow_lock = threading.Lock()
_tensorflow: Any = None


def _import_tensorflow(threads: int, *, gpu: bool, gpu_fraction: float) -> Any:
    """Import and configure TensorFlow once per process; devices cannot be changed later."""
    global _tensorflow
    with _tensorflow_lock:
        if _tensorflow is None:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            try:
                import tensorflow as tf
            except ImportError as error:
                raise ModelUnavailable(
                    "ENGINE=tensorflow needs tensorflow-cpu (or tensorflow, for a GPU): "
                    "pip install -r function/requirements-tensorflow.txt"
                ) from error
            _configure(tf, threads, gpu=gpu, gpu_fraction=gpu_fraction)
            _tensorflow = tf
    return _tensorflow


def _configure(tf: Any, threads: int, *, gpu: bool, gpu_fraction: float) -> None:
    """Set threads and, for a GPU, memory growth with a cap.

    The ``tf.config`` functions give growth or a cap, not both; the options of TensorFlow 1,
    which eager mode still takes, give both.
    """
    v1 = tf.compat.v1
    options = v1.GPUOptions(allow_growth=True, per_process_gpu_memory_fraction=gpu_fraction)
    v1.enable_eager_execution(
        config=v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=1,
            device_count={} if gpu else {"GPU": 0},
            gpu_options=options,
        )
    )
    if gpu and not tf.config.list_physical_devices("GPU"):
        log.warning("GPU=True, but TensorFlow finds no GPU: going on with the CPU")
