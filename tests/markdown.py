"""Parse Markdown documents, for tests that compare them with the code."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    folders = ("docs", "training", "benchmarks", "terraform", "tests", "function")
    nested = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return sorted(path for path in [*ROOT.glob("*.md"), *nested] if ".terraform" not in path.parts)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks in a language."""
    return [body for name, body in _FENCE.findall(text) if name == language]


def links(text: str) -> list[str]:
    """Return the targets of links and images outside code."""
    return _LINK.findall(_SPAN.sub("", _FENCE.sub("", text)))


def code(text: str) -> str:
    """Return all code: fenced blocks, then each span on a line of its own."""
    bodies = [body for _, body in _FENCE.findall(text)]
    return "\n".join([*bodies, *_SPAN.findall(_FENCE.sub("", text))])


def anchors(text: str) -> set[str]:
    """Return the headings' anchors, as GitHub names them."""
    headings = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", h) for h in _HEADING.findall(_no_code(text)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tables(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Return head and rows of each table, cells stripped."""
    sources = re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE)
    parsed = [[_cells(line) for line in table.splitlines()] for table in sources]
    return [(lines[0], lines[2:]) for lines in parsed]


def table(text: str, *head: str) -> list[list[str]]:
    """Return the rows of the one table whose head starts with these cells."""
    (rows,) = [rows for names, rows in tables(text) if names[: len(head)] == list(head)]
    return rows


def bare(cell: str) -> str:
    """Return a cell without backticks."""
    return cell.replace("`", "")


def _no_code(text: str) -> str:
    return _FENCE.sub("", text)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
