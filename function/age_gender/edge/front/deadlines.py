"""How long a client may take for what, and at which pace: the rules, without the connection."""

from dataclasses import dataclass

from age_gender.edge.problems import Problem

IDLE_SECONDS = 30.0
"""Between two requests."""
HEADER_SECONDS = 10.0
"""Time for a request's first line and headers."""
BODY_SECONDS = 30.0
"""Time for a body at any pace."""
GRACE_SECONDS = 5.0
"""Time before a client's pace counts."""
MIN_PACE = 16 * 1024
"""Bytes a second; slower than any connection worth sending a picture over."""
PRESSED_PACE = 64 * 1024
"""Bytes a second of a body that others do not have to wait for."""
STALL_SECONDS = 10.0
"""Time for a client that takes nothing of its answer, and before its pace counts."""
PRESSED_STALL_SECONDS = 2.0
"""Time without taking anything, after which others do not have to wait."""
SEND_SECONDS = 60.0
"""Time for taking an answer at any pace."""


@dataclass(frozen=True)
class Linger:
    """What a client may still send after a refusal, so that it reads the refusal first."""

    max_bytes: int
    seconds: float


BRIEF = Linger(256 * 1024, 0.5)
LONG = Linger(32 << 20, 3.0)
"""For clients with valid credentials."""
SENT_AFTER_AUTHENTICATION = frozenset({"body-too-large", "unsupported-media-type", "busy"})


def linger_after(problem: Problem) -> Linger:
    """Return what the client of a refused request may still send."""
    return LONG if problem.code in SENT_AFTER_AUTHENTICATION else BRIEF


def is_idle_too_long(age: float, *, served: bool) -> bool:
    """Whether a connection without a request is to be closed.

    Args:
        age: seconds since it began to wait.
        served: whether it had a request before.
    """
    return age > (IDLE_SECONDS if served else HEADER_SECONDS)


def head_problem(age: float) -> Problem | None:
    """Return what is wrong with a head that arrives for ``age`` seconds."""
    if age <= HEADER_SECONDS:
        return None
    return Problem(
        "headers-timeout",
        f"the headers arrived too slowly: send them within {HEADER_SECONDS:g} s",
    )


def body_problem(age: float, received: int) -> Problem | None:
    """Return what is wrong with a body of which so many bytes came in ``age`` seconds."""
    if age <= min(BODY_SECONDS, GRACE_SECONDS + received / MIN_PACE):
        return None
    return Problem(
        "body-timeout",
        f"the body arrived too slowly: send at least {MIN_PACE:,} bytes a second, "
        f"and all of it within {BODY_SECONDS:g} s",
    )


def is_taken_too_slowly(age: float, stalled: float, sent: int) -> bool:
    """Whether a client takes its answer too slowly.

    Args:
        age: seconds since it could begin.
        stalled: seconds since it took anything.
        sent: bytes that it took.
    """
    return stalled > STALL_SECONDS or age > min(SEND_SECONDS, STALL_SECONDS + sent / MIN_PACE)
