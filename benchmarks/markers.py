"""Parts of documents that scripts write, between two marks."""

from pathlib import Path


def filled(text: str, name: str, body: str) -> str:
    """Put another body between the marks of a name.

    Raises:
        ValueError: the marks are not there.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} … {end} in the text")
    return f"{before}{begin}\n{body}\n{end}{after}"


def fill(path: Path, name: str, body: str) -> None:
    """Do that in a file."""
    path.write_text(filled(path.read_text(encoding="utf-8"), name, body), encoding="utf-8")
