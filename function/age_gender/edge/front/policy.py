"""What the server asks the application before it reads a body."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from flask import Response

from age_gender.edge.completion import Completion, Environ
from age_gender.edge.problems import Problem
from age_gender.limits.admission import Budget, Reservation

RESERVATION = "age_gender.reservation"
"""Key of the environment: the bytes that the request's body holds; released by the server."""
RECEIVE_SECONDS = "age_gender.receive_seconds"
"""Key of the environment: how long the body took to arrive."""
CONNECTED = "age_gender.connected"
"""Key of the environment: a function that says whether the client is still there."""


@dataclass(frozen=True)
class Admission:
    """What a request may do once its headers are accepted.

    Attributes:
        max_bytes: largest body.
        heavy: whether it may wait; such requests share threads, and the others have their own.
    """

    max_bytes: int
    heavy: bool


@dataclass(frozen=True)
class Policy:
    """How the server treats requests.

    Attributes:
        admit: called in the server's thread with the environment of a request whose headers are
            complete and whose body is not; returns at once, or raises `Problem` to refuse it.
        reserve: opens a reservation in the budget that all bodies share.
        refuse: builds and logs the answer to a request that does not reach the application.
        fail: likewise, to one at which the application failed.
        tick: called several times a second in the server's thread; returns at once.
    """

    admit: Callable[[Environ], Admission]
    reserve: Callable[[], AbstractContextManager[Reservation]]
    refuse: Callable[[Environ, Problem], Response] = Completion().refuse
    fail: Callable[[Environ, Exception], Response] = Completion().fail
    tick: Callable[[], None] = lambda: None


def policy_of_events(max_body_bytes: int, max_held_bytes: int) -> Policy:
    """Build the policy for the bucket trigger, whose callers Google authenticates.

    Args:
        max_body_bytes: largest event.
        max_held_bytes: of all events together.
    """

    def admit(environ: Environ) -> Admission:
        return Admission(max_body_bytes, heavy=environ["REQUEST_METHOD"] == "POST")

    return Policy(admit, Budget(max_held_bytes).reserve)
