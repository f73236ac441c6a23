"""Limits that only make sense together."""

import socket

import pytest
from flask import Flask
from functions_framework._http import create_server
from functions_framework._http import gunicorn as framework

from age_gender.edge import app, server, worker
from age_gender.edge.front import connection, deadlines
from age_gender.limits import limiter
from age_gender.limits.admission import Shutdown
from age_gender.settings import Settings

KILLED_AFTER = 10.0
"""Seconds after SIGTERM, on Cloud Run and with ``docker stop``."""


@pytest.mark.defends("shutdown")
def test_an_instance_can_stop_in_time() -> None:
    """Fetches end, and waiting callers are refused, before the process is killed."""
    assert worker.DRAIN_SECONDS < KILLED_AFTER
    assert Settings().url_timeout < worker.DRAIN_SECONDS
    assert limiter.SHUTDOWN_SECONDS < worker.DRAIN_SECONDS


def installed(monkeypatch: pytest.MonkeyPatch, port: int = 8080) -> server.Application:
    """The server that the framework starts after `install`."""
    monkeypatch.setattr(framework, "GunicornApplication", None)
    policy = app.Edge(Settings()).policy
    server.install(policy, Shutdown(), "127.0.0.1", 8080)
    flask = Flask("predict")
    served = create_server(flask, debug=False)  # type: ignore[no-untyped-call]
    made = served.server_class(flask, "127.0.0.1", port, False)
    assert isinstance(made, server.Application)
    assert made.policy is policy
    return made


def test_the_framework_starts_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THREADS", raising=False)
    config = installed(monkeypatch).cfg
    assert config.worker_class is worker.Worker
    assert config.threads == server.THREADS
    assert config.graceful_timeout == worker.DRAIN_SECONDS
    assert config.address == [("127.0.0.1", 8080)]
    monkeypatch.setenv("THREADS", "7")
    assert installed(monkeypatch).cfg.threads == 7


def test_there_are_threads_for_all_that_may_wait() -> None:
    settings = Settings()
    waiting = 2 * settings.max_queue + app.INTAKE
    assert waiting < server.THREADS


def test_a_busy_port_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            installed(monkeypatch, port).run()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"cannot start: port {port} of 127.0.0.1")
    assert "--port" in line


def test_one_whole_body_can_always_be_held() -> None:
    assert Settings().max_body_bytes <= Settings().max_held_bytes


def test_a_client_at_the_minimum_pace_is_never_late() -> None:
    assert connection.RECEIVE_BYTES / deadlines.MIN_PACE < deadlines.GRACE_SECONDS


def test_a_client_that_sends_a_whole_body_reads_its_refusal() -> None:
    assert deadlines.LONG.max_bytes >= Settings().max_body_bytes
