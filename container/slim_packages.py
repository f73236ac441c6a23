"""Makes the image small and quick to start; used by the Dockerfile.

    slim_packages.py trim SITE_PACKAGES    delete files and symbols that the service never loads
    slim_packages.py compile FOLDER        write bytecode for the modules it loads from a folder

On a read-only file system, each cold start would compile some 900 modules again. Bytecode of all
installed modules would add 35 MB, mostly unused.
"""

import importlib
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = (
    # LiteRT: developer tools, accelerators, and the library of the CompiledModel API (the service
    # uses Interpreter).
    "ai_edge_litert/aot",
    "ai_edge_litert/libLiteRt.so",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
    # NumPy: wrappers for Fortran and C sources, and test modules.
    "numpy/distutils",
    "numpy/f2py",
    "numpy/_core/_*_tests.*.so",
    "numpy/_core/_simd.*.so",
    # pi-heif: its interface for Pillow, and Pillow. The service uses the module of compiled code.
    "PIL",
    "pi_heif",
    "pillow.libs",
    # Pydantic: the API of version 1.
    "pydantic/v1",
)
UNUSED_ANYWHERE = ("*.a", "*.h", "*.pxd", "*.pyi", "*.pyx", "*.proto", "tests", "__pycache__")

SYMBOLS = (
    "ai_edge_litert/libpywrap_litert_common.so",
    "cryptography/hazmat/bindings/_rust.abi3.so",
)
"""Libraries with megabytes of unused symbols. Not those in ``*.libs``: wheel repair tools have
moved their sections, and ``strip`` would break them."""

LOADED = (
    "ai_edge_litert.interpreter",
    "cloudevents.http",
    "concurrent.futures.thread",
    "cv2",
    "difflib",
    "dlib",
    "email.mime.multipart",
    "encodings.idna",
    "encodings.latin_1",
    "flask",
    "functions_framework._cli",
    "functions_framework._http.gunicorn",
    "google.cloud.storage",
    "gunicorn.asgi.parser",
    "gunicorn.workers.base",
    "http.server",
    "numpy.typing",
    "pydantic._internal._generate_schema",
    "pydantic.fields",
    "pydantic.functional_validators",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.types",
    "requests",
    "statistics",
    "tomllib",
    "xml.etree.ElementTree",
)
"""Modules the service imports; they import the rest."""


def trim(site_packages: Path) -> None:
    """Delete what is listed above.

    Raises:
        SystemExit: a name matches nothing, since a new version has moved it.
    """
    matches = {name: list(site_packages.glob(name)) for name in (*UNUSED, *SYMBOLS)}
    missing = [name for name, paths in matches.items() if not paths]
    if missing:
        sys.exit(f"not in this version; check where it moved: {', '.join(missing)}")
    libraries = [path for name in SYMBOLS for path in matches.pop(name)]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)  # noqa: S603, S607
    paths = [path for named in matches.values() for path in named]
    for pattern in UNUSED_ANYWHERE:
        paths += site_packages.rglob(pattern)
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compile_loaded(folder: Path) -> int:
    """Import `LOADED` and write bytecode for the modules from ``folder``.

    The bytecode does not depend on the source's time stamp, which image layers may not keep.
    """
    for name in LOADED:
        importlib.import_module(name)
    sources = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    selected = sorted(s for s in sources if s and s.endswith(".py") and folder in Path(s).parents)
    for source in selected:
        py_compile.compile(
            source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    return len(selected)


def main(step: str, folder: Path) -> None:
    """Run one step."""
    sys.dont_write_bytecode = True
    if step == "trim":
        trim(folder)
    else:
        print(f"compiled {compile_loaded(folder)} modules of {folder}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
