"""Command-line arguments to input files: folders, patterns, links, duplicates, addresses."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from age_gender.vision.formats import kinds

STDIN = "-"
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mjpg", ".mjpeg", ".mpg", ".mpeg"}
    | {".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
)
COPY_SUFFIXES = (".drawn.jpg", ".blurred.jpg")
"""Ends of our own output files, which are skipped when a folder is read."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_FETCHED = frozenset({"http", "https", "gs"})


@dataclass(frozen=True)
class InputFile:
    """One file to read.

    Attributes:
        name: as given or listed; `STDIN` for standard input.
        relative: path of its copy, relative to the folder of copies.
        is_remote: whether the name is an address to fetch it from.
    """

    name: str
    relative: Path
    is_remote: bool = False

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its suffix; these are not fetched."""
        return not self.is_remote and _suffix(self.name) in VIDEO_SUFFIXES


@dataclass
class Inputs:
    """The files to read, and what to report about the rest.

    Attributes:
        files: each file once, in the order given; within folders by name.
        problems: ``(name, what is wrong)``.
        copies: copies of earlier runs, skipped.
        videos: videos in folders, skipped: they take long, so they have to be named.
        others: ``(name, what it is)`` of files in folders that are no pictures, skipped.
        hidden: number of hidden files and folders, skipped.
        empty: folders without images.
    """

    files: list[InputFile] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    copies: set[str] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    others: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
    empty: list[str] = field(default_factory=list)


def collect(arguments: Sequence[str], outputs: Sequence[Path] = ()) -> Inputs:
    """Resolve the arguments to files.

    Folders are searched recursively, without hidden files. Links are followed, and each folder and
    file is read once. Patterns (``*``, ``?``, ``[``, ``**``) that the shell did not expand are
    expanded.

    Args:
        arguments: files, folders, patterns, addresses, or `STDIN`.
        outputs: files that this run writes; skipped in folders.
    """
    return _Collector(outputs).run(arguments)


class _Collector:
    def __init__(self, outputs: Sequence[Path]):
        self._inputs = Inputs()
        self._seen = {os.path.realpath(path) for path in outputs}

    def run(self, arguments: Sequence[str]) -> Inputs:
        for argument in arguments:
            if argument == STDIN:
                self._add(argument, Path("stdin"))
            elif os.path.isdir(argument):
                self._add_folder(Path(argument))
            elif os.path.lexists(argument):
                self._add(argument, Path(Path(argument).name))
            elif match := _ADDRESS.match(argument):
                self._add_address(argument, match[1].lower())
            elif re.search(r"[*?\[]", argument):
                self._add_pattern(argument)
            else:
                self._report(argument, "there is no such file")
        return self._inputs

    def _add(self, name: str, relative: Path) -> None:
        real = name if name == STDIN else os.path.realpath(name)
        if real not in self._seen:
            self._seen.add(real)
            self._inputs.files.append(InputFile(name, relative))

    def _add_address(self, address: str, scheme: str) -> None:
        if scheme not in _FETCHED:
            self._report(address, "addresses start with https://, http:// or gs://")
        elif _suffix(_last_part(address)) in VIDEO_SUFFIXES:
            self._report(address, "videos are not fetched: save it and name the file")
        elif address not in self._seen:
            self._seen.add(address)
            self._inputs.files.append(InputFile(address, Path(_last_part(address)), is_remote=True))

    def _add_folder(self, folder: Path) -> None:
        problems = len(self._inputs.problems)
        kept = [self._add_listed(path, path.relative_to(folder)) for path in self._walk(folder)]
        if not any(kept) and len(self._inputs.problems) == problems:
            self._inputs.empty.append(str(folder))

    def _add_listed(self, path: Path, relative: Path) -> bool:
        """Add a listed file if it is an image; return whether it is an image, video or copy.

        Also added is what is reported when it is read: dangling links and unreadable files.
        """
        suffix = _suffix(path.name)
        if path.name.endswith(COPY_SUFFIXES):
            self._inputs.copies.add(os.path.realpath(path))
        elif suffix in VIDEO_SUFFIXES:
            self._inputs.videos.add(os.path.realpath(path))
        elif not os.path.exists(path):  # a dangling link, which is reported when it is read
            self._add(str(path), relative)
        elif not path.is_file():
            self._inputs.others.append((str(path), "a pipe, socket or device"))
            return False
        else:
            return self._add_by_content(path, relative)
        return True

    def _add_by_content(self, path: Path, relative: Path) -> bool:
        """Add a file if it is a picture, or claims to be, or cannot be read; name it otherwise."""
        if os.path.realpath(path) in self._seen:
            return True
        try:
            with path.open("rb") as file:
                kind = kinds.kind_of(file.read(kinds.SNIFFED_BYTES))
        except OSError:  # reported when it is read
            kind = None
        if kind is None or kind.is_image or kinds.claims_image(path.name):
            self._add(str(path), relative)
        elif kind.is_video:
            self._inputs.videos.add(os.path.realpath(path))
        else:
            self._inputs.others.append((str(path), kind.name))
            return False
        return True

    def _add_pattern(self, pattern: str) -> None:
        base, rest = _split(pattern)
        before = len(self._inputs.files)
        # `glob` does not follow links to folders, so it ends.
        for path in sorted(base.glob(rest)):
            relative = path.relative_to(base)
            hidden = any(part.startswith(".") for part in relative.parts)
            if os.path.isdir(path) or (hidden and not re.search(r"(^|/)\.", rest)):
                continue
            if _suffix(pattern) in VIDEO_SUFFIXES:
                self._add(str(path), relative)
            else:
                self._add_listed(path, relative)
        if len(self._inputs.files) == before:
            self._report(pattern, "no picture matches this pattern")

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Yield the files below a folder by name, following each link once."""
        visited: set[tuple[int, int]] = set()
        stack = [folder]  # no recursion: trees may be deeper than Python's stack
        while stack:
            path = stack.pop()
            if not os.path.isdir(path):
                yield path
                continue
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) in visited:  # a link to a parent
                    continue
                visited.add((status.st_dev, status.st_ino))
                names = sorted(os.listdir(path), reverse=True)
            except OSError as error:
                self._report(str(path), str(error.strerror))
                continue
            shown = [path / name for name in names if not name.startswith(".")]
            self._inputs.hidden += len(names) - len(shown)
            stack += shown

    def _report(self, name: str, problem: str) -> None:
        self._inputs.problems.append((name, problem))


def _split(pattern: str) -> tuple[Path, str]:
    """Split a pattern into the folder before the first wildcard and the rest."""
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if re.search(r"[*?\[]", part))
    return Path(*parts[:first]), str(Path(*parts[first:]))


def _last_part(address: str) -> str:
    """Name for the copy of a fetched picture: the last part of its path, or the host."""
    try:
        parts = urlsplit(address)
    except ValueError:  # refused when it is fetched
        return "address"
    names = [unquote(part).replace("/", "_") for part in parts.path.split("/")]
    usable = [name for name in names if name.strip(". ") and "\0" not in name]
    return usable[-1] if usable else parts.netloc.rpartition("@")[2] or "address"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
