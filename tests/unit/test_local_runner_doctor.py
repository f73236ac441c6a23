"""`local_runner.py doctor`: what it finds, and that it goes on past what is broken."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from age_gender.cli import doctor, machine
from age_gender.cli.doctor import Status
from age_gender.settings import Settings
from tests.unit.models import model
from tests.unit.test_local_runner import run

ATTRIBUTES = Settings().attribute_model
MODELS = ("retinaface.tflite", f"{ATTRIBUTES}.tflite", "manifest.json")


def findings(result: Result) -> dict[str, dict[str, str]]:
    """By name; of several with one name, what was found by all."""
    found: dict[str, dict[str, str]] = {}
    for check in json.loads(result.stdout)["checks"]:
        before = found.get(check["name"], {"found": ""})
        found[check["name"]] = {**check, "found": before["found"] + check["found"]}
    return found


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the models that may be damaged."""
    folder = tmp_path / "models"
    (folder / "specs").mkdir(parents=True)
    for name in (*MODELS, f"specs/{ATTRIBUTES}.json"):
        shutil.copy(model(name), folder / name)
    monkeypatch.setenv("MODELS_DIR", str(folder))
    return folder


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODELS:
        model(name)
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"] is True
    found = findings(result)
    assert found["engine"]["found"].startswith("litert, ")
    assert found["video"]["found"].startswith("OpenCV with FFmpeg")
    for detector in ("accurate", "fast"):
        words = found[f"speed, {detector}"]["found"].split()
        assert float(words[words.index("detector") + 1]) > 0
        assert float(words[words.index("attributes") + 1]) > 0


def test_a_damaged_model_is_named_and_the_rest_is_examined(own_models: Path) -> None:
    (own_models / "retinaface.tflite").write_bytes(b"x" * 100)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    found = findings(result)
    assert "retinaface.tflite has changed since it was built" in found["models"]["found"]
    assert "make models" in found["models"]["fix"]
    assert found["prediction"]["status"] == "failed"
    assert found["processor"]["found"]


def test_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert "retinaface: not built" in findings(result)["models"]["found"]


def test_words_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    result = run("doctor")
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "failed models retinaface: not built → run `make models`" in said
    assert "ok Python 3." in said


def test_a_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_THREADS", "many")
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert "INFERENCE_THREADS" in findings(result)["settings"]["found"]


def test_a_port_in_use_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(host="127.0.0.1", port=taken.getsockname()[1])
        assert doctor._port(settings).status is Status.WARNING
        assert "PORT=" in doctor._port(settings).fix
    assert doctor._port(settings).status is Status.OK


def test_packages_against_the_pins(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("numpy==1.0.0 \\\n    --hash=sha256:00\nno-such-package==2.1\n")
    missing, others = doctor._packages([pins])
    assert (missing.name, missing.status) == ("no-such-package", Status.FAILED)
    assert "2.1" in missing.found
    assert others.status is Status.WARNING
    assert "(not 1.0.0)" in others.found


def test_native_code_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.NATIVE, "numpy", "age_gender.no_such_module")
    checks = {check.name: check for check in doctor._native_code()}
    assert checks["numpy"].status is Status.FAILED
    assert "no_such_module" in checks["numpy"].found
    assert checks["dlib-bin"].status is Status.OK


def test_tensorflow_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    check = doctor._engine(Settings(engine="tensorflow"))
    assert check.status is Status.FAILED
    assert "requirements-tensorflow.txt" in check.fix


CPUINFO = "processor : 0\nmodel name\t: Some Chip\nflags\t\t: fpu sse2 avx2 fma\n"


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [
        (CPUINFO, "Some Chip", {"fpu", "sse2", "avx2", "fma"}),
        ("Features : fp asimd\nmodel name : Arm\n", "Arm", {"fp", "asimd"}),
    ],
)
def test_processor(text: str, name: str, flags: set[str], tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert machine.cpu_model(cpuinfo) == name
    assert machine.cpu_flags(cpuinfo) == flags


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert machine.cpu_model(tmp_path / "none")
    assert machine.cpu_flags(tmp_path / "none") is None


def test_an_old_processor_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"sse2"}))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "load", lambda: 0.0)
    (check,) = doctor._processor()
    assert check.status is Status.WARNING
    assert "without avx2, fma" in check.found


def test_a_busy_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "load", lambda: 1000.0)
    checks: list[Any] = list(doctor._processor())
    assert (checks[-1].name, checks[-1].status) == ("load", Status.WARNING)


def test_too_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._memory().status is Status.OK
    monkeypatch.setattr(machine, "memory", lambda: (2**30, 2**28))
    assert doctor._memory().status is Status.WARNING
