"""Runs a command in a memory control group, as a container's limit does.

Version 1 and 2 of control groups; needs root, and a kernel and container that allow it.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
V1 = ROOT / "memory"
"""Where version 1 has the groups for memory."""
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec unshare --mount sh -c "$1" "$0" "${@:2}"'
_SHOW = 'mount --bind "$0" {target} && exec "$@"'


@dataclass(frozen=True)
class MemoryGroup:
    """A group with a limit.

    Attributes:
        path: of its folder.
        limit: bytes.
    """

    path: Path
    limit: int

    @property
    def _is_v1(self) -> bool:
        return self.path.is_relative_to(V1)

    def command(self, inner: list[str]) -> list[str]:
        """Wrap a command so that it and its children run in the group, and see its limit."""
        show = _SHOW.format(target=V1 if self._is_v1 else ROOT)
        return ["bash", "-c", _ENTER, str(self.path), show, *inner]

    def anonymous(self) -> int:
        """Bytes that the processes hold now, without caches of files."""
        name = "total_rss" if self._is_v1 else "anon"
        return self._number("memory.stat", name)

    def kills(self) -> int:
        """Processes killed so far for lack of memory."""
        return self._number("memory.oom_control" if self._is_v1 else "memory.events", "oom_kill")

    def _number(self, file: str, name: str) -> int:
        for line in (self.path / file).read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup | None]:
    """Make a group with a limit in bytes; yields None where that is not possible."""
    parent = _parent()
    path = parent / f"age-gender-{os.getpid()}-{limit >> 20}" if parent else None
    if path is None or not _make(path, limit):
        yield None
        return
    try:
        yield MemoryGroup(path, limit)
    finally:
        with suppress(OSError):  # something of it is still ending
            path.rmdir()


def _parent() -> Path | None:
    if (V1 / "memory.limit_in_bytes").is_file():
        return V1
    if (ROOT / "cgroup.controllers").is_file():
        return ROOT
    return None


def _make(path: Path, limit: int) -> bool:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        return False
    try:
        if not path.is_relative_to(V1):
            (ROOT / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        path.mkdir()
        name = "memory.limit_in_bytes" if path.is_relative_to(V1) else "memory.max"
        (path / name).write_text(str(limit), encoding="ascii")
    except OSError:
        with suppress(OSError):
            path.rmdir()
        return False
    return True
