"""Fixtures that several test modules share."""

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
