"""Limits that only make sense together."""

import pytest
from flask import Flask
from functions_framework._http import create_server
from functions_framework._http import gunicorn as framework

from age_gender.edge import app, body, server
from age_gender.limits import limiter
from age_gender.limits.admission import Shutdown
from age_gender.settings import Settings

KILLED_AFTER = 10.0
"""Seconds after SIGTERM, on Cloud Run and with ``docker stop``."""


@pytest.mark.defends("shutdown")
def test_an_instance_can_stop_in_time() -> None:
    """Fetches end, and waiting callers are refused, before the process is killed."""
    assert server.DRAIN_SECONDS < KILLED_AFTER
    assert Settings().url_timeout < server.DRAIN_SECONDS
    assert limiter.SHUTDOWN_SECONDS < server.DRAIN_SECONDS


def installed(monkeypatch: pytest.MonkeyPatch, max_wait: float = 1.0) -> server.Application:
    """The server that the framework starts after `install`."""
    monkeypatch.setattr(framework, "GunicornApplication", None)
    server.install(max_wait, Shutdown())
    flask = Flask("predict")
    served = create_server(flask, debug=False)  # type: ignore[no-untyped-call]
    made = served.server_class(flask, "127.0.0.1", 8080, False)
    assert isinstance(made, server.Application)
    return made


def test_a_request_has_time_for_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(queue_timeout=300)
    waits = app.BODY_SECONDS + 2 * settings.queue_timeout + settings.url_timeout
    application = installed(monkeypatch, app.Edge(settings).max_wait)
    assert application.request_seconds > waits


def test_the_framework_starts_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THREADS", raising=False)
    config = installed(monkeypatch).cfg
    assert config.worker_class is server.Worker
    assert config.threads == server.THREADS
    assert config.limit_request_line == server.MAX_FIRST_LINE_BYTES
    assert config.graceful_timeout == server.DRAIN_SECONDS
    assert config.address == [("127.0.0.1", 8080)]
    monkeypatch.setenv("THREADS", "7")
    assert installed(monkeypatch).cfg.threads == 7


def test_one_whole_body_can_always_be_held() -> None:
    assert Settings().max_body_bytes <= Settings().max_held_bytes


def test_a_client_at_the_minimum_pace_is_never_late() -> None:
    assert body.CHUNK_BYTES / body.MIN_PACE < body.GRACE_SECONDS
