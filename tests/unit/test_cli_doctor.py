"""`age-gender doctor`: what it reports, and that it continues past what is broken."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from typer.testing import Result

from age_gender.cli import checks, machine
from age_gender.cli.checks import Status
from age_gender.settings import Settings
from age_gender.vision.detectors.registry import required_networks
from testing.service import ROOT
from tests.unit.models import model
from tests.unit.test_cli import run

ATTRIBUTES = Settings().attribute_model
MODELS = (
    *(f"{name}.tflite" for name in required_networks(ATTRIBUTES)),
    "manifest.json",
)


def findings(result: Result) -> dict[str, dict[str, str]]:
    """Checks by name; those of one name are joined."""
    results: dict[str, dict[str, str]] = {}
    for check in json.loads(result.stdout)["checks"]:
        before = results.get(check["name"], {"found": ""})
        results[check["name"]] = {**check, "found": before["found"] + check["found"]}
    return results


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the models, to damage."""
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
    report = findings(result)
    assert report["engine"]["found"].startswith("litert, ")
    assert report["video"]["found"].startswith("OpenCV with FFmpeg")
    for detector in ("accurate", "fast"):
        words = report[f"speed, {detector}"]["found"].split()
        assert float(words[words.index("detector") + 1]) > 0
        assert float(words[words.index("attributes") + 1]) > 0


def test_a_damaged_model_is_named_and_the_rest_is_checked(own_models: Path) -> None:
    (own_models / "retinaface.tflite").write_bytes(b"x" * 100)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    report = findings(result)
    assert "retinaface.tflite has changed since it was built" in report["models"]["found"]
    assert "make models" in report["models"]["fix"]
    assert report["prediction"]["status"] == "failed"
    assert report["processor"]["found"]


def test_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert "retinaface: not built" in findings(result)["models"]["found"]


def test_the_report_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    result = run("doctor")
    assert result.exit_code == 1
    stdout = " ".join(result.stdout.split())
    assert "failed models retinaface: not built → run `make models`" in stdout
    assert "ok Python 3." in stdout


def test_a_wrong_setting_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_THREADS", "many")
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert "INFERENCE_THREADS" in findings(result)["settings"]["found"]


def test_a_port_in_use_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(host="127.0.0.1", port=taken.getsockname()[1])
        assert checks._port(settings).status is Status.WARNING
        assert "PORT=" in checks._port(settings).fix
    assert checks._port(settings).status is Status.OK


def test_packages_against_the_pins(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("numpy==1.0.0 \\\n    --hash=sha256:00\nno-such-package==2.1\n")
    missing, others = checks._packages([pins])
    assert (missing.name, missing.status) == ("no-such-package", Status.FAILED)
    assert "2.1" in missing.found
    assert others.status is Status.WARNING
    assert "(not 1.0.0)" in others.found


def test_native_code_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.NATIVE, "numpy", "age_gender.no_such_module")
    results = {check.name: check for check in checks._native_code()}
    assert results["numpy"].status is Status.FAILED
    assert "no_such_module" in results["numpy"].found
    assert results["dlib-bin"].status is Status.OK


def test_tensorflow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    check = checks._engine(Settings(engine="tensorflow"))
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
    assert set(machine.cpu_flags(cpuinfo) or ()) == flags


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert machine.cpu_model(tmp_path / "none")
    assert machine.cpu_flags(tmp_path / "none") is None


def test_an_old_processor_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"sse2"}))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "load", lambda: 0.0)
    (check,) = checks._processor()
    assert check.status is Status.WARNING
    assert "without avx2, fma" in check.found


def test_a_busy_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "load", lambda: 1000.0)
    *_, last = checks._processor()
    assert (last.name, last.status) == ("load", Status.WARNING)


def test_too_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks._memory().status is Status.OK
    monkeypatch.setattr(machine, "memory", lambda: (2**30, 2**28))
    assert checks._memory().status is Status.WARNING


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "fma", "avx_vnni", "amx_int8"}, "has VNNI, AMX: about"),
        ({"avx2", "fma", "avx512_vnni"}, "has VNNI: about"),
        ({"avx2", "fma"}, "without VNNI and AMX: slower"),
    ],
)
def test_the_expected_speed_follows_from_the_processor(flags: set[str], expected: str) -> None:
    check = checks._expected_speed(frozenset(flags), "x86_64")
    assert check.found.startswith(expected)
    assert f"`accurate` {checks.EXPECTED_MS['accurate']:.0f} ms" in check.found


def test_the_expected_speed_is_the_measured_one() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    for detector, ms in checks.EXPECTED_MS.items():
        case = next(
            case for case in measured["latency"]["cases"] if case["case"] == f"{detector}, 640x480"
        )
        assert case["inference_ms"]["median"] == pytest.approx(ms, abs=0.05)


def test_the_model_is_named_with_its_licence() -> None:
    model(f"specs/{ATTRIBUTES}.json")
    found = checks._attribute_model(Settings()).found
    assert found == "agn-v2 2.1.0; licence: Apache-2.0"
