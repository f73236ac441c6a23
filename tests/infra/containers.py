"""What builds and runs images here."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.infra.tools import run, shared_tool

# As Cloud Run runs it: nothing to write to and no privileges.
RESTRICTIONS = (
    *("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
    *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
)


@dataclass(frozen=True)
class Engine:
    """``docker`` or ``podman``; with ``shared``, the scripts there build and run instead."""

    cli: str
    shared: Path | None = None

    def build(self, context: Path, tag: str, *options: str) -> tuple[int, str]:
        """Build an image, with its layers kept: a second build takes seconds."""
        if self.shared:
            return run(self.shared / "build", context, tag, "--layers", *options, timeout=3600)
        return run(self.cli, "build", "--tag", tag, *options, context, timeout=3600)

    def command(
        self,
        image: str,
        *options: str,
        memory: str = "512m",
        port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> list[str]:
        """What runs an image, restricted, and serves the port on the loopback."""
        options = ("--memory", memory, *options)
        if self.shared:
            return [str(self.shared / "run"), image, *options, "--", *arguments]
        if port:
            options += ("--publish", f"127.0.0.1:{port}:{port}")
        return [self.cli, "run", *RESTRICTIONS, *options, image, *arguments]

    def execute(self, name: str, *command: str) -> tuple[int, str]:
        """Run a command inside a container."""
        return run(self.cli, "exec", name, *command)


@cache
def find_engine() -> Engine | str:
    """The engine to use, or why there is none; ../shared/cloud comes first."""
    if shared := shared_tool("container"):
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            return "../shared/cloud/container takes root and apt-get"
        return Engine("podman", shared)
    for cli in ("docker", "podman"):
        if shutil.which(cli) and run(cli, "info")[0] == 0:
            return Engine(cli)
    return "neither docker nor podman runs here"


def engine() -> Engine:
    """The engine to use, or the test is skipped."""
    found = find_engine()
    if isinstance(found, str):
        pytest.skip(f"NOT CHECKED: the image: {found}")
    return found
