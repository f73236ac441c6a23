"""Set-up of the unit tests."""

import logging
from collections.abc import Iterator

import pytest

from tests.unit import profile  # noqa: F401 - loads it


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Undo what a test does to the log: it may write to a stream that ends with the test."""
    logger = logging.getLogger("age_gender")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, level, logger.propagate = before
    logger.setLevel(level)
