"""Markdown to HTML: headings with anchors, coloured code, links that lead to the site's files."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape, unescape
from itertools import pairwise
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

from docsite.places import ROOT, resolved, target_of

DIAGRAMS = PurePosixPath("docs/img/diagrams")
"""Drawn diagrams, by `diagram_name`."""


@dataclass(frozen=True)
class Section:
    """A heading with the text below it, for the search.

    Attributes:
        title: of the heading; of the page for its beginning.
        anchor: "" for the page's beginning.
        text: without markup.
    """

    title: str
    anchor: str
    text: str


@dataclass
class Rendered:
    """One page.

    Attributes:
        title: its first heading.
        html: the body.
        sections: for the search, in order.
        headings: ``(title, anchor)`` of the second level.
        linked: files and folders of the repository that it links to, or shows.
    """

    title: str
    html: str
    sections: list[Section] = field(default_factory=list)
    headings: list[tuple[str, str]] = field(default_factory=list)
    linked: set[PurePosixPath] = field(default_factory=set)


def render_page(path: PurePosixPath, text: str) -> Rendered:
    """Render a Markdown page of the repository.

    Args:
        path: relative to the repository.
        text: its content.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    rendered = Rendered("", "")
    place = target_of(path)

    def to_site(link: str) -> str:
        return _site_link(path, place, link, rendered.linked)

    _mark_headings(tokens, rendered)
    _point_links(tokens, to_site)
    _wrap_tables(tokens)
    _draw_code(tokens, to_site, path)
    rendered.html = parser.renderer.render(tokens, parser.options, {})
    rendered.sections = _sections(tokens, rendered.title)
    return rendered


def highlighted(code: str, *, language: str = "", filename: str = "") -> str:
    """Colour code, by the name of its language or of its file; as it is where neither is known."""
    try:
        lexer = get_lexer_by_name(language) if language else get_lexer_for_filename(filename)
    except ClassNotFound:
        lexer = TextLexer()
    return str(highlight(code, lexer, HtmlFormatter(wrapcode=True)))


def colours() -> str:
    """Style sheet of the highlighted code, light and dark."""
    light = HtmlFormatter(style="xcode").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def slug(title: str) -> str:
    """Anchor of a heading, as GitHub names it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def diagram_name(source: str) -> str:
    """Name of a diagram's picture; another one when its source changes."""
    return hashlib.sha256(source.encode()).hexdigest()[:16] + ".png"


def _site_link(
    page: PurePosixPath, place: PurePosixPath, link: str, linked: set[PurePosixPath]
) -> str:
    name, _, anchor = link.partition("#")
    if not name or re.match(r"[a-z]+:", link):
        return link
    target = resolved(page, unquote(name))
    linked.add(target)
    there = target_of(target, is_folder=(ROOT / target).is_dir())
    relative = quote(os.path.relpath(there, place.parent))
    return f"{relative}#{anchor}" if anchor else relative


def _mark_headings(tokens: list[Token], rendered: Rendered) -> None:
    taken: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        title = _plain(inline)
        anchor = slug(title)
        taken[anchor] = taken.get(anchor, -1) + 1
        if taken[anchor]:
            anchor = f"{anchor}-{taken[anchor]}"
        opening.attrSet("id", anchor)
        if opening.tag == "h1" and not rendered.title:
            rendered.title = title
        elif opening.tag == "h2":
            rendered.headings.append((title, anchor))


def _point_links(tokens: list[Token], to_site: Callable[[str], str]) -> None:
    for token in tokens:
        for child in token.children or ():
            for name in ("href", "src"):
                link = child.attrGet(name)
                if isinstance(link, str):
                    child.attrSet(name, to_site(link))
            if child.type == "image":
                child.attrSet("loading", "lazy")


def _wrap_tables(tokens: list[Token]) -> None:
    """Let wide tables scroll by themselves, with the keyboard, too; empty heads are no heads."""
    for opening, inline, end in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "th_open" and not inline.content:
            opening.tag = end.tag = "td"
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index].type == "table_close":
            tokens.insert(index + 1, _html("</div>\n"))
        elif tokens[index].type == "table_open":
            scroll = '<div class="scroll" tabindex="0" role="group" aria-label="Table">\n'
            tokens.insert(index, _html(scroll))


def _draw_code(tokens: list[Token], to_site: Callable[[str], str], page: PurePosixPath) -> None:
    for index, token in enumerate(tokens):
        if token.type not in ("fence", "code_block"):
            continue
        language = token.info.strip()
        if language == "mermaid":
            tokens[index] = _html(_diagram(token.content, to_site, page))
        else:
            code = highlighted(token.content, language=language or "text")
            tokens[index] = _html(code.replace("<pre>", '<pre tabindex="0">', 1))
            tokens[index].meta["text"] = token.content


def _diagram(source: str, to_site: Callable[[str], str], page: PurePosixPath) -> str:
    """A diagram as its drawn picture, or as its source where that is not up to date."""
    picture = DIAGRAMS / diagram_name(source)
    code = f'<pre tabindex="0"><code>{escape(source)}</code></pre>'
    if not (ROOT / picture).is_file():
        return f'<div class="highlight">{code}</div>\n'
    link = to_site(os.path.relpath(picture, page.parent))
    return (
        f'<figure class="diagram"><img src="{link}" alt="Diagram; its source follows">'
        f"<details><summary>As text</summary>{code}</details></figure>\n"
    )


def _sections(tokens: list[Token], title: str) -> list[Section]:
    found: list[tuple[str, str, list[str]]] = [(title, "", [])]
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag != "h1":
            anchor = str(token.attrGet("id"))
            found.append((_plain(tokens[index + 1]), anchor, []))
        elif token.type == "inline" and tokens[index - 1].type != "heading_open":
            found[-1][2].append(_plain(token))
        elif "text" in token.meta:
            found[-1][2].append(token.meta["text"])
    return [
        Section(name, anchor, " ".join(" ".join(texts).split())) for name, anchor, texts in found
    ]


def _plain(inline: Token) -> str:
    """Text of an inline token without markup."""
    parts = (
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or ()
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    )
    return unescape("".join(parts))


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)
