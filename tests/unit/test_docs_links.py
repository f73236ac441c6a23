"""Files, headings, make targets, modules and commands that documents name exist."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from age_gender.cli.main import app
from tests.markdown import ROOT, anchors, code, documents, links, read

DOCUMENTS = documents()
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def test_documents_are_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "docs/README.md", "docs/api.md", "training/README.md"} <= names


@each_document
def test_links_resolve(document: Path) -> None:
    assert broken_links(document, read(document)) == []


@pytest.mark.parametrize("index", ["docs/README.md", "docs/adr/README.md"])
def test_the_index_lists_every_page(index: str) -> None:
    path = ROOT / index
    pages = {page for page in path.parent.rglob("*.md") if page != path}
    if index == "docs/README.md":  # the records have an index of their own
        pages -= set((path.parent / "adr").glob("[0-9]*.md"))
    listed = {(path.parent / target).resolve() for target in links(read(path))}
    assert pages - listed == set()


def broken_links(document: Path, text: str) -> list[str]:
    def resolves(target: str) -> bool:
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or not path.is_relative_to(ROOT):
            return False
        return not anchor or anchor in anchors(read(path))

    internal = [target for target in links(text) if not re.match(r"[a-z]+:", target)]
    return [target for target in internal if not resolves(target)]


def test_broken_links_are_reported() -> None:
    text = "[a](nowhere.md) ![b](img/none.png) [c](#none) [d](api.md#none) `[e](none)`"
    text += " [f](api.md#errors) [g](https://example.com) [h](../../outside)"
    document = ROOT / "docs" / "README.md"
    assert broken_links(document, text) == [
        *("nowhere.md", "img/none.png", "#none", "api.md#none", "../../outside"),
    ]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))


def commands() -> set[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return set(group.commands)


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize(
    ("pattern", "exists"),
    [
        (r"(?<![\w./-])make ([a-z][\w-]*)", lambda name: name in make_targets()),
        (r"\bpython[\d.]* -m ([\w.]+)", is_module),
        (r"(?:\blocal_runner\.py|^\$ age-gender) ([a-z]\w*)", lambda name: name in commands()),
    ],
    ids=["make", "python -m", "age-gender"],
)
@each_document
def test_commands_exist(document: Path, pattern: str, exists: Callable[[str], bool]) -> None:
    named = set(re.findall(pattern, code(read(document))))
    assert {name for name in named if not exists(name)} == set()


def test_unknown_commands_are_reported() -> None:
    assert "serve" in make_targets()
    assert "bake" not in make_targets()
    assert {"predict", "serve"} <= commands()
    assert is_module("age_gender.batch.backfill")
    assert not is_module("age_gender.nothing")
    assert not is_module("nothing.at.all")


@each_document
def test_named_files_exist(document: Path) -> None:
    pattern = r"[\w-]+(?:/[\w.-]+)*/[\w.-]+\.(?:py|md|toml|json|sh|mjs|go|yaml|in|txt|tf)"
    named = {span for span in code(read(document)).splitlines() if re.fullmatch(pattern, span)}
    roots = (ROOT, document.parent, ROOT / "function", ROOT / "function" / "age_gender")
    made_up = {"specs/agn-v2.json"}
    missing = {n for n in named - made_up if not any((root / n).exists() for root in roots)}
    assert missing == set()


ROOMS = ("edge", "fetch", "vision", "networks", "limits", "batch", "cli")


@each_document
def test_named_modules_exist(document: Path) -> None:
    pattern = rf"(?:{'|'.join(ROOMS)})(?:/[a-z_]+)+"
    named = {span for span in code(read(document)).splitlines() if re.fullmatch(pattern, span)}
    package = ROOT / "function" / "age_gender"
    missing = {
        name
        for name in named
        if not ((package / name).is_dir() or (package / f"{name}.py").is_file())
    }
    assert missing == set()
