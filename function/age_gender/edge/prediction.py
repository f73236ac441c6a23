"""One picture of a request: fetched if it is elsewhere, and predicted, within the limits."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from age_gender.errors import Busy
from age_gender.limits.admission import Reservation
from age_gender.limits.capacity import prediction_pixels
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.schema import PredictRequest
from age_gender.settings import Settings
from age_gender.vision.decode import EncodedImage
from age_gender.vision.pipeline import Options, Result


@dataclass(frozen=True)
class Call:
    """A request for predictions, as far as predicting needs to know it.

    Attributes:
        request_id: for errors and the log.
        reservation: bytes that it holds: of its body, then of its picture, then of its answer.
        wanted: whether the answer is still wanted.
    """

    request_id: str
    reservation: Reservation
    wanted: Callable[[], bool]


WAIT_SECONDS = 2.0
"""Time for which a fetch waits for bytes that others hold."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Places:
    """The limiter's places for one fetch; see `net_guard.Places`."""

    limiter: PredictionLimiter
    wanted: Callable[[], bool]

    def look_up(self, domain: str) -> AbstractContextManager[None]:
        return self.limiter.look_up(domain, self.wanted)

    def connect(self, network: str) -> AbstractContextManager[None]:
        return self.limiter.fetch(network, self.wanted)


def _grow(reservation: Reservation, size: int) -> None:
    """Reserve bytes, and wait for them if others hold too many; the sender waits meanwhile."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return reservation.grow(size)
        except Busy:
            if time.monotonic() >= end:
                raise
            time.sleep(POLL_SECONDS)


class Predictions:
    """Fetches and predicts images with one set of settings, limits and models."""

    def __init__(
        self, settings: Settings, limiter: PredictionLimiter, runtime: Callable[[], Runtime]
    ):
        """Load no model.

        Args:
            settings: the service's.
            limiter: of the process.
            runtime: returns the models of this process; called at the first prediction.
        """
        self._settings = settings
        self._limiter = limiter
        self._runtime = runtime

    def fetch(
        self,
        url: str,
        reservation: Reservation,
        wanted: Callable[[], bool],
        reserve: Callable[[int], None] = lambda _: None,
    ) -> bytes:
        """Fetch an encoded image; its bytes are reserved before they are kept.

        Args:
            url: its address.
            reservation: for its bytes.
            wanted: whether it is still wanted.
            reserve: called with each number of bytes first; may raise to stop.

        Raises:
            AgeGenderError: see `urls.from_url` and `PredictionLimiter.fetch`.
        """
        # Imports an HTTP client, which most requests do not need.
        from age_gender.fetch import urls

        def grow(size: int) -> None:
            reserve(size)
            _grow(reservation, size)

        data = urls.from_url(url, self._settings, grow, _Places(self._limiter, wanted))
        reservation.resize(len(data))
        return data

    def open(self, encoded: bytes) -> EncodedImage:
        """Read the header of an encoded image.

        Raises:
            AgeGenderError: see `EncodedImage`.
        """
        return EncodedImage(
            encoded,
            max_bytes=self._settings.max_picture_bytes,
            max_pixels=self._limiter.max_pixels,
        )

    def options(
        self, fields: PredictRequest, max_image_bytes: int, *, return_image: bool = False
    ) -> Options:
        """Return the options for the pipeline.

        Args:
            fields: of the request.
            max_image_bytes: of the returned image.
            return_image: return it even if the fields do not ask for it.
        """
        return replace(
            fields.with_default_detector(self._settings.default_face_detector).options,
            return_image=fields.return_image or return_image,
            image_max_bytes=max_image_bytes,
        )

    def run(self, image: EncodedImage, options: Options, wanted: Callable[[], bool]) -> Result:
        """Predict when it is the image's turn.

        Raises:
            AgeGenderError: see `Pipeline.run` and `PredictionLimiter.predict`.
        """
        runtime = self._runtime()
        pixels = prediction_pixels(image.header.memory_pixels, options.min_face)
        with self._limiter.predict(pixels, wanted):
            return runtime.pipeline.run(image, options)
