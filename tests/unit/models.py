"""The built networks, for tests that need real ones."""

from pathlib import Path

import pytest

from age_gender.settings import Settings
from age_gender.vision.detectors.registry import required_networks

MODELS = Settings().models_dir


def model(name: str) -> Path:
    """Return the path of a model's file or folder, or skip the test if it is missing."""
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: {path.name} is missing, run `make models`")
    return path


def all_models() -> list[str]:
    """Names of all networks that predictions need, which have to be built."""
    names = required_networks(Settings().attribute_model)
    for name in names:
        model(f"{name}.tflite")
    return names
