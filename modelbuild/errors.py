"""The one exception of the build step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ModelBuildError(RuntimeError):
    """A model cannot be built; the message says why and what to do."""


@contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turn operating system errors (disk full, not writable) into `ModelBuildError`.

    Args:
        what: start of the message.
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ModelBuildError(f"{what}: {error.strerror or error}{where}") from error
