"""The one exception of the build step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ModelBuildError(RuntimeError):
    """A model cannot be built; the message says what is wrong and what to do about it."""


@contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turn the operating system's errors (disk full, not writable) into `ModelBuildError`.

    Args:
        what: begins the message.
    """
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise ModelBuildError(f"{what}: {error.strerror or error}{place}") from error
