"""The checks of ``doctor``: what is installed, whether it works, how fast, and what to fix.

Each check imports what it examines itself, so that one broken part does not hide the others.
"""

import importlib
import platform
import re
import socket
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from age_gender.cli import machine
from age_gender.cli.console import REBUILD_MODELS, REINSTALL
from age_gender.errors import AgeGenderError, ModelUnavailable
from age_gender.networks.model_files import verified
from age_gender.settings import FUNCTION_DIR, Settings
from age_gender.vision.detectors.registry import DETECTORS, DetectorName, required_networks

if TYPE_CHECKING:
    from age_gender.runtime import Runtime

SAMPLE = FUNCTION_DIR / "age_gender" / "edge" / "web" / "sample.jpg"
"""A portrait; one face."""
SAMPLE_SIZE = (640, 480)
ROUNDS = 5
EXPECTED_MS = {"accurate": 9.95, "fast": 35.0}
"""Milliseconds for the sample in docs/benchmarks.md: two idle cores with VNNI and AMX."""
NEEDED_MEMORY = 512 * 1024 * 1024

NATIVE = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "dlib-bin": "dlib",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
"""Packages with native code, and the module whose import shows that it loads."""


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: `Status.FAILED` where something cannot work.
        found: what was found.
        fix: what to do about it; empty if all is well.
    """

    name: str
    status: Status
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


def run_checks(
    settings: Settings, locks: Sequence[Path], model_problems: Callable[[Path], list[str]]
) -> Iterator[Check]:
    """Run every check, the slow ones last.

    Args:
        settings: as the service would use them.
        locks: requirements files whose pinned packages have to be installed.
        model_problems: compares a folder's models with their checksums; one line per problem.
    """
    yield _python()
    yield from _packages(locks)
    yield from _native_code()
    yield _engine(settings)
    yield from _models(settings, model_problems)
    yield from _processor()
    yield _memory()
    yield _video()
    yield _port(settings)
    yield from _speeds(settings)


def installed_model_problems(models_dir: Path, names: Sequence[str]) -> list[str]:
    """Compare an installed package's models with the manifest that came along; see `run_checks`."""
    problems = []
    for name in names:
        try:
            if verified(models_dir, f"{name}.tflite") is None:
                problems.append(f"{name}: {name}.tflite is missing")
        except ModelUnavailable as error:
            problems.append(f"{name}: {error}")
    return problems


def wrong_settings(error: AgeGenderError) -> Check:
    """Report settings that cannot be used; no other check can run then."""
    return Check("settings", Status.FAILED, str(error), "change that setting")


def _python() -> Check:
    return Check("Python", Status.OK, f"{platform.python_version()} ({sys.executable})")


def _packages(locks: Sequence[Path]) -> Iterator[Check]:
    pinned: dict[str, str] = {}
    for path in locks:
        lines = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        pinned |= dict(lines)
    unpinned = []
    for name, expected in pinned.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield Check(name, Status.FAILED, f"missing ({expected} is pinned)", REINSTALL)
            continue
        if installed != expected:
            unpinned.append(f"{name} {installed} (not {expected})")
    if unpinned:
        yield Check("other versions", Status.WARNING, ", ".join(unpinned), REINSTALL)
    elif pinned:
        yield Check("packages", Status.OK, f"{len(pinned)} as pinned")


def _native_code() -> Iterator[Check]:
    for package, module in NATIVE.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken build may raise anything
            found = f"does not load: {type(error).__name__}: {error}"
            yield Check(package, Status.FAILED, found, REINSTALL)
            continue
        try:
            yield Check(package, Status.OK, version(package))
        except PackageNotFoundError:  # reported by `_packages`
            continue


def _engine(settings: Settings) -> Check:
    from age_gender.limits.cpus import usable_cpus

    threads = settings.inference_threads or usable_cpus()
    name = settings.engine_in_use
    found = f"{name}, {threads} threads" + (", GPU" if settings.gpu else "")
    if name == "litert":
        return Check("engine", Status.OK, found)
    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError as error:
        fix = "pip install -r function/requirements-tensorflow.txt, or ENGINE=litert"
        return Check("engine", Status.FAILED, f"{found}: {error}", fix)
    found += f", TensorFlow {tensorflow.__version__}"
    if settings.gpu and not tensorflow.config.list_physical_devices("GPU"):
        fix = "install the GPU's driver and function/requirements-gpu.txt, or unset GPU"
        return Check("engine", Status.WARNING, f"{found}, which finds no GPU", fix)
    return Check("engine", Status.OK, found)


def _models(settings: Settings, model_problems: Callable[[Path], list[str]]) -> Iterator[Check]:
    try:
        problems = model_problems(settings.models_dir)
    except Exception as error:  # a damaged catalogue
        yield Check("models", Status.FAILED, str(error), REBUILD_MODELS)
        return
    needed = required_networks(settings.attribute_model)
    for problem in problems:
        status = Status.FAILED if problem.split(":")[0] in needed else Status.WARNING
        yield Check("models", status, problem, REBUILD_MODELS)
    if not problems:
        size = sum(p.stat().st_size for p in settings.models_dir.glob("*.tflite")) / 1e6
        yield Check("models", Status.OK, f"complete, checksums match ({size:.0f} MB)")
    yield _attribute_model(settings)


def _attribute_model(settings: Settings) -> Check:
    from age_gender.vision.model_spec import load_spec

    try:
        spec = load_spec(settings.models_dir, settings.attribute_model)
    except ModelUnavailable as error:
        return Check("age and gender", Status.FAILED, str(error), "change ATTRIBUTE_MODEL")
    return Check("age and gender", Status.OK, f"{spec.label}; licence: {spec.licence}")


def _processor() -> Iterator[Check]:
    from age_gender.limits.cpus import usable_cpus

    cpus, load = usable_cpus(), machine.load()
    flags, architecture = machine.cpu_flags(), platform.machine()
    required = machine.FAST.get(architecture, ())
    name = f"{machine.cpu_model()}, {cpus} usable CPUs"
    if flags is None:
        yield Check("processor", Status.OK, name)
    elif missing := [flag for flag in required if flag not in flags]:
        fix = "use another machine: the networks are several times slower on this one"
        yield Check("processor", Status.WARNING, f"{name}, without {', '.join(missing)}", fix)
    else:
        has = [*required, *(flag for flag in machine.FASTER if flag in flags)]
        yield Check("processor", Status.OK, f"{name}; {', '.join(has)}")
        yield _expected_speed(flags, architecture)
    if load > 0.7 * cpus:
        fix = "stop other work: it makes the times below too long"
        yield Check("load", Status.WARNING, f"{load:.1f} processes on {cpus} CPUs", fix)


def _expected_speed(flags: frozenset[str], architecture: str) -> Check:
    """Say what to expect of this processor; the networks' weights have 8 bits."""
    times = ", ".join(f"`{name}` {ms:.0f} ms" for name, ms in EXPECTED_MS.items())
    measured = f"{times} for 640x480 and one face, on two idle cores with VNNI and AMX"
    has = machine.speed_ups(flags)
    if has:
        return Check("expected speed", Status.OK, f"has {', '.join(has)}: about {measured}")
    names = "VNNI and AMX" if architecture in ("x86_64", "AMD64") else "dot product and I8MM"
    found = f"without {names}: slower, perhaps twice, than {measured}"
    return Check("expected speed", Status.OK, found)


def _memory() -> Check:
    sizes = machine.memory()
    if sizes is None:
        return Check("memory", Status.OK, "unknown")
    total, free = sizes
    found = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if free < NEEDED_MEMORY:
        return Check("memory", Status.WARNING, found, "free 512 MiB, or large pictures may fail")
    return Check("memory", Status.OK, found)


def _video() -> Check:
    try:
        registry = importlib.import_module("cv2").videoio_registry
        names = {registry.getBackendName(backend) for backend in registry.getStreamBackends()}
    except Exception as error:  # reported by `_native_code`; must not hide the rest
        return Check("video", Status.FAILED, f"OpenCV does not load: {error}", REINSTALL)
    cameras = len(list(Path("/dev").glob("video[0-9]*")))
    if "FFMPEG" not in names:
        fix = "use the pinned opencv-python-headless to read videos"
        return Check("video", Status.WARNING, "OpenCV has no FFmpeg", fix)
    return Check("video", Status.OK, f"OpenCV with FFmpeg; cameras: {cameras or 'none'}")


def _port(settings: Settings) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            fix = "use another port (PORT=8081), or stop the program that uses this one"
            return Check("port", Status.WARNING, f"{settings.port}: {error.strerror}", fix)
    return Check("port", Status.OK, f"{settings.port} is free")


def _speeds(settings: Settings) -> Iterator[Check]:
    """Time each detector on the sample, which shows one face."""
    try:
        from age_gender.cli.warm_up import start_engine
        from age_gender.runtime import Runtime

        runtime = Runtime(settings)
        start_engine(runtime)
        for detector in DETECTORS:
            yield _speed(runtime, detector)
    except Exception as error:  # must not hide the other checks
        reason = str(error) or type(error).__name__
        yield Check("prediction", Status.FAILED, reason, "fix the problems above first")


def _speed(runtime: "Runtime", detector: DetectorName) -> Check:
    from age_gender.vision.decode import DecodedImage, decode
    from age_gender.vision.geometry import resize
    from age_gender.vision.pipeline import Options

    data = SAMPLE.read_bytes()
    settings = runtime.settings
    image = decode(data, max_bytes=settings.max_picture_bytes, max_pixels=settings.max_pixels)
    image = resize(image, *SAMPLE_SIZE)
    options = Options(face_detector=detector, return_image=False)
    results = [runtime.pipeline.run(DecodedImage(image), options) for _ in range(ROUNDS + 2)][2:]
    name, size = f"speed, {detector}", "x".join(map(str, SAMPLE_SIZE))
    faces = len(results[0].faces)
    if faces != 1:
        found = f"{faces} faces in a portrait of one person"
        return Check(name, Status.FAILED, found, REBUILD_MODELS)
    detect, attributes = (
        statistics.median(result.stages[stage] for result in results)
        for stage in ("detect", "attributes")
    )
    total = statistics.median(result.inference_ms for result in results)
    return Check(
        name,
        Status.OK,
        f"{size}: detector {detect:.1f} ms, attributes {attributes:.1f} ms per face; "
        f"{total:.0f} ms in all, {total / EXPECTED_MS[detector]:.1f} times the expected",
    )
