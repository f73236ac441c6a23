"""Sections of documents that scripts write, between two markers."""

from pathlib import Path


def replace_section(text: str, name: str, body: str) -> str:
    """Replace the body between the markers of a name.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{begin} … {end} is missing")
    return f"{before}{begin}\n{body}\n{end}{after}"


def write_section(path: Path, name: str, body: str) -> None:
    """Replace the body between the markers of a name in a file."""
    text = replace_section(path.read_text(encoding="utf-8"), name, body)
    path.write_text(text, encoding="utf-8")
