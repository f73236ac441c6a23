"""Where each file of the repository is on the site, and which pages there are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
DOCS = PurePosixPath("docs")
INDEX = DOCS / "README.md"
"""The first page, whose table is the navigation."""
COPIED = frozenset({".png", ".jpg", ".jpeg", ".svg", ".webp", ".gif"})

_ROW = re.compile(r"^\|(.+?)\|(.*)\|\s*$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+\.md)\)")
_GROUP = re.compile(r"^\s*\*\*(.+)\*\*\s*$")


@dataclass
class Group:
    """Pages of one heading in the navigation.

    Attributes:
        title: "" for the pages above the first heading.
        pages: ``(title, path in the repository)``.
    """

    title: str
    pages: list[tuple[str, PurePosixPath]] = field(default_factory=list)


def target_of(path: PurePosixPath, *, is_folder: bool = False) -> PurePosixPath:
    """Place of a file or folder of the repository on the site.

    Pages of ``docs`` are at the top, other pages beside them, pictures where they are, and the
    rest as listings below ``source``.

    Args:
        path: relative to the repository.
        is_folder: whether it is a folder.
    """
    if is_folder:
        return PurePosixPath("source") / path / "index.html"
    if path == INDEX:
        return PurePosixPath("index.html")
    if path.suffix == ".md":
        inside = path.relative_to(DOCS) if DOCS in path.parents else path
        if inside.name == "README.md":
            parent = inside.parent if inside.parent.parts else PurePosixPath("project")
            return parent.with_name(f"{parent.name}.html")
        if DOCS in path.parents:
            return inside.with_suffix(".html")
        return PurePosixPath("project") / inside.with_suffix(".html")
    if path.suffix in COPIED:
        return PurePosixPath("files") / path
    return PurePosixPath("source") / path.with_name(f"{path.name}.html")


def pages() -> list[PurePosixPath]:
    """Every Markdown page of the repository, relative to it."""
    folders = ("docs", "training", "benchmarks", "terraform", "tests", "function")
    nested = (path for folder in folders for path in (ROOT / folder).rglob("*.md"))
    found = (path for path in [*ROOT.glob("*.md"), *nested] if ".terraform" not in path.parts)
    return sorted(PurePosixPath(path.relative_to(ROOT)) for path in found)


def navigation(index: str) -> list[Group]:
    """Read the groups of pages from the first page's table."""
    groups = [Group("")]
    for first, _ in _ROW.findall(index):
        if heading := _GROUP.match(first):
            groups.append(Group(heading[1]))
        groups[-1].pages += [(title, resolved(INDEX, link)) for title, link in _links(first)]
    return [group for group in groups if group.pages]


def resolved(page: PurePosixPath, link: str) -> PurePosixPath:
    """Path in the repository that a page's relative link leads to."""
    parts: list[str] = []
    for part in (page.parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _links(cell: str) -> Iterator[tuple[str, str]]:
    yield from _LINK.findall(cell)
