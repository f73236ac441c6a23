"""The one object that bounds what a process takes on; HTTP, trigger and back-fill share it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self

from age_gender.limits.admission import Budget, Gate, Reservation, Shutdown
from age_gender.limits.capacity import holdable_bytes, memory_limit, pixel_capacity
from age_gender.limits.cpus import usable_cpus

SHUTDOWN_SECONDS = 7.0
"""Seconds after SIGTERM during which queued predictions still start; Google kills after ten."""
MAX_OVERTAKING_SECONDS = 4.0
"""Seconds for which smaller pictures may overtake one that waits for capacity, at most half of the
timeout."""
FETCHES = 16
"""Pictures fetched from elsewhere at a time."""
FETCHES_PER_HOST = 4
"""Of these from one address."""
LOOK_UPS = 16
"""Names of picture servers looked up at a time."""
LOOK_UPS_PER_DOMAIN = 4


class LimiterSettings(Protocol):
    """The settings that bound predictions; `Settings` has them, but imports what imports this."""

    @property
    def max_in_flight(self) -> int: ...  # noqa: D102
    @property
    def batch_in_use(self) -> int: ...  # noqa: D102
    @property
    def max_queue(self) -> int: ...  # noqa: D102
    @property
    def queue_timeout(self) -> float: ...  # noqa: D102
    @property
    def max_pixels(self) -> int: ...  # noqa: D102
    @property
    def max_held_bytes(self) -> int: ...  # noqa: D102
    @property
    def max_body_bytes(self) -> int: ...  # noqa: D102
    @property
    def max_picture_bytes(self) -> int: ...  # noqa: D102


class PredictionLimiter:
    """Bounds a process's predictions: their number, pixels and bytes, and how long they wait.

    A picture holds a place for intake while it is unpacked, one for fetching while it comes from
    another server, and one for prediction while the pipeline runs. They are apart so that slow
    servers of pictures keep neither the CPUs nor the queue from pictures that are here. For the
    same reason, pictures from other servers hold at most half of the bytes, or one picture.

    Attributes:
        max_pixels: largest picture there is memory for.
    """

    def __init__(
        self,
        *,
        in_flight: int,
        intake: int,
        queue: float,
        timeout: float,
        max_pixels: int,
        max_bytes: int,
        max_fetched_bytes: int | None = None,
        shutdown: Shutdown | None = None,
    ):
        """Take on nothing yet.

        Args:
            in_flight: maximum predictions at a time.
            intake: maximum pictures unpacked at a time.
            queue: maximum callers waiting, for intake, fetching and prediction each.
            timeout: seconds after which a waiting caller is refused.
            max_pixels: maximum pixels of all predictions in flight.
            max_bytes: maximum bytes of all bodies, pictures and answers held.
            max_fetched_bytes: of these, for pictures from other servers; half by default.
            shutdown: when the process was asked to stop.
        """
        self.max_pixels = max_pixels
        self._shutdown = shutdown or Shutdown()
        self._bytes = Budget(max_bytes)
        self._fetched_bytes = Budget(max_fetched_bytes or max_bytes // 2, self._bytes)
        self._fetches = Gate(FETCHES, queue, timeout, share=FETCHES_PER_HOST, shutdown=shutdown)
        self._look_ups = Gate(
            LOOK_UPS, queue, timeout, share=LOOK_UPS_PER_DOMAIN, shutdown=shutdown
        )
        self._intake = Gate(intake, queue, timeout, capacity=max_bytes, shutdown=shutdown)
        self._predictions = Gate(
            in_flight,
            queue,
            timeout,
            capacity=max_pixels,
            overtaking=min(timeout / 2, MAX_OVERTAKING_SECONDS),
            shutdown=shutdown,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )

    @classmethod
    def from_settings(
        cls,
        settings: LimiterSettings,
        *,
        intake: int,
        in_flight: int | None = None,
        queue: float | None = None,
        timeout: float | None = None,
        shutdown: Shutdown | None = None,
    ) -> Self:
        """Build the limiter that the settings, the CPUs and the memory call for.

        Args:
            settings: the service's or job's.
            intake: see `__init__`.
            in_flight: see `__init__`; ``MAX_IN_FLIGHT`` by default.
            queue: see `__init__`; ``MAX_QUEUE`` by default.
            timeout: see `__init__`; ``QUEUE_TIMEOUT`` by default.
            shutdown: see `__init__`.
        """
        memory = memory_limit()
        held = holdable_bytes(settings.max_held_bytes, settings.max_body_bytes, memory)
        return cls(
            in_flight=in_flight or settings.max_in_flight or usable_cpus() + settings.batch_in_use,
            intake=intake,
            queue=settings.max_queue if queue is None else queue,
            timeout=settings.queue_timeout if timeout is None else timeout,
            max_pixels=pixel_capacity(settings.max_pixels, memory),
            max_bytes=held,
            # Half, but at least one picture: a larger share than that could never be had.
            max_fetched_bytes=min(held, max(held // 2, settings.max_picture_bytes)),
            shutdown=shutdown,
        )

    @property
    def is_stopping(self) -> bool:
        """Whether the process is to stop so soon that nothing should be begun."""
        return self._shutdown.seconds >= SHUTDOWN_SECONDS

    def reserve(self) -> AbstractContextManager[Reservation]:
        """Open a reservation for bytes whose number only shows while they arrive."""
        return self._bytes.reserve()

    def reserve_fetched(self) -> AbstractContextManager[Reservation]:
        """Open a reservation for the bytes of a picture that another server sends."""
        return self._fetched_bytes.reserve()

    def look_up(
        self, domain: str, wanted: Callable[[], bool] = lambda: True
    ) -> AbstractContextManager[None]:
        """Wait for a place to look up the name of a picture server.

        Apart from fetches, so that a slow name server holds up none of these.

        Args:
            domain: which it is in; each has a bounded share of the places.
            wanted: whether the result is still wanted.

        Raises:
            Busy: see `Gate.enter`.
            ClientGone: the result is not wanted any more.
        """
        return self._look_ups.enter(wanted=wanted, share=domain)

    def fetch(
        self, host: str, wanted: Callable[[], bool] = lambda: True
    ) -> AbstractContextManager[None]:
        """Wait for a place to fetch a picture.

        Args:
            host: address that it comes from; each has a bounded share of the places.
            wanted: whether the result is still wanted.

        Raises:
            Busy: see `Gate.enter`.
            ClientGone: the result is not wanted any more.
        """
        return self._fetches.enter(wanted=wanted, share=host)

    def intake(
        self, size: int = 0, wanted: Callable[[], bool] = lambda: True
    ) -> AbstractContextManager[None]:
        """Wait for a place to unpack a picture, or in a trigger to handle it.

        Args:
            size: the picture's bytes, if they are known and not reserved.
            wanted: whether the result is still wanted.

        Raises:
            Busy: see `Gate.enter`.
            ClientGone: the result is not wanted any more.
        """
        return self._intake.enter(size, wanted)

    def predict(
        self, pixels: int, wanted: Callable[[], bool] = lambda: True
    ) -> AbstractContextManager[None]:
        """Wait for a place to run the pipeline.

        Args:
            pixels: what the prediction takes; see `capacity.prediction_pixels`.
            wanted: whether the result is still wanted.

        Raises:
            Busy: see `Gate.enter`.
            ClientGone: the result is not wanted any more.
        """
        return self._predictions.enter(pixels, wanted)
