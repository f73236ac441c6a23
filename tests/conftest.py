"""Fixtures that several test modules share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The server with its default settings, once for all tests that do not change it."""
    log: Path = tmp_path_factory.mktemp("service") / "log.txt"
    with Service(log) as running:
        yield running


@pytest.fixture(autouse=True)
def _logger_as_before() -> Iterator[None]:
    """Undo `logs.set_up`, which starting a service in this process calls."""
    logger = logging.getLogger("age_gender")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, level, logger.propagate = before
    logger.setLevel(level)
