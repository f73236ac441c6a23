"""Writes the site: pages, pictures, listings of the files they link to, and the search's index."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from docsite.places import COPIED, INDEX, ROOT, Group, navigation, pages, target_of
from docsite.render import Rendered, colours, highlighted, render_page

HERE = Path(__file__).parent
MAX_LISTING = 400_000
"""Bytes of the largest file that is shown; of others, only that they exist."""


@dataclass
class Built:
    """What was written.

    Attributes:
        folder: the site.
        pages: of the documentation.
        listings: files and folders of the source that pages link to.
    """

    folder: Path
    pages: int
    listings: int


def build(folder: Path) -> Built:
    """Write the site to a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("page.html")
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in pages()}
    groups = navigation(texts[INDEX])
    linked: set[PurePosixPath] = set()
    search: list[dict[str, str]] = []

    def write(place: PurePosixPath, rendered: Rendered) -> None:
        context = _context(place, rendered, groups)
        _write(folder / place, template.render(**context))

    for path, text in texts.items():
        rendered = render_page(path, text)
        linked |= rendered.linked
        write(target_of(path), rendered)
        search += _entries(target_of(path), rendered)
    # What does not exist is a broken link, which the check names.
    existing = (path for path in linked if (ROOT / path).exists())
    listings = sorted(path for path in existing if path.suffix != ".md")
    for path in listings:
        if path.suffix in COPIED:
            target = folder / target_of(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        else:
            is_folder = (ROOT / path).is_dir()
            write(target_of(path, is_folder=is_folder), _listing(path, set(listings)))
    data = json.dumps(search, separators=(",", ":"), ensure_ascii=False)
    _write(folder / "search-index.js", f"window.searchIndex = {data};\n")
    shutil.copyfile(HERE / "site.js", folder / "site.js")
    _write(folder / "site.css", (HERE / "site.css").read_text(encoding="utf-8") + colours())
    return Built(folder, len(texts), sum(path.suffix not in COPIED for path in listings))


def _context(place: PurePosixPath, rendered: Rendered, groups: list[Group]) -> dict[str, Any]:
    def link(target: PurePosixPath) -> str:
        return os.path.relpath(target, place.parent)

    return {
        "title": rendered.title,
        "body": Markup(rendered.html),  # noqa: S704 - made from our own files
        "headings": rendered.headings,
        "root": link(PurePosixPath(".")),
        "groups": [
            (
                group.title,
                [
                    (title, link(target_of(path)), target_of(path) == place)
                    for title, path in group.pages
                ],
            )
            for group in groups
        ],
    }


def _listing(path: PurePosixPath, shown: set[PurePosixPath]) -> Rendered:
    """A page that shows a file, or the names in a folder."""
    source = ROOT / path
    if source.is_dir():
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name
            for entry in source.iterdir()
            if not entry.name.startswith((".", "__pycache__"))
        )
        place = target_of(path, is_folder=True)
        items = []
        for name in names:
            inner = path / name.rstrip("/")
            if inner in shown or inner.suffix == ".md":
                there = target_of(inner, is_folder=name.endswith("/"))
                href = os.path.relpath(there, place.parent)
                items.append(Markup('<li><a href="{}">{}</a></li>').format(href, name))
            else:
                items.append(Markup("<li>{}</li>").format(name))
        body = Markup("<h1>{}/</h1>\n<ul>{}</ul>").format(path, Markup("").join(items))
        return Rendered(f"{path}/", body)
    data = source.read_bytes()
    try:
        text = data.decode() if len(data) <= MAX_LISTING else None
    except UnicodeDecodeError:
        text = None
    title = Markup("<h1>{}</h1>\n").format(path)
    if text is None:
        return Rendered(str(path), title + Markup("<p>{} bytes.</p>").format(f"{len(data):,}"))
    code = highlighted(text, filename=path.name).replace("<pre>", '<pre tabindex="0">', 1)
    return Rendered(str(path), title + Markup(code))  # noqa: S704 - Pygments escapes it


def _entries(place: PurePosixPath, rendered: Rendered) -> list[dict[str, str]]:
    return [
        {
            "page": rendered.title,
            "title": section.title,
            "link": f"{place}#{section.anchor}" if section.anchor else str(place),
            "text": section.text,
        }
        for section in rendered.sections
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
