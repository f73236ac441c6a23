"""From what was typed to the files that are to be read: folders, patterns, links, duplicates."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STDIN = "-"
PICTURES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"})
VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mjpg", ".mjpeg", ".mpg", ".mpeg"}
    | {".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
)
COPY_ENDINGS = (".drawn.jpg", ".blurred.jpg")
"""How the copies end that we write; folders that hold some from before are read without them."""


@dataclass(frozen=True)
class Entry:
    """One file to read.

    Attributes:
        name: as it was typed or found; `STDIN` for standard input.
        relative: where a copy of it goes, relative to the folder of copies.
    """

    name: str
    relative: Path

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its ending."""
        return _suffix(self.name) in VIDEOS


@dataclass
class Gathered:
    """What is to be read, and what is to be said of the rest.

    Attributes:
        entries: each file once, in the order typed, folders in the order of their names.
        problems: ``(name, what is wrong)``.
        copies: copies of earlier runs that were left out.
        videos: videos in folders, which were left out: reading them takes long, so they have to
            be named.
        empty: folders without any picture.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    copies: set[str] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    empty: list[str] = field(default_factory=list)


def gather(arguments: Sequence[str], outputs: Sequence[Path] = ()) -> Gathered:
    """Find the files that the arguments mean.

    Folders are read with all that is below, without hidden files. Links are followed, each folder
    and each file is taken once. Patterns (``*``, ``?``, ``[``, ``**``) that the shell has left
    alone are expanded.

    Args:
        arguments: files, folders, patterns, or `STDIN`.
        outputs: files that this run writes; never read when found in a folder.
    """
    return _Gatherer(outputs).run(arguments)


class _Gatherer:
    def __init__(self, outputs: Sequence[Path]):
        self._gathered = Gathered()
        self._taken = {os.path.realpath(path) for path in outputs}

    def run(self, arguments: Sequence[str]) -> Gathered:
        for argument in arguments:
            if argument == STDIN:
                self._take(argument, Path("stdin"))
            elif os.path.isdir(argument):
                self._take_folder(Path(argument))
            elif os.path.lexists(argument):
                self._take(argument, Path(Path(argument).name))
            elif re.match(r"\w+://", argument):
                self._complain(argument, "addresses are not fetched: pipe the picture in, to -")
            elif re.search(r"[*?\[]", argument):
                self._take_pattern(argument)
            else:
                self._complain(argument, "there is no such file")
        return self._gathered

    def _take(self, name: str, relative: Path) -> None:
        real = name if name == STDIN else os.path.realpath(name)
        if real not in self._taken:
            self._taken.add(real)
            self._gathered.entries.append(Entry(name, relative))

    def _take_folder(self, folder: Path) -> None:
        problems = len(self._gathered.problems)
        known = [self._take_found(path, path.relative_to(folder)) for path in self._walk(folder)]
        if not any(known) and len(self._gathered.problems) == problems:
            self._gathered.empty.append(str(folder))

    def _take_found(self, path: Path, relative: Path) -> bool:
        """Take a file that was not named itself, if it is a picture; tell whether it is known."""
        suffix = _suffix(path.name)
        if path.name.endswith(COPY_ENDINGS):
            self._gathered.copies.add(os.path.realpath(path))
        elif suffix in VIDEOS:
            self._gathered.videos.add(os.path.realpath(path))
        # Sockets and pipes are left out; a link that leads nowhere is told when it is read.
        elif suffix in PICTURES and (path.is_file() or not os.path.exists(path)):
            self._take(str(path), relative)
        else:
            return False
        return True

    def _take_pattern(self, pattern: str) -> None:
        base, rest = _split(pattern)
        before = len(self._gathered.entries)
        found = sorted(base.glob(rest))  # which does not follow links to folders, so it ends
        for path in found:
            relative = path.relative_to(base)
            hidden = any(part.startswith(".") for part in relative.parts)
            if os.path.isdir(path) or (hidden and not re.search(r"(^|/)\.", rest)):
                continue
            if _suffix(pattern) in VIDEOS:
                self._take(str(path), relative)
            else:
                self._take_found(path, relative)
        if len(self._gathered.entries) == before:
            self._complain(pattern, "no picture matches this pattern")

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Give the files below a folder in the order of their names, following links once."""
        seen: set[tuple[int, int]] = set()
        waiting = [folder]  # no recursion: trees may be deeper than Python's stack
        while waiting:
            path = waiting.pop()
            if not os.path.isdir(path):
                yield path
                continue
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                    continue
                seen.add((status.st_dev, status.st_ino))
                names = sorted(os.listdir(path), reverse=True)
            except OSError as error:
                self._complain(str(path), str(error.strerror))
                continue
            waiting += [path / name for name in names if not name.startswith(".")]

    def _complain(self, name: str, problem: str) -> None:
        self._gathered.problems.append((name, problem))


def _split(pattern: str) -> tuple[Path, str]:
    """Divide a pattern into the folder before the first wildcard and the rest."""
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if re.search(r"[*?\[]", part))
    return Path(*parts[:first]), str(Path(*parts[first:]))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
