"""The Dockerfile has no bad habits, and what the build gets is what it needs and no more."""

from pathlib import Path

import pytest

from container.slim_packages import trim
from tests.infra.tools import ROOT, program, run

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    status, output = run(program("hadolint"), DOCKERFILE)
    assert status == 0, output


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("USER 10001:10001\n", "USER root\n", "DL3002"),
        ("COPY function /app\n", "ADD function /app\n", "DL3020"),
        ('CMD ["functions-framework"]', "CMD functions-framework", "DL3025"),
        ("WORKDIR /app\n", "WORKDIR app\n", "DL3000"),
        ("RUN useradd", "RUN apt-get update && apt-get install curl && useradd", "DL3008"),
    ],
)
def test_a_mistake_is_caught(old: str, new: str, rule: str, tmp_path: Path) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert old in text
    bad = tmp_path / "Dockerfile"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    status, output = run(program("hadolint"), bad)
    assert status != 0
    assert rule in output


def test_the_default_target_is_the_small_one() -> None:
    stages = [
        line.split(" AS ")[1]
        for line in DOCKERFILE.read_text(encoding="utf-8").splitlines()
        if line.startswith("FROM ")
    ]
    assert stages[-1] == "cpu"
    assert {"tensorflow", "gpu"} <= set(stages)


def test_everything_that_is_installed_is_pinned_by_hash() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "pip" in line and " install " in line]
    assert len(installs) == 4
    assert all("--require-hashes" in install for install in installs)


def test_a_package_that_moved_its_files_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"libLiteRt\.so"):
        trim(tmp_path)


def test_trimming_deletes_what_is_listed_and_nothing_else(tmp_path: Path) -> None:
    litert = tmp_path / "ai_edge_litert"
    for folder in ("aot", "tools", "vendors"):
        (litert / folder).mkdir(parents=True)
    for file in ("libLiteRt.so", "libLiteRtWebGpuAccelerator.so", "interpreter.py"):
        (litert / file).touch()
    numpy = tmp_path / "numpy"
    for folder in ("distutils", "f2py", "_core/tests"):
        (numpy / folder).mkdir(parents=True)
    for file in ("_simd.cpython-311.so", "_umath_tests.cpython-311.so", "_multiarray_umath.so"):
        (numpy / "_core" / file).touch()

    trim(tmp_path)

    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["ai_edge_litert/interpreter.py", "numpy/_core/_multiarray_umath.so"]
