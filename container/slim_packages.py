"""Makes the image small and quick to start; used by the Dockerfile only.

    slim_packages.py trim SITE_PACKAGES    delete what the service never loads, symbols included
    slim_packages.py compile FOLDER        write bytecode for what it does load from a folder

A read-only file system cannot keep bytecode made at run time, so each cold start would compile
some 900 modules anew. Bytecode of everything installed would be 35 MB more, though, most of it
never read.
"""

import importlib
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = (
    # LiteRT: developers' tools, accelerators that a plain CPU does not have, and the library of
    # a second interface (CompiledModel) beside the one that we use (Interpreter).
    "ai_edge_litert/aot",
    "ai_edge_litert/libLiteRt.so",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
    # NumPy: wrappers for Fortran and C sources, and modules for its own tests.
    "numpy/distutils",
    "numpy/f2py",
    "numpy/_core/_*_tests.*.so",
    "numpy/_core/_simd.*.so",
    # Pydantic: the interface of its version 1.
    "pydantic/v1",
)
UNUSED_ANYWHERE = ("*.a", "*.h", "*.pxd", "*.pyi", "*.pyx", "*.proto", "tests", "__pycache__")

SYMBOLS = (
    "ai_edge_litert/libpywrap_litert_common.so",
    "cryptography/hazmat/bindings/_rust.abi3.so",
)
"""Libraries with megabytes of symbols that nothing looks up. Those in folders ``*.libs`` are not
for ``strip``: wheels' repair tools have moved their parts, and it would make them unreadable."""

LOADED = (
    "ai_edge_litert.interpreter",
    "cloudevents.http",
    "concurrent.futures.thread",
    "cv2",
    "dlib",
    "email.mime.multipart",
    "encodings.idna",
    "encodings.latin_1",
    "flask",
    "functions_framework._cli",
    "functions_framework._http.gunicorn",
    "google.cloud.storage",
    "gunicorn.workers.gthread",
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
"""What the service imports; these import the rest."""


def trim(site_packages: Path) -> None:
    """Delete what is listed above.

    Raises:
        SystemExit: nothing is found for one of the names: a new version has moved it.
    """
    found = {name: list(site_packages.glob(name)) for name in (*UNUSED, *SYMBOLS)}
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        sys.exit(f"not there any more; see where it went: {', '.join(missing)}")
    libraries = [path for name in SYMBOLS for path in found.pop(name)]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)  # noqa: S603, S607
    paths = [path for named in found.values() for path in named]
    for pattern in UNUSED_ANYWHERE:
        paths += site_packages.rglob(pattern)
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compile_loaded(folder: Path) -> int:
    """Import everything and write bytecode for the modules that came from ``folder``.

    The bytecode does not refer to its source's time, which image layers do not always keep.
    """
    for name in LOADED:
        importlib.import_module(name)
    sources = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    wanted = sorted(s for s in sources if s and s.endswith(".py") and folder in Path(s).parents)
    for source in wanted:
        py_compile.compile(
            source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    return len(wanted)


def main(step: str, folder: Path) -> None:
    """Do one step."""
    sys.dont_write_bytecode = True
    if step == "trim":
        trim(folder)
    else:
        print(f"{compile_loaded(folder)} modules of {folder} compiled")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
