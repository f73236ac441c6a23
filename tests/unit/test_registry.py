"""The registry of detectors, which settings, schema and command line read."""

import subprocess
import sys
from importlib import import_module
from typing import get_args

import pytest

from age_gender.errors import SettingsError
from age_gender.schema import PredictRequest
from age_gender.settings import FUNCTION_DIR, load_settings
from age_gender.vision.detectors import registry
from age_gender.vision.detectors.registry import DETECTORS, DetectorName, load_detector
from tests.unit.fakes import FakeEngine


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_are_loaded_by_name(name: str) -> None:
    networks: list[str] = []

    def load_engine(network: str) -> FakeEngine:
        networks.append(network)
        return FakeEngine(lambda _: {})

    assert load_detector(name, load_engine, threads=1).name == name
    assert tuple(networks) == DETECTORS[name].networks


@pytest.mark.parametrize("name", DETECTORS)
def test_the_default_min_face_is_the_detectors(name: str) -> None:
    scale = import_module(f"{registry.__package__}.{DETECTORS[name].module}").INPUT_SCALE
    side = DETECTORS[name].default_min_face
    assert scale.scale_for(100, 100, None) == pytest.approx(scale.min_detectable / side)


def test_requests_and_settings_accept_exactly_these() -> None:
    assert set(get_args(DetectorName)) == set(DETECTORS)
    for name in DETECTORS:
        assert PredictRequest.model_validate({"face_detector": name}).options.face_detector == name
        assert (
            load_settings(environ={"ANNOTATE_FACE_DETECTOR": name}).annotate_face_detector == name
        )
    with pytest.raises(ValueError, match="face_detector"):
        PredictRequest.model_validate({"face_detector": "slow"})
    with pytest.raises(SettingsError, match="ANNOTATE_FACE_DETECTOR"):
        load_settings(environ={"ANNOTATE_FACE_DETECTOR": "slow"})


@pytest.mark.parametrize("setting", DETECTORS)
def test_a_request_counts_more_than_the_setting_and_that_more_than_the_contract(
    setting: str,
) -> None:
    """`null` is no choice either."""
    default = load_settings(environ={"DEFAULT_FACE_DETECTOR": setting}).default_face_detector
    for body, expected in (
        ({}, setting),
        ({"face_detector": None, "nms": 0.3}, setting),
        ({"face_detector": "fast"}, "fast"),
        ({"face_detector": "accurate"}, "accurate"),
    ):
        request = PredictRequest.model_validate(body).with_default_detector(default)
        assert request.options.face_detector == expected
    assert load_settings(environ={}).default_face_detector == "fast"


def test_the_registry_loads_no_native_library() -> None:
    code = (
        "import sys, age_gender.settings;"
        "sys.exit(len({'cv2', 'dlib', 'numpy', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=FUNCTION_DIR, timeout=60)
    assert done.returncode == 0


def test_dlib_is_imported_by_its_detector_only() -> None:
    code = "import sys, age_gender.runtime; sys.exit('dlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=FUNCTION_DIR, timeout=60)
    assert done.returncode == 0
