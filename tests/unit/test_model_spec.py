"""Specifications of age and gender models."""

import json
from pathlib import Path
from typing import Any

import pytest

from age_gender.errors import ModelUnavailable
from age_gender.settings import Settings
from age_gender.vision.model_spec import ModelSpec, Reliability, load_spec
from age_gender.vision.quality import Quality
from age_gender.vision.reliability import quality_reasons
from tests.unit.fakes import spec


def written(folder: Path, **changes: Any) -> Path:
    (folder / "specs").mkdir(exist_ok=True)
    content = spec().model_dump() | changes
    (folder / "specs" / "mine.json").write_text(json.dumps(content))
    return folder


def test_round_trip(tmp_path: Path) -> None:
    assert load_spec(written(tmp_path), "mine") == spec()


def test_missing_parts_have_defaults(tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = folder / "specs" / "mine.json"
    content = json.loads(file.read_text())
    del content["calibration"], content["reliability"]
    file.write_text(json.dumps(content))
    assert load_spec(folder, "mine") == spec()


def test_an_unknown_model_is_answered_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'other'; available: mine"):
        load_spec(written(tmp_path), "other")
    with pytest.raises(ModelUnavailable, match="available: none"):
        load_spec(tmp_path / "nowhere", "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"chip": {"size": 8, "scale": 1.0}},
        {"chip": {"size": 64, "scale": 0}},
        {"chip": {"size": 64, "scale": 1.0, "shape": "round"}},
        {"ages": {"first": 0, "step": 0}},
        {"calibration": {"age_temperature": 0}},
        {"calibration": {"gender_temperature": -1}},
        {"calibration": {"gender_ages": [1, 2], "gender_temperatures": [1]}},
        {"calibration": {"coverage": 1}},
        {"surprise": 1},
        {"name": None},
    ],
)
def test_wrong_values(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelUnavailable, match="specification of model mine is damaged"):
        load_spec(written(tmp_path, **changes), "mine")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    folder = written(tmp_path)
    (folder / "specs" / "mine.json").write_bytes(content)
    with pytest.raises(ModelUnavailable, match="damaged"):
        load_spec(folder, "mine")


def delivered() -> list[str]:
    return [path.stem for path in (Settings().models_dir / "specs").glob("*.json")]


@pytest.mark.parametrize("name", delivered())
def test_delivered_specs_are_valid(name: str) -> None:
    assert isinstance(load_spec(Settings().models_dir, name), ModelSpec)


def test_the_default_model_is_delivered() -> None:
    assert Settings().attribute_model in delivered()


@pytest.mark.parametrize(
    ("quality", "holds"),
    [
        (Quality(30, 0.2, 0.5, 0.0), True),
        (Quality(30, 0.2, -0.5, 90.0), True),
        (Quality(30, 0.2, None, None), True),
        (Quality(29.9, 0.2, 0.0, 0.0), False),
        (Quality(30, 0.19, 0.0, 0.0), False),
        (Quality(30, 0.2, 0.51, 0.0), False),
        (Quality(30, 0.2, -0.51, 0.0), False),
    ],
)
def test_reliability(quality: Quality, holds: bool) -> None:
    limits = Reliability(min_size=30, min_sharpness=0.2, max_yaw=0.5)
    assert (not list(quality_reasons(quality, limits))) is holds
