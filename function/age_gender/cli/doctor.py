"""What is installed, whether it works, how fast this machine is, and what to fix.

Each check stands alone and imports what it is about itself, so that one broken part does not
hide the others.
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
from age_gender.errors import AgeGenderError
from age_gender.settings import FUNCTION_DIR, Settings
from age_gender.vision.detectors.registry import DETECTORS, DetectorName

if TYPE_CHECKING:
    from age_gender.runtime import Runtime

SAMPLE = FUNCTION_DIR / "age_gender" / "edge" / "web" / "sample.jpg"
"""A portrait; one face."""
SAMPLE_SIZE = (640, 480)
ROUNDS = 5
NEEDED_MEMORY = 512 * 1024 * 1024

REINSTALL = "run `make models`, which installs what is pinned"
REBUILD = "run `make models`"

NATIVE = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "dlib-bin": "dlib",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
"""Packages with native code, and the module of each whose import shows whether it works."""


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        status: `Status.FAILED` where something cannot work.
        found: what there is.
        fix: what to do about it, empty if all is well.
    """

    name: str
    status: Status
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


def examine(
    settings: Settings, requirements: Sequence[Path], model_problems: Callable[[Path], list[str]]
) -> Iterator[Check]:
    """Look at everything, one finding after the other.

    Args:
        settings: as the service would have them.
        requirements: files of pinned packages that have to be installed.
        model_problems: checks the models of a folder against their checksums, a line each.
    """
    yield _python()
    yield from _packages(requirements)
    yield from _native_code()
    yield _engine(settings)
    yield from _models(settings, model_problems)
    yield from _processor()
    yield _memory()
    yield _video()
    yield _port(settings)
    yield from _speeds(settings)


def wrong_settings(error: AgeGenderError) -> Check:
    """Give the finding for settings that cannot be used, which end the examination."""
    return Check("settings", Status.FAILED, str(error), "change that setting")


def _python() -> Check:
    return Check("Python", Status.OK, f"{platform.python_version()} ({sys.executable})")


def _packages(requirements: Sequence[Path]) -> Iterator[Check]:
    pinned: dict[str, str] = {}
    for path in requirements:
        lines = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        pinned |= dict(lines)
    others = []
    for name, wanted in pinned.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(name, Status.FAILED, f"missing ({wanted} is pinned)", REINSTALL)
            continue
        if found != wanted:
            others.append(f"{name} {found} (not {wanted})")
    if others:
        yield Check("other versions", Status.WARNING, ", ".join(others), REINSTALL)
    else:
        yield Check("packages", Status.OK, f"{len(pinned)} as pinned")


def _native_code() -> Iterator[Check]:
    for package, module in NATIVE.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a broken build raises is the finding
            found = f"does not load: {type(error).__name__}: {error}"
            yield Check(package, Status.FAILED, found, REINSTALL)
            continue
        try:
            yield Check(package, Status.OK, version(package))
        except PackageNotFoundError:  # told above
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
    except Exception as error:  # a damaged catalogue is a finding, too
        yield Check("models", Status.FAILED, str(error), "restore models.toml")
        return
    needed = {"retinaface", settings.attribute_model}
    for problem in problems:
        status = Status.FAILED if problem.split(":")[0] in needed else Status.WARNING
        yield Check("models", status, problem, REBUILD)
    if not problems:
        size = sum(p.stat().st_size for p in settings.models_dir.glob("*.tflite")) / 1e6
        found = f"all there, checksums match ({size:.0f} MB); ages by {settings.attribute_model}"
        yield Check("models", Status.OK, found)


def _processor() -> Iterator[Check]:
    from age_gender.limits.cpus import usable_cpus

    cpus, load = usable_cpus(), machine.load()
    flags, architecture = machine.cpu_flags(), platform.machine()
    wanted = machine.FAST.get(architecture, ())
    name = f"{machine.cpu_model()}, {cpus} to use"
    if flags is None:
        yield Check("processor", Status.OK, name)
    elif missing := [flag for flag in wanted if flag not in flags]:
        fix = "use another machine: the networks run several times slower on this one"
        yield Check("processor", Status.WARNING, f"{name}, without {', '.join(missing)}", fix)
    else:
        has = [*wanted, *(flag for flag in machine.FASTER if flag in flags)]
        yield Check("processor", Status.OK, f"{name}; {', '.join(has)}")
    if load > 0.7 * cpus:
        fix = "what else runs here makes the speeds below too low"
        yield Check("load", Status.WARNING, f"{load:.1f} processes on {cpus} CPUs", fix)


def _memory() -> Check:
    sizes = machine.memory()
    if sizes is None:
        return Check("memory", Status.OK, "unknown")
    total, free = sizes
    found = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if free < NEEDED_MEMORY:
        return Check("memory", Status.WARNING, found, "free 512 MiB: large pictures may fail")
    return Check("memory", Status.OK, found)


def _video() -> Check:
    try:
        registry = importlib.import_module("cv2").videoio_registry
        names = {registry.getBackendName(backend) for backend in registry.getStreamBackends()}
    except Exception as error:  # told above; it must not hide the rest
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
            fix = "serve on another one: PORT=8081, or end what uses it"
            return Check("port", Status.WARNING, f"{settings.port}: {error.strerror}", fix)
    return Check("port", Status.OK, f"{settings.port} is free")


def _speeds(settings: Settings) -> Iterator[Check]:
    """Find the one face of the sample, several times with each detector."""
    try:
        from age_gender.runtime import Runtime

        runtime = Runtime(settings)
        for detector in DETECTORS:
            yield _speed(runtime, detector)
    except Exception as error:  # whatever fails here, the others stay told
        reason = str(error) or type(error).__name__
        yield Check("prediction", Status.FAILED, reason, "mend what is told above")


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
        found = f"{faces} faces found in a portrait of one person"
        return Check(name, Status.FAILED, found, "build all anew: `make clean models`")
    detect, judge = (
        statistics.median(result.stages[stage] for result in results)
        for stage in ("detect", "attributes")
    )
    return Check(
        name, Status.OK, f"{size}: detector {detect:.1f} ms, attributes {judge:.1f} ms a face"
    )
