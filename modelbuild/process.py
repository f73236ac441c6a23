"""Runs a program quietly, with a time limit, and leaves no child process behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """A program that exited on its own.

    Attributes:
        status: exit status; negative: the signal that ended it.
        output: standard output and standard error, interleaved.
    """

    status: int
    output: str

    def last_lines(self, count: int) -> str:
        """The last lines that are not blank, for an error message."""
        lines = [line.strip()[:300] for line in self.output.splitlines() if line.strip()]
        return " | ".join(lines[-count:])

    @property
    def disk_full(self) -> bool:
        """Whether it reported a full disk."""
        return "No space left on device" in self.output or "ENOSPC" in self.output


def run_quietly(command: Sequence[str], folder: Path, time_limit: float) -> Finished:
    """Run a program in `folder` and capture its output.

    Raises:
        subprocess.TimeoutExpired: after `time_limit` seconds.
        OSError: the program cannot be started.
    """
    # Its own process group: npm is a script that starts node, and both must be killed.
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=time_limit)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Finished(process.returncode, output)
