"""The code and its documents use the field's words (see the glossary in CONTRIBUTING.md)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markdown import ROOT, documents, read

NAMES = {
    "told": "predicted, reported",
    "everyone": "detections",
    "closer": "redecode",
    "placed": "to_image",
    "judge": "predict, estimate",
    "judged": "with_attributes",
    "unjudged": "without_attributes",
    "keep_best": "nms",
    "smaller_covered": "ios",
    "strongest": "top_k",
    "patience": "timeout",
    "tame": "limit",
    "turn_to": "resize_input",
    "wants": "options",
    "shot": "frame",
    "shots": "frames",
    "worsened": "degraded",
    "closing": "shutdown",
}
"""Words not to use in identifiers, and what to use instead."""
PREFIXES = {"most": "max", "least": "min"}
CLASSES = {
    "Share": "Reservation",
    "Average": "ExponentialMovingAverage",
    "Scaled": "InputScale",
    "Closing": "Shutdown",
    "Room": "Capacity",
}
PROSE = {
    "told": "predicted, reported, said",
    "tells": "reports, says",
    "judged": "predicted, estimated, evaluated",
    "whoever": "anyone who",
    "sexes": "genders",
    "nobody": "no one",
}
"""Words not to use in documents, comments and docstrings, and what to use instead."""

PICTURES = {
    "max_picture_bytes",  # a setting
    "pictures",  # in the summary of a back-fill
    "_read_picture",
}
"""The identifiers of the product that may contain "picture": arrays and bytes have other names."""

FOLDERS = (
    "function",
    "modelbuild",
    "docsite",
    "training",
    "testing",
    "tests",
    "benchmarks",
    "container",
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PROSE = re.compile(rf"\b({'|'.join(PROSE)})\b", re.IGNORECASE)


def python_files() -> list[Path]:
    nested = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    paths = [*ROOT.glob("*.py"), *(ROOT / "docs").rglob("*.py"), *nested]
    return sorted(path for path in paths if not {"node_modules", ".venv"} & set(path.parts))


def objection(name: str, *, is_class: bool = False) -> str | None:
    """Say what is wrong with an identifier, if anything."""
    if is_class and name in CLASSES:
        return f"{name}: use {CLASSES[name]}"
    words = [word.lower() for word in _WORD.findall(name)]
    joined = f"_{'_'.join(words)}_"
    for word, better in NAMES.items():
        if f"_{word}_" in joined:
            return f"{name}: use {better}"
    if len(words) > 1 and words[0] in PREFIXES:
        return f"{name}: use {PREFIXES[words[0]]}_"
    return None


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Yield line, name and whether it is a class of every identifier that the module binds."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name, lineno=line):
                yield line, name, True
            case ast.FunctionDef(name=name, lineno=line):
                yield line, name, False
            case ast.Name(id=name, ctx=ast.Store(), lineno=line):
                yield line, name, False
            case ast.Attribute(attr=name, ctx=ast.Store(), lineno=line):
                yield line, name, False
            case ast.arg(arg=name, lineno=line):
                yield line, name, False
            case ast.alias(asname=str(name), lineno=line):
                yield line, name, False
            case ast.ExceptHandler(name=str(name), lineno=line):
                yield line, name, False


def prose(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every comment and docstring, those of attributes included."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text), lineno=line)):
                for offset, part in enumerate(text.splitlines()):
                    yield line + offset, part


def in_python(path: Path, source: str) -> list[str]:
    """List what a module should word differently."""
    tree = ast.parse(source)
    problems = [
        (line, problem)
        for line, name, is_class in identifiers(tree)
        if (problem := objection(name, is_class=is_class))
    ]
    if path.parts[0] == "function":
        problems += [
            (line, f"{name}: use image, data or encoded")
            for line, name, _ in identifiers(tree)
            if name.lower() not in PICTURES and "picture" in name.lower()
        ]
    problems += [(line, problem) for line, text in prose(source, tree) for problem in in_text(text)]
    return [f"{path}:{line}: {problem}" for line, problem in sorted(problems)]


def in_text(text: str) -> list[str]:
    """List the words of a text that should be others."""
    return [f"{word}: use {PROSE[word.lower()]}" for word in _PROSE.findall(text)]


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_python(path: Path) -> None:
    problems = in_python(path.relative_to(ROOT), read(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_document(path: Path) -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{number}: {problem}"
        for number, line in enumerate(read(path).splitlines(), start=1)
        for problem in in_text(line)
    ]
    assert not problems, "\n".join(problems)


def test_problems_are_reported_with_their_lines() -> None:
    source = (
        "class Room:\n"
        '    """Who is judged?"""\n'
        "def f(most_pixels, tamed): ...  # Tells nothing\n"
        "keepBest = unplaced = replaced = x.placed\n"
        "self.is_placed = almost_all = 1\n"
    )
    assert in_python(Path("a.py"), source) == [
        "a.py:1: Room: use Capacity",
        "a.py:2: judged: use predicted, estimated, evaluated",
        "a.py:3: Tells: use reports, says",
        "a.py:3: most_pixels: use max_",
        "a.py:4: keepBest: use nms",
        "a.py:5: is_placed: use to_image",
    ]


def test_pictures_are_images_or_data_in_the_product() -> None:
    source = "picture = load(max_picture_bytes)\nmax_picture_bytes = pictures = 1\n"
    assert in_python(Path("function/a.py"), source) == [
        "function/a.py:1: picture: use image, data or encoded"
    ]
    assert in_python(Path("tests/a.py"), source) == []
