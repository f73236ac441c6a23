"""Joins the runs of concurrent callers into batches, which is what makes a GPU worth its price.

A run starts as soon as the one before it has ended, with all that came meanwhile: a single caller
does not wait, and the more callers there are, the larger the batches. No one waits for longer than
the runs take that came before.
"""

import math
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.limits.capacity import NETWORK_PIXELS
from age_gender.networks.engine import Arrays, Engine, Read, Taken, Write, copied

MAX_PIXELS = 16 * NETWORK_PIXELS
"""Total input pixels of one batch: some 2.5 GB of a GPU's memory, by the detector's need."""


@dataclass(eq=False)
class _Run:
    """One caller's input, float32 ``[N, H, W, 3]``, and what becomes of it."""

    batch: NDArray[np.float32]
    outputs: Future[Arrays] = field(default_factory=Future)

    @property
    def pixels(self) -> int:
        return math.prod(self.batch.shape[:3])


class BatchingEngine:
    """An `Engine` over another, which it runs once for several callers, one run at a time.

    Runs are joined in the order in which they came, the oldest first, with those of the same height
    and width. If a joined run fails, each caller's part is run alone, so that an input that cannot
    be processed, or a batch for which memory is too short, is no other caller's failure.
    """

    def __init__(self, engine: Engine, size: int, max_pixels: int = MAX_PIXELS):
        """Wrap a loaded network.

        Args:
            engine: whose outputs for one sample do not depend on the others in its batch.
            size: maximum samples in a batch; more only if one caller brings more.
            max_pixels: maximum input pixels in a batch, likewise.
        """
        self.batch = min(engine.batch, size)
        self._engine = engine
        self._size = size
        self._max_pixels = max_pixels
        self._waiting: deque[_Run] = deque()
        self._is_running = False
        self._changed = threading.Condition()

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> Arrays:
        """See `Engine.run`."""
        return self._join(_Run(np.asarray(batch, np.float32)))

    def run_on(self, shape: tuple[int, ...], write: Write, read: Read[Taken]) -> Taken:
        """See `Engine.run_on`."""
        batch = np.empty(shape, np.float32)
        write(batch)  # before it is the batch's turn: callers write at the same time
        return read(self._join(_Run(batch)))

    def _join(self, run: _Run) -> Arrays:
        """Wait for the run's turn; one of those waiting runs the next batch when it can be run."""
        with self._changed:
            self._waiting.append(run)
        while not run.outputs.done():
            with self._changed:
                while self._is_running and not run.outputs.done():
                    self._changed.wait()
                if run.outputs.done():
                    break
                self._is_running = True
                together = self._take()
            try:
                self._run_together(together)
            finally:
                with self._changed:
                    self._is_running = False
                    self._changed.notify_all()
        return run.outputs.result()

    def _take(self) -> list[_Run]:
        """Take the oldest run from those waiting, and all that fit into a batch with it."""
        oldest = self._waiting.popleft()
        taken, samples, pixels = [oldest], len(oldest.batch), oldest.pixels
        for run in tuple(self._waiting):
            samples_then, pixels_then = samples + len(run.batch), pixels + run.pixels
            fits = samples_then <= self._size and pixels_then <= self._max_pixels
            if fits and run.batch.shape[1:] == oldest.batch.shape[1:]:
                self._waiting.remove(run)
                taken.append(run)
                samples, pixels = samples_then, pixels_then
        return taken

    def _run_together(self, runs: list[_Run]) -> None:
        """Run a batch and give each caller its part of the outputs, or its failure."""
        try:
            outputs = self._run_padded([run.batch for run in runs])
        except BaseException as error:
            if len(runs) == 1:
                runs[0].outputs.set_exception(error)
                return
            for run in runs:
                self._run_together([run])
            return
        start = 0
        for run in runs:
            end = start + len(run.batch)
            run.outputs.set_result({name: array[start:end] for name, array in outputs.items()})
            start = end

    def _run_padded(self, batches: list[NDArray[np.float32]]) -> Arrays:
        """Run arrays one after the other in one batch, whose size is a power of two.

        CUDA's libraries search for the fastest algorithm for each new shape of an input, which
        takes many times as long as a run: so there are only a few.
        """
        samples = sum(map(len, batches))

        def write(data: NDArray[np.float32 | np.uint8]) -> None:
            np.concatenate(batches, out=data[:samples], casting="unsafe")
            data[samples:] = 0

        padded = 1 << (samples - 1).bit_length()
        outputs = self._engine.run_on((padded, *batches[0].shape[1:]), write, copied)
        # A network that was exported for one sample mixes several, and would return to one caller
        # what is another's.
        if any(len(array) != padded for array in outputs.values()):
            raise ModelUnavailable("a network does not take batches: set GPU_BATCH to 1")
        return outputs
