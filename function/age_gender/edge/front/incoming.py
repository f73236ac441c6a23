"""A body that is arriving, and the bytes it holds."""

import io
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from age_gender.edge.problems import Problem
from age_gender.errors import Busy
from age_gender.limits.admission import Reservation

TINY_PIECES = 10_000
"""Pieces that may be of any size; each costs the server some microseconds."""
MEAN_PIECE_BYTES = 256
"""Size that further ones must have on average."""
SAMPLE_SECONDS = 1.0
"""Over which the pace is measured."""


class IncomingBody:
    """Collects a body; every byte is reserved before it is received, except the first few.

    Attributes:
        reservation: what it holds.
        received: bytes so far.
        pace: bytes a second, lately; infinity at first.
    """

    def __init__(
        self,
        max_bytes: int,
        announced: int | None,
        reserve: Callable[[], AbstractContextManager[Reservation]],
        now: float,
    ):
        """Reserve nothing yet.

        Args:
            max_bytes: largest body accepted.
            announced: the length that the client gave; None for a chunked body.
            reserve: opens a reservation.
            now: the clock's.
        """
        self._max_bytes = max_bytes
        self._announced = announced
        self._stack = ExitStack()
        self.reservation = self._stack.enter_context(reserve())
        self._reserved = 0
        self._data = io.BytesIO()
        self._pieces = 0
        self.received = 0
        self.restart_sample(now)

    def reserve_next(self, size: int) -> bool:
        """Reserve what the next ``size`` bytes need, or return False: there is too little left."""
        if self._announced is not None:
            size = min(size, self._announced - self.received)
        missing = self.received + size - self._reserved
        if missing > 0:
            try:
                self.reservation.grow(missing)
            except Busy:
                return False
            self._reserved += missing
        return True

    def add(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            Problem: 400 or 413.
        """
        self._pieces += 1
        self.received += len(piece)
        if self.received > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._pieces > TINY_PIECES + self.received / MEAN_PIECE_BYTES:
            raise Problem("incomplete-body", "the body comes in too many and too small chunks")
        self._data.write(piece)
        if self.received > self._reserved:  # came in one piece with the headers
            self._reserved = self.received
            self.reservation.resize(self.received)

    def check_room(self, announced: int) -> None:
        """Refuse a chunked body as soon as a chunk is announced that it has no room for.

        Raises:
            Problem: 413.
        """
        if self.received + announced > self._max_bytes:
            raise too_large(self._max_bytes)

    def finish(self) -> io.BytesIO:
        """Return the whole body and forget it; its bytes stay reserved."""
        self.reservation.resize(self.received)
        data, self._data = self._data, io.BytesIO()
        data.seek(0)
        return data

    def release(self) -> None:
        """Give back what is reserved."""
        self._stack.close()

    def restart_sample(self, now: float) -> None:
        """Measure the pace anew from now on."""
        self.pace = math.inf
        self._sample = (now, self.received)

    def sample(self, now: float) -> None:
        """Measure the pace if it is time."""
        start, received = self._sample
        if now - start >= SAMPLE_SECONDS:
            self.pace = (self.received - received) / (now - start)
            self._sample = (now, self.received)


def too_large(max_bytes: int) -> Problem:
    """Build the problem of a body that is too large."""
    return Problem(
        "body-too-large", f"the body is too large: at most {max_bytes:,} bytes are accepted"
    )
