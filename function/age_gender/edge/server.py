"""Has functions-framework start our server, within gunicorn.

The framework creates gunicorn's application itself, has no option for its settings and reads no
configuration file, so `install` puts a subclass in its place (docs/adr/0006). Its workers are ours
(docs/adr/0008).
"""

import os
import resource
import socket
import sys
from functools import partial
from typing import Any

import click
from click.core import ParameterSource
from functions_framework._http import gunicorn as framework

from age_gender import logs
from age_gender.edge.front.policy import Policy
from age_gender.edge.worker import DRAIN_SECONDS, Worker
from age_gender.limits.admission import Shutdown

THREADS = 128
"""For predictions, unless the environment says otherwise. Most of them wait, which is cheap, and
the queues they wait in are bounded."""

OPEN_FILES = 4096
"""Enough for the connections and what their requests open."""


class Application(framework.GunicornApplication):
    """The framework's gunicorn, with our configuration.

    Attributes:
        policy: how requests are treated.
        shutdown: begun when a worker gets SIGTERM.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        *args: Any,
        policy: Policy,
        shutdown: Shutdown,
        address: tuple[str, int],
        **options: Any,
    ):
        """Take the framework's arguments, the two attributes and the settings' address."""
        self.policy = policy
        self.shutdown = shutdown
        host = address[0] if _is_default("host") else host
        port = address[1] if _is_default("port") else port
        super().__init__(app, host, port, *args, **options)  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Configure gunicorn."""
        super().load_config()  # type: ignore[no-untyped-call]
        for name, value in {
            "threads": int(os.environ.get("THREADS", THREADS)),
            "worker_class": Worker,
            "graceful_timeout": DRAIN_SECONDS,
            "control_socket_disable": True,
            "on_starting": lambda _: logs.wrap_native_lines(),
        }.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve, or exit with one line if the address cannot be listened on."""
        for host, port in self.cfg.address:
            _check_address(host, port)
        super().run()


def _is_default(option: str) -> bool:
    """Whether the framework's command was given neither this option nor its variable."""
    context = click.get_current_context(silent=True)
    return bool(context and context.get_parameter_source(option) is ParameterSource.DEFAULT)


def _check_address(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sys.exit(
            f"cannot start: port {port} of {host}: {reason}; choose another with --port or PORT"
        )


def install(policy: Policy, shutdown: Shutdown, host: str, port: int) -> None:
    """Have the framework start `Application`, and raise this process's limit of open files.

    Args:
        policy: how requests are treated.
        shutdown: begun when the worker gets SIGTERM.
        host: listened on unless the framework's command names another.
        port: likewise.
    """
    framework.GunicornApplication = partial(  # type: ignore[assignment,misc]
        Application, policy=policy, shutdown=shutdown, address=(host, port)
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
