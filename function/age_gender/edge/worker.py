"""gunicorn's side of the server: a worker process that runs the loop."""

import os
from typing import Any

from gunicorn.workers.base import Worker as BaseWorker

from age_gender.edge.front.loop import Loop

DRAIN_SECONDS = 9
"""Time after SIGTERM for requests that were accepted; Google kills after ten."""
MARGIN_SECONDS = 0.5
"""Of these, for ending."""


class Worker(BaseWorker):  # type: ignore[misc]
    """Runs a `Loop` with the application's policy."""

    _loop: Loop | None = None

    def run(self) -> None:
        """Serve until stopped."""
        self._loop = Loop(
            self.wsgi,
            self.app.policy,
            [listener.sock for listener in self.sockets],
            threads=self.cfg.threads,
            alive=self._is_alive,
        )
        self._loop.run(DRAIN_SECONDS - MARGIN_SECONDS)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Start to shut down, on SIGTERM."""
        self.app.shutdown.begin()
        super().handle_exit(sig, frame)
        if self._loop:
            self._loop.wake()

    def _is_alive(self) -> bool:
        self.notify()
        return bool(self.alive and self.ppid == os.getppid())
