"""Limits that only make sense together."""

import pytest
from gunicorn import config

from age_gender.edge import app as http
from age_gender.edge import body, server
from age_gender.settings import Settings

KILLED_AFTER = 10.0
"""Seconds after the signal to end, on Cloud Run and with ``docker stop``."""


@pytest.mark.defends("shutdown")
def test_an_instance_can_end_in_time() -> None:
    """What is fetched comes to its end, and what waits is told, before the process is killed."""
    assert server.DRAIN_SECONDS < KILLED_AFTER
    assert Settings().url_timeout < server.DRAIN_SECONDS
    assert http.SHUTDOWN_SECONDS < server.DRAIN_SECONDS


def test_a_request_has_time_for_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WorkerClass", "GracefulTimeout", "OnStarting"):
        monkeypatch.setattr(getattr(config, name), "default", None)
    monkeypatch.setattr(config.LimitRequestLine, "validator", None)
    monkeypatch.setattr(server.Worker, "request_seconds", 0)
    settings = Settings(queue_timeout=300)
    waits = http.BODY_SECONDS + 2 * settings.queue_timeout + settings.url_timeout
    server.configure(http.Edge(settings).longest_wait)
    assert server.Worker.request_seconds > waits


def test_one_whole_body_can_always_be_held() -> None:
    assert Settings().max_body_bytes <= Settings().max_held_bytes


def test_a_client_at_the_least_pace_is_never_late() -> None:
    assert body.CHUNK / body.MIN_PACE < body.GRACE_SECONDS
