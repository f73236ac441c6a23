"""Writes the READMEs of the Terraform modules from the modules themselves.

    python -m tests.infra.readmes

Each has the purpose (the comment at the top of main.tf), an example (the variables that the tests
of the module set for all runs), inputs and outputs.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.infra.tools import MODULES, TERRAFORM

_BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_FIELD = r"^  {} += (.*?)(?=\n  \w|\n\}}|\Z)"


def readme(module: Path) -> str:
    """The README of a module's folder."""
    inputs = _blocks(module / "variables.tf")
    inputs.sort(key=lambda row: row.default is not None)  # what is needed comes first
    parts = [
        f"# {module.name}\n\n{_purpose(module / 'main.tf')}\n",
        f"## Example\n\n```hcl\n{_example(module)}```\n",
        f"## Requirements\n\n{_requirements(module / 'versions.tf')}\n",
        "## Inputs\n\n" + _table(("name", "what", "type", "default"), inputs),
    ]
    if outputs := _blocks(module / "outputs.tf"):
        parts.append("## Outputs\n\n" + _table(("name", "what"), outputs))
    note = "<!-- Written by `python -m tests.infra.readmes`; change the module instead. -->\n"
    return "\n".join([note, *parts])


def _purpose(main: Path) -> str:
    """The comment at the top, as a paragraph."""
    lines = []
    for line in main.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def _example(module: Path) -> str:
    tests = (module / "tests/plan.tftest.hcl").read_text(encoding="utf-8")
    found = re.search(r"^variables \{\n(.*?)^\}", tests, re.MULTILINE | re.DOTALL)
    assert found, f"the tests of {module.name} set no variables"
    return f'module "{module.name}" {{\n  source = "../../modules/{module.name}"\n\n{found[1]}}}\n'


def _requirements(versions: Path) -> str:
    text = versions.read_text(encoding="utf-8")
    (terraform,) = re.findall(r'required_version = "([^"]+)"', text)
    providers = re.findall(r'source  = "([^"]+)"\n\s+version = "([^"]+)"', text)
    rows = [("Terraform", terraform), *((f"`{name}`", version) for name, version in providers)]
    return "\n".join(f"- {name} {version}" for name, version in rows)


@dataclass(frozen=True)
class Row:
    """A variable or an output; ``default`` is None for what has none."""

    name: str
    what: str
    type: str = ""
    default: str | None = None


def _blocks(path: Path) -> list[Row]:
    found = []
    for _, name, body in _BLOCK.findall(path.read_text(encoding="utf-8")):
        what = re.search(r'^  description = "((?:[^"\\]|\\.)*)"', body, re.MULTILINE)
        assert what, f"{path}: {name} has no description"
        description = what[1].replace('\\"', '"')
        kind_of_value = " ".join(_field(body, "type").split())
        found.append(Row(name, description, kind_of_value, _field(body, "default") or None))
    return found


def _field(body: str, name: str) -> str:
    found = re.search(_FIELD.format(name), body, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def _table(head: tuple[str, ...], rows: list[Row]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        cells = [f"`{row.name}`", row.what.replace("|", "\\|")]
        if len(head) > 2:
            default = "needed" if row.default is None else f"`{row.default}`"
            cells += [f"`{row.type}`", default]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write them all."""
    for name in MODULES:
        module = TERRAFORM / "modules" / name
        (module / "README.md").write_text(readme(module), encoding="utf-8")


if __name__ == "__main__":
    main()
