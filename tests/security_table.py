"""The last column of the tables in docs/security.md: the tests that prove each defence.

Such a test carries ``@pytest.mark.defends("id", ...)`` with the ids of its rows.
``python -m tests.security_table`` writes the column.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.markdown import ROOT, read

PAGE = ROOT / "docs" / "security.md"
TESTS = ROOT / "tests"

_ROW = re.compile(r"^(\| `([a-z0-9-]+)` \|(?:[^|\n]*\|){1,3})[^|\n]*\|$", re.MULTILINE)
"""At most id, attack, without it, defence, tests: measured tables of the page are wider."""


def row_ids(text: str) -> list[str]:
    """Return the ids of all rows, in order."""
    return [match[2] for match in _ROW.finditer(text)]


def with_proofs(text: str, proofs: dict[str, list[str]]) -> str:
    """Return the page with its last columns filled.

    Args:
        text: of the page.
        proofs: links to tests, by id.
    """
    return _ROW.sub(lambda row: f"{row[1]} {'<br>'.join(proofs.get(row[2], []))} |", text)


def collect(folder: Path = TESTS) -> dict[str, list[str]]:
    """Return Markdown links to the marked tests below a folder, by id, in order of file."""
    proofs: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        target = f"../tests/{path.relative_to(folder).as_posix()}"
        for name, ids in _marked(ast.parse(read(path))):
            for attack in ids:
                proofs.setdefault(attack, []).append(f"[{name}]({target})")
    return proofs


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            ids = [attack for part in node.decorator_list for attack in _ids(part)]
            yield node.name, ids


def _ids(decorator: ast.expr) -> list[str]:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.defends":
        return [ast.literal_eval(argument) for argument in decorator.args]
    return []


def main() -> None:
    """Write the column."""
    PAGE.write_text(with_proofs(read(PAGE), collect()), encoding="utf-8")


if __name__ == "__main__":
    main()
