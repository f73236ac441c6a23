"""Every test that the security pages name is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/security.md", "SECURITY.md")
NAME = re.compile(r"`((?:unit|contract|e2e|infra)/test_\w+)((?:::\w+)*)`")


def named(page: str) -> list[tuple[str, str]]:
    return NAME.findall((ROOT / page).read_text(encoding="utf-8"))


@cache
def names_in(module: str) -> frozenset[str]:
    """Names of a module's tests as pytest writes them, its classes', and an empty one for all."""
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    found = {""}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.add(f"::{node.name}")
        if isinstance(node, ast.ClassDef):
            inside = (part for part in node.body if isinstance(part, ast.FunctionDef))
            found |= {f"::{node.name}::{part.name}" for part in inside}
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES)
def test_each_named_test_exists(page: str) -> None:
    assert len(named(page)) >= 10
    missing = [module + name for module, name in named(page) if name not in names_in(module)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_each_row_of_a_table_names_one(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").partition("## Soak")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    bare = [row for row in rows if not NAME.search(row) and "---" not in row]
    assert all(row.rstrip(" |").endswith(("test", "tests")) for row in bare), bare
