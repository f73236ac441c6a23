"""The networks that the build step makes, for tests that need real ones."""

from pathlib import Path

import pytest

from age_gender.settings import Settings

MODELS = Settings().models_dir


def model(name: str) -> Path:
    """The path of a model's file or folder; without it the test is skipped, and says why."""
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: {path.name} is missing, run `make models`")
    return path
