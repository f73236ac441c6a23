"""Checks the finished site: each link leads somewhere, and nothing comes from elsewhere."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = frozenset({("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src")})
"""What a browser fetches by itself."""


@dataclass
class _Page(HTMLParser):
    """Ids of a page, and its links with their lines."""

    ids: list[str] = field(default_factory=list)
    links: list[tuple[int, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            elif name in ("href", "src") and value:
                self.links.append((self.getpos()[0], value, (tag, name) in LOADED))


def problems(folder: Path) -> list[str]:
    """Name what is wrong with a site, one line for each.

    Args:
        folder: the site.
    """
    parsed: dict[Path, _Page] = {}
    for path in sorted(folder.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        parsed[path.resolve()] = page
    found = []
    for path, page in parsed.items():
        name = path.relative_to(folder.resolve())
        found += [
            f"{name}: id {id_!r} occurs {page.ids.count(id_)} times"
            for id_ in sorted(set(page.ids))
            if page.ids.count(id_) > 1
        ]
        for line, link, loaded in page.links:
            if problem := _problem(path, link, loaded, parsed):
                found.append(f"{name}:{line}: {link}: {problem}")
    return found


def _problem(path: Path, link: str, loaded: bool, parsed: dict[Path, _Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return "comes from elsewhere" if loaded and parts.scheme != "data" else ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in parsed and anchor not in parsed[target].ids:
        return "there is no such heading"
    return ""
