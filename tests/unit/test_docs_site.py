"""The documentation as a site: it is built, and every link leads somewhere; and its pages."""

import re
from pathlib import Path, PurePosixPath

import pytest

from docsite import links
from docsite.build import Built, build
from docsite.places import navigation, pages, target_of
from docsite.render import diagram_name, render_page, slug
from tests.markdown import ROOT, anchors, documents, read


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("site") / "made")


def test_every_link_leads_somewhere(site: Built) -> None:
    assert links.problems(site.folder) == []


def test_every_page_is_there(site: Built) -> None:
    assert {ROOT / path for path in pages()} == set(documents())
    for path in pages():
        text = (site.folder / target_of(path)).read_text(encoding="utf-8")
        lines = read(ROOT / path).splitlines()
        title = next(line.removeprefix("# ") for line in lines if line.startswith("# "))
        assert f">{title.replace('`', '')}</h1>" in text.replace("<code>", "").replace(
            "</code>", ""
        )
    assert len({target_of(path) for path in pages()}) == len(pages())


def test_it_can_be_searched_and_shows_the_sources_it_names(site: Built) -> None:
    index = (site.folder / "search-index.js").read_text(encoding="utf-8")
    assert index.startswith("window.searchIndex = [")
    assert '"link":"api.html#the-request"' in index
    listing = site.folder / "source" / "cloudbuild.yaml.html"
    assert "gcr.io" in listing.read_text(encoding="utf-8")
    folder = site.folder / "source" / "function" / "age_gender" / "index.html"
    assert "runtime.py" in folder.read_text(encoding="utf-8")


def test_nothing_of_this_machine_is_in_it(site: Built) -> None:
    for path in site.folder.rglob("*.html"):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="b.html">x</a>', ""),
        ('<a href="b.html#there">x</a>', ""),
        ('<a href="https://example.com">x</a><a href="#here">y</a><p id="here">', ""),
        ('<a href="none.html">x</a>', "there is no such file"),
        ('<a href="b.html#gone">x</a>', "there is no such heading"),
        ('<a href="#gone">x</a>', "there is no such heading"),
        ('<img src="https://example.com/x.png">', "comes from elsewhere"),
        ('<link href="//example.com/x.css">', "comes from elsewhere"),
        ('<p id="x"></p><p id="x"></p>', "id 'x' occurs 2 times"),
    ],
)
def test_what_is_wrong_is_reported(tmp_path: Path, html: str, problem: str) -> None:
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    found = links.problems(tmp_path)
    assert len(found) == bool(problem)
    assert problem in "".join(found)


def test_places() -> None:
    for path, place in {
        "docs/README.md": "index.html",
        "docs/api.md": "api.html",
        "docs/adr/0001-litert-by-default.md": "adr/0001-litert-by-default.html",
        "docs/examples/README.md": "examples.html",
        "README.md": "project.html",
        "CHANGELOG.md": "project/CHANGELOG.html",
        "training/README.md": "training.html",
        "docs/img/sheet.png": "files/docs/img/sheet.png",
        "function/main.py": "source/function/main.py.html",
    }.items():
        assert str(target_of(PurePosixPath(path))) == place
    groups = navigation("| [A](a.md) | x |\n| **Use** | |\n| B [one](b.md), [two](../C.md) | |\n")
    assert [(g.title, [str(path) for _, path in g.pages]) for g in groups] == [
        ("", ["docs/a.md"]),
        ("Use", ["docs/b.md", "C.md"]),
    ]


def test_pages_are_rendered() -> None:
    text = (
        "# A `b` page\n\nWords [x](api.md#errors) and [y](../LICENSE).\n\n## Two\n\n## Two\n\n"
        "| a | b |\n| --- | --- |\n| `<i>` | <!-- gone --> |\n\n```python\nif x < 1: pass\n```\n\n"
        "```mermaid\nflowchart LR\n  a-->b\n```\n"
    )
    page = render_page(PurePosixPath("docs/new.md"), text)
    assert page.title == "A b page"
    assert page.headings == [("Two", "two"), ("Two", "two-1")]
    assert 'href="api.html#errors"' in page.html
    assert 'href="source/LICENSE.html"' in page.html
    assert "<code>&lt;i&gt;</code>" in page.html
    assert "flowchart LR\n  a--&gt;b" in page.html
    assert page.sections[0].text == "Words x and y."
    assert "if x < 1: pass" in page.sections[2].text


def test_anchors_are_those_of_the_link_check() -> None:
    for document in documents():
        for heading in re.findall(r"^## +(.+?)\s*$", read(document), re.MULTILINE):
            plain = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading)
            assert slug(plain) in anchors(f"## {heading}\n")


def test_a_diagram_is_drawn_for_its_own_source_only() -> None:
    assert diagram_name("a-->b") != diagram_name("a-->c")
    drawn = {path.name for path in (ROOT / "docs" / "img" / "diagrams").glob("*.png")}
    sources = {
        diagram_name(source)
        for document in documents()
        for source in re.findall(r"^```mermaid\n(.*?)^```", read(document), re.M | re.S)
    }
    assert drawn & sources, "python -m docsite.diagrams draws them"


QUESTIONED = [
    path
    for path in pages()
    if path.parts[0] in ("docs", "training") and not re.match(r"docs/adr/\d", str(path))
]


@pytest.mark.parametrize("path", QUESTIONED, ids=str)
def test_a_page_begins_with_its_question(path: PurePosixPath) -> None:
    beginning = re.search(r"^# .+\n\n(.+)$", read(ROOT / path), re.MULTILINE)
    first = beginning[1] if beginning else ""
    assert re.match(r"\*\*[A-Z][^*]+\?\*\*", first), "say which question the page answers"


FIGURES = re.compile(
    r"\d ?(ms|MiB|images/s|years)\b|\d (%|points)|\bMAE\b|\d dollars|<!-- measured: ", re.IGNORECASE
)
WITHOUT_MEASUREMENTS = {
    # Limits, defaults and examples; what was measured is elsewhere.
    *("docs/api.md", "docs/settings.md", "docs/troubleshooting.md", "docs/privacy.md"),
    *("docs/examples/README.md", "training/README.md"),
}


@pytest.mark.parametrize("path", [*QUESTIONED, PurePosixPath("README.md")], ids=str)
def test_a_page_with_figures_states_what_threatens_them(path: PurePosixPath) -> None:
    text = read(ROOT / path)
    if len(FIGURES.findall(text)) >= 3 and str(path) not in WITHOUT_MEASUREMENTS:
        assert "Threat to validity" in text
