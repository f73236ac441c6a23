"""Which component may import which, over the syntax trees of all modules.

A room is a module or package directly in ``function/age_gender``, ``function/main.py``, or a folder
or module of the repository. Imports inside functions and for type checking count, too.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = ROOT / "function"
PACKAGE = "age_gender"

ALLOWED: dict[str, set[str]] = {
    # What is deployed. `room.module` allows that module only.
    "main": {"edge", "batch", "runtime", "limits", "logs", "settings", "errors"},
    "edge": {"fetch", "runtime", "schema", "vision", "limits", "settings", "logs", "errors"},
    "batch": {
        "numbers",
        "object_names",
        "runtime",
        "schema",
        "vision",
        "limits",
        "settings",
        "logs",
        "errors",
    },
    "cli": {
        *("runtime", "batch", "fetch", "schema", "tables", "vision", "limits", "settings"),
        *("logs", "errors"),
        "networks.model_files",  # `doctor` verifies them
    },
    "analyzer": {"runtime", "schema", "tables", "vision", "limits", "settings", "errors"},
    "client": {"tables"},
    "runtime": {"vision", "networks", "limits", "settings", "errors"},
    "schema": {"numbers", "vision"},
    "fetch": {"object_names", "settings", "errors"},
    "settings": {"auth_keys", "numbers", "vision.detectors.registry", "errors"},
    "vision": {"networks", "limits", "errors"},
    "networks": {"limits", "errors"},
    "limits": {"errors"},
    "auth_keys": set(),
    "logs": set(),
    "numbers": set(),
    "object_names": set(),
    "tables": set(),
    "errors": set(),
    # What is not.
    "local_runner": {"cli"},
    "modelbuild": set(),
    "container": set(),
    "docsite": set(),
}
EXCEPTIONS = {
    ("age_gender.cli.commands.models", "modelbuild"),
    ("age_gender.cli.commands.doctor", "modelbuild"),
}
"""Modules that may import one room more than theirs; these do without it where it is absent."""

BELOW_EDGE_AND_CLI = {"batch", "runtime", "schema", "fetch", "settings", "vision", "networks"}
BELOW_EDGE_AND_CLI |= {"auth_keys", "limits", "logs", "numbers", "object_names", "errors"}
ALLOWED["testing"] = {"modelbuild"} | BELOW_EDGE_AND_CLI
ALLOWED["training"] = {"modelbuild"} | BELOW_EDGE_AND_CLI

UNRESTRICTED = {"benchmarks", "tests"}

LIBRARIES = {
    "flask": {"main", "edge"},
    "gunicorn": {"main", "edge"},
    "werkzeug": {"main", "edge", "batch"},
    "ai_edge_litert": {"networks"},
    "tensorflow": {"networks", "cli"},  # `doctor` checks that it works
    "dlib": {"vision"},
    "typer": {"cli"},
    "pandas": {"tables", "analyzer", "client"},
    "rich": {"cli"},
}
"""The rooms of the deployed package that may know a library."""


@dataclass(frozen=True)
class Import:
    """One import: the module it stands in, its line and the dotted name."""

    module: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: imports {self.name}"


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in a source text, wherever it stands."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                parts = [*kept, *parts]
            for alias in node.names:
                yield Import(module, node.lineno, ".".join([*parts, alias.name]))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(module, node.lineno, str(argument.value))


def sources() -> dict[str, Path]:
    """Every Python file of the project by its module's name."""
    files = [*ROOT.glob("*.py"), *FUNCTION.rglob("*.py")]
    files += [file for room in folders() for file in (ROOT / room).rglob("*.py")]
    found = {}
    for file in files:
        path = file.relative_to(FUNCTION if FUNCTION in file.parents else ROOT)
        found[".".join(path.with_suffix("").parts).removesuffix(".__init__")] = file
    return found


def folders() -> set[str]:
    """Folders of the repository with modules in them, except the function's."""
    return {file.parent.name for file in ROOT.glob("[!.]*/*.py")} - {"function"}


SOURCES = sources()
ROOMS = {
    *("main", *folders()),
    *(file.stem for file in ROOT.glob("*.py")),
    *(file.stem for file in (FUNCTION / PACKAGE).glob("[!_]*.py")),
    *(file.parent.name for file in (FUNCTION / PACKAGE).glob("*/*.py")),
}
IMPORTS = [
    found
    for module, file in SOURCES.items()
    for found in imports(
        file.read_text(encoding="utf-8"), module, is_package=file.name == "__init__.py"
    )
]


def inside(name: str) -> str:
    """A dotted name without the package's own."""
    return name.removeprefix(f"{PACKAGE}.")


def room(name: str) -> str | None:
    """The room that a dotted name leads to; None for libraries and the package itself."""
    first = inside(name).partition(".")[0]
    return first if first in ROOMS else None


def is_allowed(found: Import) -> bool:
    here, there = room(found.module), room(found.name)
    if here is None or there in (None, here) or here in UNRESTRICTED:
        return True
    if (found.module, there) in EXCEPTIONS:
        return True
    target = f"{inside(found.name)}."
    return any(target.startswith(f"{allowed}.") for allowed in ALLOWED.get(here, ()))


def test_every_room_is_listed() -> None:
    listed = ALLOWED.keys() | UNRESTRICTED
    assert listed == ROOMS, "say in ALLOWED what each room may import"


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(name: str) -> None:
    wrong = [
        str(found) for found in IMPORTS if room(found.module) == name and not is_allowed(found)
    ]
    allowed = ", ".join(sorted(ALLOWED[name])) or "no other room"
    assert wrong == [], f"`{name}` may import {allowed}:\n" + "\n".join(wrong)


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        here, there = room(found.module), room(found.name)
        if here and there and here != there and here not in UNRESTRICTED:
            graph.setdefault(here, set()).add(there)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        steps = [
            str(found)
            for here, there in pairwise(cycle)
            for found in IMPORTS
            if (room(found.module), room(found.name)) == (here, there)
        ]
        pytest.fail(f"{' → '.join(cycle)}:\n" + "\n".join(steps))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_rooms(library: str) -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.name.partition(".")[0] == library
        and SOURCES[found.module].is_relative_to(FUNCTION)
        and room(found.module) not in LIBRARIES[library]
    ]
    assert wrong == [], f"only {', '.join(sorted(LIBRARIES[library]))} may know {library}"


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("age_gender.vision.pipeline", "from age_gender.edge import app"),
        ("age_gender.vision.pipeline", "import age_gender.edge.app"),
        ("age_gender.vision.pipeline", "from age_gender import edge"),
        ("age_gender.vision.pipeline", "from ..edge.app import Edge"),
        ("age_gender.vision.pipeline", "from .. import edge"),
        ("age_gender.vision.pipeline", "import_module('age_gender.edge.app')"),
        ("age_gender.settings", "from age_gender.vision.detectors import hog"),
        ("age_gender.cli.commands.models", "from training import train"),
        ("age_gender.cli.commands.predict", "from modelbuild import build"),
        ("modelbuild.build", "import training.train"),
    ],
)
def test_a_wrong_arrow_is_caught_inside_a_function(module: str, statement: str) -> None:
    (found,) = imports(f"def function():\n    {statement}", module)
    assert not is_allowed(found)


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("age_gender.vision.pipeline", "from age_gender import __version__"),
        ("age_gender.vision.pipeline", "from . import geometry"),
        ("age_gender.vision.pipeline", "import numpy"),
        ("age_gender.settings", "from age_gender.vision.detectors.registry import DetectorName"),
        ("age_gender.cli.commands.models", "from modelbuild import build"),
        ("tests.unit.test_app", "from age_gender.edge import app"),
    ],
)
def test_a_right_one_is_not(module: str, statement: str) -> None:
    (found,) = imports(statement, module)
    assert is_allowed(found)
