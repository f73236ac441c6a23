"""HTTP Basic authentication."""

import base64
import hmac
import logging
import math
import time
from hashlib import sha256

import pytest

from age_gender.edge import auth
from age_gender.edge.problems import Problem
from age_gender.settings import Settings

SETTINGS = Settings(basic_auth_username="käthe", basic_auth_password="p:ß wörd")


def basic(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(raw).decode()


RIGHT = basic("käthe:p:ß wörd")


@pytest.mark.parametrize(
    "header", [RIGHT, RIGHT.replace("Basic", "basic"), RIGHT.replace("Basic ", "BASIC   ")]
)
def test_right_credentials(header: str) -> None:
    auth.check(header, SETTINGS)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        RIGHT.removeprefix("Basic "),
        RIGHT.replace("Basic", "Bearer"),
        RIGHT + "=",
        RIGHT + "AAAA",
        RIGHT[:-4],
        RIGHT.replace("Basic ", "Basic\t"),
        basic("käthe:p:ß wörd "),
        basic("käthe:p"),
        basic("käthe:"),
        basic("käthe"),
        basic(":p:ß wörd"),
        basic(":"),
        basic(""),
        basic("Käthe:p:ß wörd"),
        basic("käthe:p:ß wörd".encode("latin-1")),
        basic(b"\xff\xfe\x00"),
        "Basic " + "käthe:p:ß wörd",
        "Basic !!!!",
        "Basic \u2603",
        "Basic " + "A" * 1_000_000,
    ],
)
def test_wrong_credentials(header: str | None) -> None:
    with pytest.raises(Problem) as caught:
        auth.check(header, SETTINGS)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert SETTINGS.basic_auth_password not in caught.value.detail


def test_default_credentials() -> None:
    auth.check(basic("sugar:kubes"), Settings())


@pytest.mark.defends("timing")
def test_comparison_is_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", spy)
    with pytest.raises(Problem):
        auth.check(basic("somebody:else"), SETTINGS)
    auth.check(RIGHT, SETTINGS)
    expected = sha256("käthe:p:ß wörd".encode()).digest()
    assert compared == [(sha256(b"somebody:else").digest(), expected), (expected, expected)]


@pytest.mark.defends("wrong-passwords")
def test_many_mistakes_are_counted_and_delayed_and_right_ones_are_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = auth.Guard(SETTINGS)
    delays = []
    for _ in range(auth.FREE_MISTAKES + 5):
        with pytest.raises(Problem) as caught:
            guard.check(basic("somebody:else"))
        delays.append(caught.value.delay)
        guard.check(RIGHT)
    assert delays[: auth.FREE_MISTAKES] == [0.0] * auth.FREE_MISTAKES
    assert delays[-1] == auth.DELAY_SECONDS
    assert len(caplog.records) == 1
    monkeypatch.setattr(time, "monotonic", lambda: math.inf)
    guard.tick()
    counts = [record.fields["counts"] for record in caplog.records]  # type: ignore[attr-defined]
    assert counts == [{"requests": 1}, {"requests": auth.FREE_MISTAKES + 4}]


def test_missing_credentials_are_no_mistake() -> None:
    """Browsers ask without them first."""
    guard = auth.Guard(SETTINGS)
    for _ in range(2 * auth.FREE_MISTAKES):
        with pytest.raises(Problem) as caught:
            guard.check(None)
        assert caught.value.delay == 0


@pytest.mark.parametrize("header", [None, "nonsense", RIGHT])
def test_off(header: str | None) -> None:
    auth.check(header, Settings(auth="off"))


@pytest.mark.defends("published-password")
@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (Settings(auth="off"), "AUTH=off"),
        (Settings(), "DEFAULT PASSWORD"),
        (Settings(basic_auth_username="me"), "DEFAULT PASSWORD"),
        (SETTINGS, None),
    ],
)
def test_warning_at_start(
    settings: Settings,
    warning: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "age_gender"):
        auth.warn_if_open(settings)
    if warning is None:
        assert not caplog.records
    else:
        assert warning in caplog.text
        assert caplog.records[0].levelno >= logging.WARNING
