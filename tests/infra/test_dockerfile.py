"""The Dockerfile passes its linter, and the build gets exactly what it needs."""

import re
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from container.pin_images import IMAGES, read_images
from container.slim_packages import SYMBOLS, trim
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


def test_networks_are_built_on_the_builders_platform_and_packages_on_the_images() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    stages = dict(re.findall(r"^FROM (.*) AS ([\w-]+)$", text, re.MULTILINE))
    crossing = [name for base, name in stages.items() if "BUILDPLATFORM" in base]
    assert crossing == ["models"]


def test_the_base_image_is_the_one_that_is_pinned() -> None:
    images = read_images(IMAGES.read_text(encoding="utf-8"))
    repository, tag, _ = images["python"]
    default = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert default == [f"{repository.removeprefix('library/')}:{tag}"]
    unpinned = [name for name, (_, _, digest) in images.items() if digest is None]
    if unpinned:
        pytest.skip(
            f"NOT CHECKED: digests of {', '.join(unpinned)}: no registry was within reach of who "
            "wrote container/images.txt; run `python3 -m container.pin_images` where one is"
        )


def test_everything_that_is_installed_is_pinned_by_hash() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "pip" in line and " install " in line]
    assert len(installs) == 4
    assert all("--require-hashes" in install for install in installs)


def test_a_package_that_moved_its_files_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"libLiteRt\.so"):
        trim(tmp_path)


def test_trimming_deletes_what_is_listed_and_nothing_else(tmp_path: Path) -> None:
    program("strip")
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
    for folder in ("PIL", "pi_heif", "pillow.libs", "pydantic/v1"):
        (tmp_path / folder).mkdir(parents=True)
    heic = "_pi_heif.cpython-311.so"
    (tmp_path / heic).touch()
    installed = Path(sysconfig.get_path("purelib"))
    for name in SYMBOLS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(installed / name, tmp_path / name)

    trim(tmp_path)

    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    kept = {"ai_edge_litert/interpreter.py", "numpy/_core/_multiarray_umath.so", heic}
    assert left == kept | set(SYMBOLS)
    for name in SYMBOLS:
        assert (tmp_path / name).stat().st_size < 0.9 * (installed / name).stat().st_size
        load = f"import ctypes; ctypes.CDLL({str(tmp_path / name)!r})"
        status, output = run(sys.executable, "-c", load)
        assert status == 0, output


def copied_for_the_networks() -> list[str]:
    """Paths of the repository that the `models` stage copies."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    stage = text[text.index("AS models") : text.index("AS installer")]
    lines = [line.split()[1:-1] for line in stage.splitlines() if line.startswith("COPY ")]
    return [path for paths in lines for path in paths]


def import_converters(folder: Path) -> tuple[int, str]:
    """Import all converters from a copy of the repository."""
    converters = sorted(path.stem for path in (folder / "modelbuild").glob("*.py"))
    names = ", ".join(f"modelbuild.{name}" for name in converters if name != "__init__")
    return run(sys.executable, "-c", f"import {names}", cwd=folder)


def test_the_build_gets_all_that_the_networks_need(tmp_path: Path) -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for path in copied_for_the_networks():
        assert any(f"!{path}".startswith(line.rstrip("/")) for line in allowed if line[:1] == "!")
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("*.tflite"))
        else:
            shutil.copy(ROOT / path, target)
    status, output = import_converters(tmp_path)
    assert status == 0, output

    (tmp_path / "modelbuild" / "export.py").unlink()
    status, output = import_converters(tmp_path)
    assert status != 0
    assert "modelbuild.export" in output
