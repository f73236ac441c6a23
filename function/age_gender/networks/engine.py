"""Runs networks on arrays, with LiteRT by default or TensorFlow, behind one protocol.

An engine takes one batch and returns named arrays; callers need not know the library. Engines are
thread-safe.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.limits.admission import Gate
from age_gender.limits.capacity import NETWORK_PIXELS
from age_gender.limits.cpus import CpuShares
from age_gender.networks.gpu import NO_GPU

log = logging.getLogger(__name__)

FIXED_PIXELS = 40_000
"""Memory of an interpreter apart from its input (its own packed weights), counted in pixels."""
MAX_WAITING = 1_000_000
"""Runs that may wait for their turn: no limit in practice, since requests were limited earlier."""

Arrays = Mapping[str, NDArray[np.float32]]
Write = Callable[[NDArray[np.float32 | np.uint8]], None]
Taken = TypeVar("Taken")
Read = Callable[[Arrays], Taken]


class Engine(Protocol):
    """A network that has been loaded."""

    batch: int
    """Samples in one run; more would not be faster."""

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """Run the network.

        Args:
            batch: float32 or uint8 ``[N, H, W, 3]``, RGB, 0-255; the networks normalise it. Those
                that take whole pixels cut off fractions.

        Returns:
            A float32 array for each output's name, whose first dimension is ``N``.
        """
        ...

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        """Run the network on an input and outputs in its own memory, which saves copies.

        Args:
            shape: of the input, as for `run`.
            write: fills the input with values of 0-255. It is float32, or uint8 if the network
                takes whole pixels; its values are arbitrary before. No reference to it may be kept.
            read: takes from the outputs what is wanted. No reference to them may be kept.

        Returns:
            What ``read`` returns.
        """
        ...


def copied(outputs: Arrays) -> Arrays:
    """Copy all outputs, for callers that want them whole; see `Engine.run_on`."""
    return {name: array.copy() for name, array in outputs.items()}


class LiteRTEngine:
    """LiteRT's interpreter with XNNPACK.

    An interpreter has a fixed number of threads and is prepared for one input shape at a time.
    Preparing takes tens of milliseconds and, for the detector, about 50 bytes a pixel. So the most
    recently used interpreters are kept, up to a budget of input pixels. Beyond it, the one that has
    been idle longest is resized to the new shape, which is cheap.
    """

    batch = 1  # a batch would take more memory and no less time per face

    def __init__(
        self,
        path: Path,
        cpus: CpuShares,
        *,
        content: bytes | None = None,
        keep_pixels: int = NETWORK_PIXELS,
        max_pixels: int = NETWORK_PIXELS,
    ):
        """Check that the file exists; interpreters are made on demand.

        Args:
            path: a ``.tflite`` file with the signature ``serving_default``.
            cpus: gives the number of threads for a run, and of concurrent runs.
            content: of the file, where it has been read already. All interpreters share it, and
                the file is not read again.
            keep_pixels: budget of input pixels that stay prepared while images come one at a time.
            max_pixels: budget of input pixels that run concurrently, and that stay prepared while
                several images are in progress; a larger input runs alone.

        Raises:
            ModelUnavailable: the file is missing.
        """
        if content is None:
            if not path.is_file():
                raise ModelUnavailable(f"model file {path.name} is missing: run `make models`")
            content = path.read_bytes()
        self._name = path.name
        self._content = content
        self._cpus = cpus
        self._keep_pixels = keep_pixels
        self._idle: list[Interpreter] = []
        """Longest idle first."""
        self._pixels_running = 0
        self._lock = threading.Lock()
        self._max_pixels = max_pixels
        self._turns = Gate(cpus.cpus, MAX_WAITING, math.inf, capacity=self._max_pixels)

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """See `Engine.run`."""
        write = partial(np.copyto, src=batch, casting="unsafe")
        return self.run_on(batch.shape, write, copied)

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        """See `Engine.run_on`."""
        with self._turns.enter(_cost(shape)):
            threads = self._cpus.threads
            with self._lock:
                idle = self._take_idle(threads, shape)
                pixels = max(idle.pixels if idle else 0, _cost(shape))
                self._pixels_running += pixels
            reusable = []
            try:
                interpreter = idle or Interpreter(self._name, self._content, threads)
                if interpreter.shape != shape:
                    interpreter.resize_input(shape)
                result = interpreter.run_on(write, read)
                reusable.append(interpreter)
            finally:
                with self._lock:
                    self._pixels_running -= pixels
                    self._idle += reusable
                    self._evict(0)
        return result

    @property
    def pixels(self) -> int:
        """Input pixels of all interpreters, running or idle; a measure of memory."""
        return self._pixels_running + sum(interpreter.pixels for interpreter in self._idle)

    def _take_idle(self, threads: int, shape: tuple[int, ...]) -> "Interpreter | None":
        """Take an idle interpreter of this shape, or one to resize; None if one has to be made."""
        for interpreter in reversed(self._idle):  # most recently used: its memory is in the caches
            if interpreter.shape == shape and interpreter.threads == threads:
                self._idle.remove(interpreter)
                return interpreter
        for interpreter in self._evict(_cost(shape)):
            if interpreter.threads == threads:
                return interpreter
        return None

    def _evict(self, pixels: int) -> list["Interpreter"]:
        """Remove idle interpreters until ``pixels`` more fit the budget; last removed first."""
        several = self._cpus.busy and self._cpus.cpus > 1
        budget = self._max_pixels if several else self._keep_pixels
        evicted: list[Interpreter] = []
        while self._idle and self.pixels + pixels > budget:
            evicted.insert(0, self._idle.pop(0))
        return evicted


def _cost(shape: tuple[int, ...]) -> int:
    """Memory of an interpreter for this input, counted in pixels."""
    return math.prod(shape[:3]) + FIXED_PIXELS


class Interpreter:
    """A LiteRT interpreter, prepared for one input shape at a time. Not thread-safe.

    Attributes:
        threads: of every run.
        shape: of the input it is prepared for; empty at first.
        pixels: of the largest input so far, whose memory it keeps, with `FIXED_PIXELS`.
    """

    def __init__(self, name: str, content: bytes, threads: int):
        # Imported here because the TensorFlow engine does not need it.
        from ai_edge_litert.interpreter import Interpreter

        self.threads = threads
        self.shape: tuple[int, ...] = ()
        self.pixels = 0
        self._name = name
        with self._damage_reported():
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._input, self._outputs = _tensor_indices(self._interpreter)

    def resize_input(self, shape: tuple[int, ...]) -> None:
        """Prepare for inputs of ``shape``."""
        # The library reports both in the same way.
        with self._damage_reported(or_else=", or there is too little memory for this size"):
            self._interpreter.resize_tensor_input(self._input, shape)
            self._interpreter.allocate_tensors()
        self.shape = shape
        self.pixels = max(self.pixels, _cost(shape))

    @contextmanager
    def _damage_reported(self, or_else: str = "") -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise ModelUnavailable(
                f"model file {self._name} is damaged or for another version "
                f"(delete it and run `make models`){or_else}"
            ) from error

    def run_on(self, write: Write, read: Read[Taken]) -> Taken:
        """Write the input ``[N, H, W, 3]`` in place, run, and read; see `Engine.run_on`."""
        self._write_with(write)
        self._interpreter.invoke()
        return read({name: self._interpreter.tensor(i)() for name, i in self._outputs.items()})

    def _write_with(self, write: Write) -> None:
        """Have the input written; no reference to its memory is left while the network runs."""
        data = self._interpreter.tensor(self._input)()
        if data.dtype != np.int8:
            write(data)
            return
        pixels = data.view(np.uint8)
        write(pixels)
        np.bitwise_xor(pixels, 128, out=pixels)  # as int8, that is less 128


def _tensor_indices(interpreter: Any) -> tuple[int, dict[str, int]]:
    """Return the index of the input tensor, and of each output by its name in the signature.

    This is a function because the input cannot be resized while the signature runner is alive.
    """
    signature = interpreter.get_signature_runner()
    (input_details,) = signature.get_input_details().values()
    outputs = signature.get_output_details()
    return int(input_details["index"]), {name: int(d["index"]) for name, d in outputs.items()}


class TensorFlowEngine:
    """A SavedModel run by TensorFlow: for GPUs, and as the reference in parity tests."""

    batch = 16

    def __init__(
        self,
        path: Path,
        threads: int,
        *,
        gpu: bool,
        gpu_fraction: float,
        gpu_required: bool = False,
    ):
        """Import TensorFlow and load the model.

        Args:
            path: a SavedModel folder with the signature ``serving_default``.
            threads: CPU threads per run.
            gpu: whether to use a GPU, if there is one.
            gpu_fraction: maximum fraction of the GPU's memory, 0-1.
            gpu_required: whether to fail if TensorFlow finds no GPU.

        Raises:
            ModelUnavailable: the folder is missing or damaged, TensorFlow is not installed, or
                there is no GPU though it is required.
        """
        if not (path / "saved_model.pb").is_file():
            raise ModelUnavailable(f"SavedModel {path.name}/ is missing: run `make models`")
        tf = _import_tensorflow(threads, gpu=gpu, gpu_fraction=gpu_fraction)
        if gpu_required and not tf.config.list_physical_devices("GPU"):
            raise ModelUnavailable(NO_GPU)
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
        return self.run_on(batch.shape, partial(np.copyto, src=batch), copied)

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        """See `Engine.run_on`."""
        batch = np.empty(shape, np.float32)
        write(batch)
        outputs = self._run(**{self._input: self._constant(batch)})
        return read({name: tensor.numpy() for name, tensor in outputs.items()})


_tensorflow_lock = threading.Lock()
_tensorflow: Any = None


def _import_tensorflow(threads: int, *, gpu: bool, gpu_fraction: float) -> Any:
    """Import TensorFlow once per process and configure it; devices cannot be changed later."""
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
    """Set the number of threads and, for a GPU, let its memory grow up to a limit.

    ``tf.config`` allows growth or a limit, not both. The options of TensorFlow 1, which eager mode
    still accepts, allow both.
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
        log.warning("GPU=True, but TensorFlow finds no GPU: using the CPU")
